"""Short messages among the processes on one PostgreSQL database, by LISTEN and NOTIFY. Nothing is kept of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from importlib import import_module
from typing import Any, Final

from sqlalchemy import Connection, text

from sale.errors import StoreError
from sale.server.store.database import StoreDatabase

MAX_MESSAGE_BYTES: Final = 7900
"""Of a message: PostgreSQL takes less than 8000."""
_TELL: Final = text("SELECT pg_notify(:channel, :message)")


class Announcements:
    """One channel. Whoever may connect to the database can listen to it, and speak on it."""

    def __init__(self, database: StoreDatabase, channel: str) -> None:
        """Nothing is opened.

        Args:
            database: On a PostgreSQL server.
            channel: Its name.
        """
        self._database = database
        self._channel = channel

    async def tell(self, messages: Sequence[str]) -> None:
        """Send messages of at most `MAX_MESSAGE_BYTES` each to all that listen, this process among them.

        Raises:
            StoreError: The database cannot be reached.
        """

        def send(connection: Connection) -> None:
            connection.execute(_TELL, [{"channel": self._channel, "message": message} for message in messages])

        await self._database.write(send)

    async def hear(self) -> AsyncGenerator[str]:
        """Messages as they come, over a connection of its own.

        Raises:
            StoreError: The connection cannot be had, or has broken.
        """
        psycopg: Any = import_module("psycopg")
        try:
            writer = self._database.backend.writer
            _, arguments = writer.dialect.create_connect_args(writer.url)
            async with await psycopg.AsyncConnection.connect(**dict(arguments), autocommit=True) as connection:
                await connection.execute(f'LISTEN "{self._channel}"')
                async for one in connection.notifies():
                    yield one.payload
        except psycopg.Error as error:
            raise StoreError(
                "other processes cannot be listened to",
                where=self._database.where,
                hint="A connection of its own is needed, not one of a pool that is shared by transactions.",
            ) from error
