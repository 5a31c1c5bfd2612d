"""Conversations: at hand in the process that serves them, written a moment later, found by others in the database.

Several processes may serve turns of the same session. What only grows (turns, dollars) is written as what was added, so
that no process overwrites what another one counted; for the rest the latest turn is right.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Connection, Double, RowMapping, Select, bindparam, case, or_, select

from sale.server.periodic_task import PeriodicTask
from sale.server.store.answers import AnswerIds
from sale.server.store.answers import write as write_answers
from sale.server.store.database import StoreDatabase
from sale.server.store.schema import sessions
from sale.server.store.types import Session
from sale.storage.writing import Upsert

KEPT: Final = 4096
FRESH_SECONDS: Final = 2.0
"""Seconds for which a session at hand is not compared with what other processes did."""
DIGESTS: Final = ("tail", "talk", "link", "hint")
"""Columns that hold digests of the latest turn."""
MAX_ALIKE: Final = 64
"""Sessions with the same digests that are looked at, the latest."""
LATEST_SECONDS: Final = 60.0
WRITE_SECONDS: Final = 0.05
"""Soon, so that the next turn may come to another process."""
PUT_SESSIONS: Final = Upsert(
    sessions,
    began=sessions.c.began,
    turns=case((bindparam("is_known", type_=Boolean), sessions.c.turns), else_=0)
    + bindparam("added_turns", type_=BigInteger),
    dollars=case((bindparam("is_known", type_=Boolean), sessions.c.dollars), else_=0.0)
    + bindparam("added_dollars", type_=Double),
)

Place = tuple[str, str]
"""A session's key, empty for none, and its name there."""


def place_of(session: Session) -> Place:
    """Where a session is found."""
    return (session.key_id or "", session.id)


@dataclass(slots=True)
class CachedSession:
    """A session at hand."""

    session: Session
    stored: Session | None
    """As the database has it, as far as this process knows."""
    at: float
    """When it was last put or read, on the monotonic clock."""


class SessionCache:
    """The sessions at hand, and those waiting to be written; with them the ids of their answers."""

    def __init__(self, database: StoreDatabase) -> None:
        """To be made inside a running event loop."""
        self._database = database
        self.answers = AnswerIds(database)
        self._entries: OrderedDict[Place, CachedSession] = OrderedDict()
        self._unwritten: dict[Place, CachedSession] = {}
        self._writing = asyncio.Lock()
        self._pulse = PeriodicTask(LATEST_SECONDS, self._write, "writing sessions")

    def put(self, session: Session) -> None:
        """Keep a session, new or one turn later; it is on disk a few hundredths of a second after."""
        place = place_of(session)
        known = self._entries.get(place) or self._unwritten.get(place)
        entry = CachedSession(session=session, stored=known.stored if known else None, at=time.monotonic())
        self._keep(entry)
        self._unwritten[place] = entry
        self._pulse.wake_within(WRITE_SECONDS)

    async def of_id(self, session_id: str, key_id: str | None, *, fresh: bool = False) -> Session | None:
        """The session that a key calls so.

        Args:
            session_id: Its name.
            key_id: The key.
            fresh: Whether the database is asked even where it is at hand.

        Raises:
            StoreError: It is not at hand and the database cannot be read.
        """
        place = (key_id or "", session_id)
        if not fresh and (found := self._at_hand(place)) is not None:
            return found
        return await self._ask(select(sessions).where(sessions.c.key_id == place[0], sessions.c.id == session_id))

    async def of_auction(self, auction_id: str, key_id: str | None) -> Session | None:
        """A key's session whose present auction this is.

        Raises:
            StoreError: The database cannot be read.
        """
        owner = key_id or ""
        waiting = [one.session for place, one in self._unwritten.items() if place[0] == owner]
        if (here := next((one for one in waiting if one.auction_id == auction_id), None)) is not None:
            return here
        asked = select(sessions).where(sessions.c.key_id == owner, sessions.c.auction_id == auction_id)
        found = await self._ask(asked.order_by(sessions.c.seen.desc()).limit(1))
        return found if found is not None and found.auction_id == auction_id else None

    async def of_digests(self, digests: Sequence[str], key_id: str | None) -> tuple[Session, ...]:
        """A key's sessions whose latest turn has one of these digests, the latest first.

        Raises:
            StoreError: The database cannot be read.
        """
        wanted = frozenset(digests) - {""}
        if not wanted:
            return ()
        owner = key_id or ""
        # As it is before the database is read: what is written meanwhile is in one of the two.
        waiting = {place: one.session for place, one in self._unwritten.items() if place[0] == owner}
        given = [sessions.c[name].in_(wanted) for name in DIGESTS]
        asked = select(sessions).where(sessions.c.key_id == owner, or_(*given))
        asked = asked.order_by(sessions.c.seen.desc()).limit(MAX_ALIKE)
        stored = await self._database.read(lambda connection: _sessions(connection, asked))
        found = {place_of(one): one for one in stored} | waiting
        having = [one for one in found.values() if wanted & {getattr(one, name) for name in DIGESTS}]
        return tuple(sorted(having, key=lambda one: one.seen, reverse=True))

    async def recent(self, limit: int) -> tuple[Session, ...]:
        """The sessions that were last seen, newest first.

        Raises:
            StoreError: The database cannot be read.
        """
        await self._write()
        asked = select(sessions).order_by(sessions.c.seen.desc(), sessions.c.id).limit(limit)
        return await self._database.read(lambda connection: _sessions(connection, asked))

    async def flush(self) -> None:
        """Have all written that waits, so that other processes find it.

        Raises:
            StoreError: The database cannot be written; the sessions wait on.
        """
        await self._write()

    async def close(self) -> None:
        """Write what waits.

        Raises:
            StoreError: The database cannot be written.
        """
        await self._pulse.close()
        await self.answers.close()
        await self._write()

    async def forget_key(self, key_id: str) -> None:
        """Let go of the sessions of a key that is about to be deleted."""
        self.answers.forget_key(key_id)
        for place in [one for one in self._entries if one[0] == key_id]:
            del self._entries[place]
            self._unwritten.pop(place, None)
        async with self._writing:  # a write under way may have some of them
            pass

    def _at_hand(self, place: Place) -> Session | None:
        if (waiting := self._unwritten.get(place)) is not None:
            return waiting.session
        entry = self._entries.get(place)
        return None if entry is None or time.monotonic() - entry.at > FRESH_SECONDS else entry.session

    async def _ask(self, asked: Select[Any]) -> Session | None:
        found = await self._database.read(lambda connection: _sessions(connection, asked))
        if not found:
            return None
        (session,) = found
        if (waiting := self._unwritten.get(place_of(session))) is not None:  # put while the database was asked
            return waiting.session
        self._keep(CachedSession(session=session, stored=session, at=time.monotonic()))
        return session

    def _keep(self, entry: CachedSession) -> None:
        place = place_of(entry.session)
        self._entries.pop(place, None)
        self._entries[place] = entry
        while len(self._entries) > KEPT:
            self._entries.popitem(last=False)

    async def _write(self) -> None:
        """Write what waits, to the end even if the caller leaves; what is put meanwhile waits for the next time."""
        await self._database.finish(self._write_waiting())

    async def _write_waiting(self) -> None:
        """Write, and take note of it: what is on disk and not noted would be added once more."""
        async with self._writing:
            batch, named = dict(self._unwritten), self.answers.waiting()
            if not batch and not named:
                return

            def work(connection: Connection) -> None:
                write(connection, list(batch.values()))
                write_answers(connection, named)

            await self._database.write(work)
            self.answers.forget_written(named)
            for place, entry in batch.items():
                entry.stored = entry.session
                later = self._unwritten.get(place)
                if later is None:  # its key was deleted meanwhile
                    continue
                later.stored = entry.session
                if later is entry:
                    del self._unwritten[place]


def write(connection: Connection, entries: Sequence[CachedSession]) -> None:
    """Insert sessions, or bring those that are there up to date."""
    PUT_SESSIONS.write(connection, [_row(entry) for entry in sorted(entries, key=lambda one: place_of(one.session))])


def _row(entry: CachedSession) -> dict[str, object]:
    session, stored = entry.session, entry.stored
    row = {name: getattr(session, name) for name in Session.__dataclass_fields__}
    row["key_id"] = session.key_id or ""
    row["is_known"] = stored is not None
    row["added_turns"] = session.turns - (stored.turns if stored else 0)
    row["added_dollars"] = session.dollars - (stored.dollars if stored else 0.0)
    return row


def _sessions(connection: Connection, asked: Select[Any]) -> tuple[Session, ...]:
    return tuple(_session(row) for row in connection.execute(asked).mappings())


def _session(row: RowMapping) -> Session:
    values: dict[str, Any] = {name: row[name] for name in Session.__dataclass_fields__}
    values["key_id"] = values["key_id"] or None
    values["require"] = values["require"] or ""
    return Session(**values)
