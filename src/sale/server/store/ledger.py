"""One line for each request, queued in memory and written in batches; and what the lines come to."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any, Final

from sqlalchemy import Column, Connection, Integer, case, cast, func, select

from sale.errors import InputError, MissingExtraError, StoreError
from sale.server.periodic_task import PeriodicTask
from sale.server.store.database import StoreDatabase
from sale.server.store.schema import archives, keys, requests
from sale.server.store.types import Grouping, LedgerEntry, Spending
from sale.storage.writing import Upsert
from sale.wording import quantity

FLUSH_SECONDS: Final = 0.25
BATCH: Final = 500
QUEUE: Final = 10_000
"""Lines that wait to be written; who comes then waits, too."""
COMMIT_SECONDS: Final = 5.0
"""Seconds that the end of an answer is held back for its line, where the database does not take it."""
log = logging.getLogger(__name__)
NONE: Final = "(none)"
Group = tuple[str | None, ...]
Sums = dict[str, Any]
"""Of one group: its label, the values of the columns it is of, and the sum of each other column."""
SUMMED: Final = ("input_tokens", "output_tokens", "cached_tokens", "work_dollars", "auction_dollars", "largest_dollars")
GROUPS: Final[dict[Grouping, tuple[Column[str], ...]]] = {
    "day": (requests.c.day,),
    "agent": (requests.c.agent,),
    "key": (requests.c.key_id,),
    "session": (requests.c.session_id, requests.c.key_id),  # each key names its sessions itself
    "path": (requests.c.path,),
    "model": (requests.c.model,),
}
ERROR: Final = 400
PUT_REQUESTS: Final = Upsert(requests)


class RequestLedger:
    """The queue and its writer."""

    def __init__(self, database: StoreDatabase) -> None:
        """To be made inside a running event loop."""
        self._database = database
        self._lines: deque[LedgerEntry] = deque()
        self._room = asyncio.Event()
        self._room.set()
        self._pulse = PeriodicTask(FLUSH_SECONDS, self._write, "writing the ledger")
        self._closed = False
        self._writing = asyncio.Lock()
        self._noted = 0
        """Lines that were queued so far."""
        self._committed = 0
        """Of those, the ones that are in the database; they are written in their order."""
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def queued(self) -> int:
        """Lines that wait to be written."""
        return len(self._lines)

    async def note(self, line: LedgerEntry) -> None:
        """Queue a line. Where the queue is full, wait until there is room: no line is lost.

        Raises:
            InputError: Its time has no zone, or a number in it is not finite: the lines after it could not be written.
            StoreError: The ledger is closed.
        """
        numbers = (line.work_dollars, line.auction_dollars, line.largest_dollars, line.seconds, line.wait_seconds)
        if line.at.tzinfo is None or not math.isfinite(sum(numbers) + (line.first_token_seconds or 0.0)):
            raise InputError(f"the line cannot be put on the ledger: {line!r}")
        while len(self._lines) >= QUEUE and not self._closed:
            self._room.clear()
            await self._room.wait()
        if self._closed:
            raise StoreError("it is closed", where=self._database.where, hint="Open it again.")
        self._lines.append(line)
        self._noted += 1
        if len(self._lines) >= BATCH:
            self._pulse.wake()

    async def commit(self, line: LedgerEntry) -> None:
        """Put a line on the ledger, and wait until it is in the database; lines that wait together cost one write.

        Where the database does not answer for `COMMIT_SECONDS`, the line stays queued, and the caller goes on.

        Raises:
            InputError, StoreError: As for `note`.
        """
        await self.note(line)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((self._noted, written))
        self._pulse.wake()
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await written
        except TimeoutError:
            log.warning("an answer's line is not in the database after %.0f s; it stays queued", COMMIT_SECONDS)

    async def _write(self) -> None:
        """Write what waits, to the end even if the caller leaves; what could not be written stays queued."""
        await self._database.finish(self._write_waiting())

    async def _write_waiting(self) -> None:
        """Write batch by batch.

        One at a time: a line that was written twice would be back after it was moved to an archive in between.
        """
        async with self._writing:
            while self._lines:
                batch = [self._lines[at] for at in range(min(BATCH, len(self._lines)))]
                await self._database.write(lambda connection, batch=batch: write(connection, batch))
                for _ in batch:
                    self._lines.popleft()
                self._room.set()
                self._committed += len(batch)
                while self._waiters and self._waiters[0][0] <= self._committed:
                    _, written = self._waiters.popleft()
                    if not written.done():
                        written.set_result(None)

    async def flush(self) -> None:
        """Have everything written that waits now.

        Raises:
            StoreError: The database cannot be written; the lines stay queued.
        """
        await self._write()

    async def close(self) -> None:
        """Write everything.

        Raises:
            StoreError: The database cannot be written; says how many lines are lost.
        """
        self._closed = True
        self._room.set()
        await self._pulse.close()
        try:
            await self._write()
        except StoreError as error:
            raise StoreError(
                f"{quantity(len(self._lines), 'request')} could not be put on the ledger: {error.message}",
                where=error.where,
                hint=error.hint,
            ) from error


def write(connection: Connection, lines: Sequence[LedgerEntry]) -> None:
    """Write lines; one that is there already (before its answer ended, say) is not written twice: the later counts."""
    PUT_REQUESTS.write(connection, [_row(line) for line in lines])


def _row(line: LedgerEntry) -> dict[str, object]:
    row = {name: getattr(line, name) for name in LedgerEntry.__dataclass_fields__}
    row["day"] = line.at.date().isoformat()
    return row


def spend(connection: Connection, since: datetime | None, by: Grouping) -> tuple[Spending, ...]:
    """Sum the lines from `since` on, by group, archived ones too: days in order, the rest by dollars, most first.

    Raises:
        MissingExtraError: There are archived lines, and what reads them is not installed.
        StoreError: A file of archived lines cannot be read.
    """
    names = _key_names(connection) if by in {"key", "session"} else {}
    total: dict[Group, Sums] = {}
    for row in (*_sums(connection, GROUPS[by], since), *_archived(connection, since, by)):
        group = row["label"] if row["label"][0] is not None else (None,)
        known = total.setdefault(group, {})
        known |= {name: known.get(name, 0) + row[name] for name in ("requests", "failures", *SUMMED)}
    of_name = Counter(group[0] for group in total)
    labels = {group: _label(group, names, alone=of_name[group[0]] == 1) for group in total}
    found = [Spending(**sums, label=labels[group]) for group, sums in total.items()]
    return tuple(sorted(found, key=lambda one: one.label if by == "day" else (-one.dollars, one.label)))


def _label(group: Group, names: Mapping[str, str], *, alone: bool) -> str:
    """The words for a group: of sessions that several keys call alike, with the key."""
    first, *key = group
    if first is None:
        return NONE
    if not key:
        return names.get(first, first)
    of = "without a key" if key[0] is None else f"of {names.get(key[0], key[0])}"
    return first if alone else f"{first} {of}"


def _sums(connection: Connection, columns: Sequence[Column[str]], since: datetime | None) -> list[Sums]:
    ledger = requests.c
    # Sums of whole numbers are decimal numbers on PostgreSQL unless it is told otherwise.
    sums = [cast(func.sum(ledger[name]), ledger[name].type).label(name) for name in SUMMED]
    failed = cast(func.sum(case((ledger.status >= ERROR, 1), else_=0)), Integer).label("failures")
    asked = select(*columns, func.count().label("requests"), failed, *sums).group_by(*columns)
    asked = asked if since is None else asked.where(ledger.at >= since)
    rows = connection.execute(asked).mappings()
    return [{**row, "label": tuple(row[column.name] for column in columns)} for row in rows]


def _archived(connection: Connection, since: datetime | None, by: Grouping) -> Iterable[Sums]:
    """The sums of archived lines; what reads them is loaded only where there are some."""
    asked = select(archives.c.place, archives.c.digest)
    asked = asked if since is None else asked.where(archives.c.last_at >= since)
    places = {row.place: row.digest for row in connection.execute(asked)}
    if not places:
        return ()
    try:
        reader = import_module("sale.server.store.archives")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"archived lines of the ledger need {error.name}", hint="pip install 'sale[archive]'"
        ) from error
    return reader.archived_sums(places, since, by)


def _key_names(connection: Connection) -> dict[str, str]:
    return {row.id: f"{row.name} ({row.prefix}…)" for row in connection.execute(select(keys))}


def list_entries(
    connection: Connection, limit: int, session_id: str | None, key_id: str | None
) -> tuple[LedgerEntry, ...]:
    """The latest lines, newest first."""
    asked = select(requests).order_by(requests.c.at.desc(), requests.c.id).limit(limit)
    if session_id is not None:
        asked = asked.where(requests.c.session_id == session_id)
    if key_id is not None:
        asked = asked.where(requests.c.key_id == key_id)
    fields = [name for name in requests.columns.keys() if name != "day"]  # noqa: SIM118  it is not a mapping
    return tuple(LedgerEntry(**{name: row[name] for name in fields}) for row in connection.execute(asked).mappings())
