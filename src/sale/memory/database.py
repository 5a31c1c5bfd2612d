"""The database behind the memory, with what only the memory does with one: marks of the living, sweeping, erasing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from sale.memory.schema import metadata, vector_tables
from sale.storage.database import Database, Work
from sale.storage.schema import Schema

T = TypeVar("T")


def _list_vector_tables(connection: Connection) -> list[str]:
    return list(connection.execute(select(vector_tables.c.name)).scalars())


SCHEMA = Schema(
    key="memory",
    name="the auction memory",
    metadata=metadata,
    head="0014",
    revisions=Path(__file__).with_name("revisions"),
    file_setting="memory.path in sale.toml, or SALE_MEMORY",
    url_setting="memory.url",
    when_outdated="Write its records to a file with the version that made it, `sale memory export FILE`. Move the"
    " memory away, and read the file with this version, `sale memory import FILE`. Nothing was changed.",
    serial=True,
    list_more_tables=_list_vector_tables,
)


class MemoryDatabase(Database):
    """An open memory at the newest revision; this process is announced as alive."""

    schema = SCHEMA

    def _prepare(self) -> None:
        super()._prepare()
        self.backend.presence.announce()

    @property
    def token(self) -> str:
        """The token that marks unfinished auctions of this memory."""
        return self.backend.presence.token

    def write_later(self, work: Work[object]) -> None:
        """Like `write`, after the writes that wait already and without waiting; errors are not reported."""
        if not self._closed:
            self._writer.submit(self._transact, self.backend.writing, work)

    async def erase(self, work: Work[T]) -> T:
        """Like `write`, and leave no trace of what `work` deleted, in the log either."""
        deleted = await self.write(work)
        await self._do(self._writer, self.backend.wipe)
        return deleted

    async def shrink(self) -> None:
        """Give room that is no longer used back to the disk.

        Raises:
            StoreError: The database cannot be written anew, for example because others have it open.
        """
        self._refuse_closed()
        await self._do(self._writer, self.backend.shrink)

    async def sweeping(self, sweep: Callable[[], Awaitable[T]]) -> T:
        """Do `sweep` while no other process opens or sweeps.

        Raises:
            StoreError: The lock is kept by another process, or cannot be taken.
        """
        try:
            async with self.backend.presence.gate(self._busy_seconds):
                swept = await sweep()
                await self._do(self._writer, self.backend.presence.tidy)
                return swept
        except (SQLAlchemyError, OSError) as error:
            raise self.backend.explain(error) from error
