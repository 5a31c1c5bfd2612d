"""Which process begins a session: of several that are asked for one at the same time, one holds its auction.

A row with the session's key and name says so. Its owner pushes its end on while the auction lasts, so that one whose
process was killed is free again after `LEASE_SECONDS`. Times are the processes' own: their clocks may differ by less
than that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, and_, delete, or_, select, tuple_, update

from sale.server.periodic_task import PeriodicTask
from sale.server.store.database import StoreDatabase
from sale.server.store.schema import beginnings
from sale.storage.writing import dialect_insert

LEASE_SECONDS: Final = 20.0
"""Seconds for which a process that says nothing more is taken to be alive."""
RENEW_SECONDS: Final = LEASE_SECONDS / 4

Place = tuple[str, str]
"""A session's key, empty for none, and its name there."""


class Beginnings:
    """The sessions that this process is about to begin."""

    def __init__(
        self,
        database: StoreDatabase,
        owner: str,
        clock: Callable[[], datetime],
        flush: Callable[[], Awaitable[None]],
    ) -> None:
        """To be made inside a running event loop.

        Args:
            database: Of the store.
            owner: This process's name among those that share the database.
            clock: The time, in UTC.
            flush: Writes the sessions that wait, so that others find them.
        """
        self._database = database
        self._owner = owner
        self._clock = clock
        self._flush = flush
        self._own: set[Place] = set()
        self._pulse = PeriodicTask(RENEW_SECONDS, self._renew, "keeping sessions that begin")

    async def begin(self, session_id: str, key_id: str | None) -> bool:
        """Return whether this process may begin the session a key calls so; then no other does until `end`.

        Raises:
            StoreError: The database cannot be written.
        """
        place, now = (key_id or "", session_id), self._clock()
        if await self._database.read(lambda connection: _is_taken(connection, place, self._owner, now)):
            return False
        row = {"key_id": place[0], "id": place[1], "owner": self._owner, "expires_at": _end(now)}
        taken = await self._database.write(lambda connection: _take(connection, row, now))
        if taken:
            self._own.add(place)
        return taken

    async def end(self, session_id: str, key_id: str | None) -> None:
        """The session is begun, or is not: other processes may look for it now, and find it.

        Raises:
            StoreError: The database cannot be written; the row lapses by itself.
        """
        place = (key_id or "", session_id)
        self._own.discard(place)
        await self._flush()
        mine = and_(beginnings.c.key_id == place[0], beginnings.c.id == place[1], beginnings.c.owner == self._owner)
        await self._database.write(lambda connection: connection.execute(delete(beginnings).where(mine)))

    async def _renew(self) -> None:
        """Say that this process lives, and remove what has lapsed."""
        if own := sorted(self._own):
            now = self._clock()
            await self._database.write(lambda connection: _renew(connection, own, self._owner, now))

    async def close(self) -> None:
        """Renew nothing more."""
        await self._pulse.close()


def _end(now: datetime) -> datetime:
    return now + timedelta(seconds=LEASE_SECONDS)


def _is_taken(connection: Connection, place: Place, owner: str, now: datetime) -> bool:
    asked = select(beginnings.c.owner, beginnings.c.expires_at)
    row = connection.execute(asked.where(beginnings.c.key_id == place[0], beginnings.c.id == place[1])).one_or_none()
    return row is not None and row.owner != owner and row.expires_at > now


def _take(connection: Connection, row: Mapping[str, object], now: datetime) -> bool:
    insert = dialect_insert(connection, beginnings).values(row)
    free = or_(beginnings.c.expires_at <= now, beginnings.c.owner == row["owner"])
    changed = {"owner": row["owner"], "expires_at": row["expires_at"]}
    done = connection.execute(
        insert.on_conflict_do_update(index_elements=["key_id", "id"], set_=changed, where=free).returning(
            beginnings.c.owner
        )
    )
    return done.one_or_none() is not None


def _renew(connection: Connection, own: list[Place], owner: str, now: datetime) -> None:
    mine = and_(tuple_(beginnings.c.key_id, beginnings.c.id).in_(own), beginnings.c.owner == owner)
    connection.execute(update(beginnings).where(mine).values(expires_at=_end(now)))
    connection.execute(delete(beginnings).where(beginnings.c.expires_at <= now - timedelta(seconds=LEASE_SECONDS)))
