"""Database store of responses, to be shown again, and for later requests that go on by `previous_response_id`.

A response's document holds what it adds to the one it goes on from. All responses of one conversation are forgotten
together, the conversation that has rested longest first, once all of them have more bytes than are kept.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, delete, func, select, update

from sale.server.periodic_task import PeriodicTask
from sale.server.store.database import StoreDatabase
from sale.server.store.schema import responses
from sale.storage.writing import add

Json = dict[str, Any]

KEPT_BYTES: Final = 256 * 1024 * 1024
"""Of all responses, compressed."""
WAITING_BYTES: Final = 16 * 1024 * 1024
"""Of those that wait to be written. Who makes them more waits, too."""
LATEST_SECONDS: Final = 60.0
WRITE_SECONDS: Final = 0.02
"""Soon, so that the next turn may come to another process."""
TOTAL: Final = select(func.sum(responses.c.bytes))
"""The bytes of all: an index has them, so that no document is read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredResponse:
    """A response as it is stored."""

    key_id: str
    id: str
    previous: str | None
    """The response it goes on from."""
    root: str
    """The first response of the conversation."""
    document: bytes
    """JSON, compressed."""
    seen: datetime


class ResponseHistory:
    """The responses of all conversations."""

    def __init__(self, database: StoreDatabase, *, kept_bytes: int = KEPT_BYTES) -> None:
        """To be made inside a running event loop.

        Args:
            database: Where they are.
            kept_bytes: How much is kept of all.
        """
        self._database = database
        self._kept_bytes = kept_bytes
        self._waiting: dict[tuple[str, str], StoredResponse] = {}
        self._bytes = 0
        self._writing = asyncio.Lock()
        self._pulse = PeriodicTask(LATEST_SECONDS, self._write, "writing responses")

    async def keep(
        self, response_id: str, key_id: str | None, previous: str | None, document: Mapping[str, object]
    ) -> None:
        """Keep a response; it is on disk a few hundredths of a second after.

        Args:
            response_id: Its id.
            key_id: Whose it is.
            previous: The response it goes on from.
            document: Its own, with what it adds to that.
        """
        before = await self._found(previous, key_id) if previous is not None else []
        response = StoredResponse(
            key_id=key_id or "",
            id=response_id,
            previous=previous,
            root=before[0].root if before else response_id,
            document=zlib.compress(orjson.dumps(document), 1),
            seen=datetime.now(UTC),
        )
        self._waiting[response.key_id, response.id] = response
        self._bytes += len(response.document)
        if self._bytes > WAITING_BYTES:
            await self._write()
        else:
            self._pulse.wake_within(WRITE_SECONDS)

    async def find(self, response_id: str, key_id: str | None) -> Json | None:
        """The document of a response; `None` where the key has none of that id.

        Raises:
            StoreError: The database cannot be read.
        """
        owner = key_id or ""
        waiting = self._waiting.get((owner, response_id))
        if waiting is not None:
            return _opened(waiting.document)
        asked = select(responses.c.document).where(responses.c.key_id == owner, responses.c.id == response_id)
        found = await self._database.read(lambda connection: connection.execute(asked).scalar())
        return None if found is None else _opened(found)

    async def chain(self, response_id: str, key_id: str | None) -> list[Json] | None:
        """The documents of the conversation up to a response; `None` where the key has none of that id.

        `None`, too, where one of them has been deleted.

        Raises:
            StoreError: The database cannot be read.
        """
        known = {one.id: one for one in await self._found(response_id, key_id)}
        found: list[Json] = []
        at: str | None = response_id
        while at is not None:
            if at not in known:
                return None
            found.append(_opened(known[at].document))
            at = known[at].previous
        return found[::-1]

    async def delete(self, response_id: str, key_id: str | None) -> bool:
        """Delete a response; True where the key had one of that id. What goes on from it can no longer be gone on with.

        Raises:
            StoreError: The database cannot be written.
        """
        await self._write()
        table = responses.c
        asked = delete(responses).where(table.key_id == (key_id or ""), table.id == response_id)
        return await self._database.write(lambda connection: connection.execute(asked).rowcount > 0)

    async def close(self) -> None:
        """Write what waits.

        Raises:
            StoreError: The database cannot be written.
        """
        await self._pulse.close()
        await self._write()

    async def forget_key(self, key_id: str) -> None:
        """Let go of what a deleted key has waiting."""
        self._waiting = {place: one for place, one in self._waiting.items() if place[0] != key_id}
        async with self._writing:  # a write under way may have some of them
            pass

    async def _found(self, response_id: str, key_id: str | None) -> list[StoredResponse]:
        """The responses of a response's conversation; none where it is not known."""
        owner = key_id or ""
        # As it is before the database is read: what is written meanwhile is in one of the two.
        unwritten = [one for one in self._waiting.values() if one.key_id == owner]
        waiting = next((one for one in unwritten if one.id == response_id), None)
        stored = await self._database.read(
            lambda connection: _conversation(connection, owner, response_id, waiting.root if waiting else None)
        )
        root = waiting.root if waiting else stored[0].root if stored else None
        return [*stored, *(one for one in unwritten if one.root == root)]

    async def _write(self) -> None:
        """Write what waits, to the end even if the caller leaves: what is written again may have been deleted since."""
        await self._database.finish(self._write_waiting())

    async def _write_waiting(self) -> None:
        async with self._writing:
            batch = list(self._waiting.values())
            if not batch:
                return
            await self._database.write(lambda connection: _put(connection, batch, self._kept_bytes))
            for one in batch:
                self._waiting.pop((one.key_id, one.id), None)
            self._bytes = sum(len(one.document) for one in self._waiting.values())


def _opened(document: bytes) -> Json:
    return orjson.loads(zlib.decompress(document))


def _conversation(connection: Connection, owner: str, response_id: str, root: str | None) -> list[StoredResponse]:
    table = responses.c
    if root is None:
        asked = select(table.root).where(table.key_id == owner, table.id == response_id)
        root = connection.execute(asked).scalar()
    if root is None:
        return []
    rows = connection.execute(select(responses).where(table.key_id == owner, table.root == root)).mappings()
    return [StoredResponse(**{name: row[name] for name in StoredResponse.__dataclass_fields__}) for row in rows]


def _put(connection: Connection, batch: Sequence[StoredResponse], kept_bytes: int) -> None:
    """Insert responses, and forget the conversations that have rested longest while all are too large."""
    table = responses.c
    fields = StoredResponse.__dataclass_fields__
    add(
        connection,
        responses,
        [{name: getattr(one, name) for name in fields} | {"bytes": len(one.document)} for one in batch],
    )
    for one in batch:
        own = (table.key_id == one.key_id, table.root == one.root)
        connection.execute(update(responses).where(*own).values(seen=one.seen))
    total = connection.execute(TOTAL).scalar() or 0
    while total > kept_bytes:
        oldest = connection.execute(select(table.key_id, table.root).order_by(table.seen).limit(1)).one()
        own = (table.key_id == oldest[0], table.root == oldest[1])
        total -= connection.execute(select(func.sum(table.bytes)).where(*own)).scalar() or 0
        connection.execute(delete(responses).where(*own))
