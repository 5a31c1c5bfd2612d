"""The allowance of auctions, of all processes that share the store.

Each tells the others five times a second what it has earned and spent since, and what it has set aside: so together
they may go beyond the allowance by what is set aside within that time, and make up for it afterwards. What was counted
stays counted when its process ends; what a killed one had set aside counts as spent: its auctions may have cost as
much.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, func, select, update

from sale.server.store.database import StoreDatabase
from sale.server.store.schema import allowances
from sale.storage.writing import Upsert, add

ALL: Final = ""
"""The owner of the row for all that was counted so far; no process is called so."""
LEASE_SECONDS: Final = 20.0
"""Seconds for which a process that says nothing more is taken to be alive."""
RENEW_SECONDS: Final = LEASE_SECONDS / 4
PUT_ALLOWANCES: Final = Upsert(allowances)


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowanceUse:
    """Dollars of one process, since it began to share."""

    earned: float
    spent: float
    reserved: float
    """For auctions under way."""


NOTHING: Final = AllowanceUse(earned=0.0, spent=0.0, reserved=0.0)


class SharedAllowance:
    """Exchange of this process's allowance with those of others."""

    def __init__(self, database: StoreDatabase, owner: str, clock: Callable[[], datetime]) -> None:
        """Nothing is told yet.

        Args:
            database: Of the store.
            owner: This process's name among those that share the database.
            clock: The time, in UTC.
        """
        self._database = database
        self._owner = owner
        self._clock = clock
        self._told = NOTHING
        self._due: datetime | None = None
        self._telling = asyncio.Lock()

    async def join(self) -> bool:
        """Begin to share; True where other processes do so already, False where the count begins with this one.

        Raises:
            StoreError: The database cannot be written.
        """
        now = self._clock()
        joined = await self._database.write(lambda connection: _join(connection, self._owner, now))
        self._due = now + timedelta(seconds=RENEW_SECONDS)
        return joined

    async def exchange(self, own: AllowanceUse) -> AllowanceUse:
        """Tell what is new of this process, and hear of all others; call `join` before.

        Args:
            own: In all, since it joined.

        Raises:
            StoreError: The database cannot be reached; nothing is lost, the next exchange tells it.
        """
        await self._database.finish(self._tell_news(own))
        return await self._database.read(lambda connection: _others(connection, self._owner, own))

    async def _tell_news(self, own: AllowanceUse) -> None:
        """Tell what is new, and take note of it: what is told and not noted would be added once more."""
        async with self._telling:
            told, now = self._told, self._clock()
            if own != told or self._due is None or now >= self._due:
                await self._database.write(lambda connection: _tell(connection, self._owner, told, own, now))
                self._told, self._due = own, now + timedelta(seconds=RENEW_SECONDS)

    async def leave(self, own: AllowanceUse) -> None:
        """Tell what is still to be told; nothing is set aside any more.

        Raises:
            StoreError: The database cannot be written.
        """
        async with self._telling:
            if self._due is None:
                return
            told, now = self._told, self._clock()
            last = AllowanceUse(earned=own.earned, spent=own.spent, reserved=0.0)

            def end(connection: Connection) -> None:
                _tell(connection, self._owner, told, last, now)
                connection.execute(delete(allowances).where(allowances.c.owner == self._owner))

            await self._database.write(end)
            self._told, self._due = last, None


def _row(owner: str, use: AllowanceUse, now: datetime) -> dict[str, object]:
    return {
        "owner": owner,
        "earned": use.earned,
        "spent": use.spent,
        "reserved": use.reserved,
        "expires_at": now + timedelta(seconds=LEASE_SECONDS),
    }


def _join(connection: Connection, owner: str, now: datetime) -> bool:
    # The others wait for the transaction that inserts the row for all, and then see the row of its process.
    add(connection, allowances, [_row(ALL, NOTHING, now)])
    connection.execute(select(allowances.c.owner).where(allowances.c.owner == ALL).with_for_update())
    _sweep(connection, now)
    alive = select(func.count()).where(allowances.c.owner.not_in((ALL, owner)))
    joined = connection.execute(alive.select_from(allowances)).scalar_one() > 0
    if not joined:
        PUT_ALLOWANCES.write(connection, [_row(ALL, NOTHING, now)])
    PUT_ALLOWANCES.write(connection, [_row(owner, NOTHING, now)])
    return joined


def _tell(connection: Connection, owner: str, told: AllowanceUse, own: AllowanceUse, now: datetime) -> None:
    more = {
        "earned": allowances.c.earned + (own.earned - told.earned),
        "spent": allowances.c.spent + (own.spent - told.spent),
        "expires_at": now + timedelta(seconds=LEASE_SECONDS),
    }
    connection.execute(update(allowances).where(allowances.c.owner == ALL).values(more))
    _sweep(connection, now)
    PUT_ALLOWANCES.write(connection, [_row(owner, own, now)])


def _sweep(connection: Connection, now: datetime) -> None:
    """Count what killed processes had set aside as spent."""
    dead = allowances.c.owner != ALL, allowances.c.expires_at <= now
    lost = connection.execute(delete(allowances).where(*dead).returning(allowances.c.reserved)).scalars()
    if dollars := sum(lost):
        spent = allowances.c.spent + dollars
        connection.execute(update(allowances).where(allowances.c.owner == ALL).values(spent=spent))


def _others(connection: Connection, owner: str, own: AllowanceUse) -> AllowanceUse:
    rows = {row.owner: row for row in connection.execute(select(allowances))}
    if ALL not in rows:
        return NOTHING
    total = rows[ALL]
    reserved = sum(row.reserved for name, row in rows.items() if name not in {ALL, owner})
    return AllowanceUse(earned=total.earned - own.earned, spent=total.spent - own.spent, reserved=reserved)
