"""What one key may spend in one period, as one process sees it, and the transaction that agrees it with the others.

The budget is in the database; each process reserves a slice of it there and hands it out by itself. In the database,
what is spent and all slices together never exceed the budget, so processes cannot overspend it together; in the
process, what is handed out never exceeds its slice. A slice is an eighth of what is left, so it shrinks as the budget
does, and in the end is just what is asked for. Who is short of money asks for what others hold and do not use, and is
refused only when they have given that back. The slices of a process that has died lapse.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, select, update

from sale.server.store.schema import budgets, slices
from sale.server.store.writing import add, put

SHARE: Final = 8
"""A slice is this part of what is left."""
LAPSE: Final = timedelta(seconds=30)
"""A process that was not heard of for so long is dead."""


@dataclass(slots=True)
class Ticket:
    """One who waits for money."""

    amount: int
    granted: asyncio.Future[bool]
    """`False` where there is not enough."""
    asked: bool = False
    """The database was asked for it."""
    called: float | None = None
    """When others were first asked for it to give back what they do not use, on the monotonic clock."""


@dataclass(slots=True)
class Account:
    """The money of one key in one period, in nano-dollars."""

    key: str
    starts_at: datetime
    ends_at: datetime | None
    limit: int | None
    """`None` for no limit: then it only counts what is spent."""
    held: int = 0
    """The slice: reserved in the database for this process."""
    busy: int = 0
    """Of it, set aside for requests under way."""
    unsettled: int = 0
    """Of it, spent, and not yet written."""
    used_at: float = 0.0
    """When it was last asked, on the monotonic clock."""
    agreed_at: float = 0.0
    """When it last agreed with the database."""
    answered: int = 0
    """The last call for unused money that it has answered."""
    heard: int = 0
    """The last call it has heard."""
    agreeing: bool = False
    """The database is being asked: until it has answered, only what is afloat may be handed out."""
    afloat: int = 0
    """What is certain to be kept, whatever the database answers."""
    waiting: deque[Ticket] = field(default_factory=lambda: deque[Ticket]())
    """Those who wait for the database, in the order they came."""

    left: int = 0
    """What was left for this process to reserve when it last agreed with the database."""

    @property
    def slack(self) -> int:
        """What can be handed out without asking anybody."""
        return self.held - self.busy - self.unsettled

    @property
    def in_reach(self) -> int:
        """What could be handed out after asking the database, while others keep what they hold."""
        return max(self.left, self.held) - self.busy - self.unsettled

    @property
    def is_spent(self) -> bool:
        """Whether nothing more will come of it: no money is held, set aside or to be written."""
        return not (self.held or self.busy or self.unsettled or self.waiting)

    @property
    def at_hand(self) -> int:
        """What can be handed out at once."""
        if self.waiting:  # they came first
            return -1
        return self.afloat if self.agreeing else self.slack

    @property
    def is_low(self) -> bool:
        """Whether so little is at hand that asking for more in good time is worth a transaction."""
        return self.limit is not None and self.slack < (self.left - self.busy - self.unsettled) // SHARE // 2

    def hand_out(self, amount: int) -> None:
        """Set some of what is at hand aside."""
        self.busy += amount
        if self.agreeing:
            self.afloat -= amount

    def wish(self, owner: str, *, spare: bool, call: bool) -> Wish:
        """What to agree now: all that was spent is written, and there is enough for all who wait.

        Args:
            owner: This process.
            spare: Keep what is not in use, too, and half of it in any case, so that requests go on meanwhile.
            call: Ask the others to give back what they do not use.
        """
        for ticket in self.waiting:
            ticket.asked = True
        slack = max(self.slack, 0) if spare else 0
        self.afloat = 0 if call or self.waiting or self.heard > self.answered else slack // 2
        return Wish(
            key=self.key,
            starts_at=self.starts_at,
            limit=self.limit,
            owner=owner,
            spent=self.unsettled,
            busy=self.busy,
            afloat=self.afloat,
            slack=slack - self.afloat,
            answered=self.answered,
            refill=spare,
            asks=tuple(ticket.amount for ticket in self.waiting),
            call=call,
        )

    def take(self, wish: Wish, agreed: Agreed, at: float) -> None:
        """The database has agreed to `wish`."""
        self.unsettled -= wish.spent
        self.held = agreed.held
        self.left = agreed.free
        self.answered = agreed.answered
        self.heard = agreed.wanted
        self.afloat = 0
        self.agreed_at = at


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What a process wants to agree with the others about one account."""

    key: str
    starts_at: datetime
    limit: int | None
    owner: str
    spent: int
    """To be written as spent."""
    busy: int
    """Set aside for requests under way; kept in any case."""
    afloat: int
    """May be set aside meanwhile; kept in any case, too."""
    slack: int
    """What it would keep beyond that, if nobody else is in want of it."""
    answered: int
    """The last call it has answered."""
    refill: bool
    """Have a new share of what is left, if nobody else is in want of it."""
    asks: tuple[int, ...] = ()
    """What those who wait ask for, in their order."""
    call: bool = False
    """Ask the others to give back what they do not use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """What a process holds, as others see it."""

    held: int
    spare: int
    """Of it, what was not in use when they last agreed."""
    answered: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreed:
    """What came of it."""

    held: int
    free: int
    """What is neither spent nor held by others."""
    wanted: int
    """The number of the last call."""
    answered: int
    """The number of the last call this process has answered: the last, unless it kept something afloat."""
    others: int
    """What other processes hold."""
    spare: int
    """Of it, what was not in use when they last agreed."""
    silent: int
    """Of it, held by processes that have not answered the last call yet."""


def agree(connection: Connection, wish: Wish, now: datetime) -> Agreed:
    """Write what was spent, and hold as much of the rest as there is and is wished for.

    The row of the budget is locked first, so that processes take turns.
    """
    where = (budgets.c.key == wish.key, budgets.c.starts_at == wish.starts_at)
    add(connection, budgets, [{"key": wish.key, "starts_at": wish.starts_at, "spent": 0, "wanted": 0}])
    change = {"spent": budgets.c.spent + wish.spent, "wanted": budgets.c.wanted + int(wish.call)}
    change_all = update(budgets).where(*where).values(change).returning(budgets.c.spent, budgets.c.wanted)
    spent, wanted = connection.execute(change_all).one()
    if wish.limit is None:
        return Agreed(held=0, free=0, wanted=wanted, answered=wanted, others=0, spare=0, silent=0)
    others = _others(connection, wish, now)
    total = sum(held for held, _, _ in others)
    silent = sum(held for held, _, answered in others if answered < wanted)
    free = wish.limit - spent - total
    more = _fitting(wish.asks, free - wish.busy - wish.afloat)
    held = _hold(wish, more, free, contested=silent > 0 or wish.answered < wanted)
    answered = wish.answered if wish.afloat else wanted
    _write_slice(connection, wish, Slice(held=held, spare=max(held - wish.busy - more, 0), answered=answered), now)
    return Agreed(
        held=held,
        free=free,
        wanted=wanted,
        answered=answered,
        others=total,
        spare=sum(spare for _, spare, _ in others),
        silent=silent,
    )


def _fitting(asks: tuple[int, ...], free: int) -> int:
    """What those can be given who fit into what is free, in their order; a part of what one asks for helps nobody."""
    given = 0
    for amount in asks:
        if given + amount <= free:
            given += amount
    return given


def _hold(wish: Wish, more: int, free: int, *, contested: bool) -> int:
    """How large the slice shall be.

    Args:
        wish: Whose.
        more: For those who wait.
        free: What is neither spent nor held by others.
        contested: Somebody is short, so nobody keeps more than it needs.
    """
    kept = wish.busy + wish.afloat
    needed = kept + more
    spare = 0 if contested else wish.slack
    if wish.refill and not contested:
        spare = max(spare, (free - needed) // SHARE)
    return max(kept, min(needed + max(spare, 0), free))


def _others(connection: Connection, wish: Wish, now: datetime) -> list[tuple[int, int, int]]:
    """What each other process holds, what of it is spare, the last call it has answered; the dead are forgotten."""
    mine = (slices.c.key == wish.key, slices.c.starts_at == wish.starts_at)
    connection.execute(delete(slices).where(*mine, slices.c.owner != wish.owner, slices.c.expires_at < now))
    asked = select(slices.c.held, slices.c.spare, slices.c.answered).where(*mine, slices.c.owner != wish.owner)
    return [(row.held, row.spare, row.answered) for row in connection.execute(asked)]


def _write_slice(connection: Connection, wish: Wish, part: Slice, now: datetime) -> None:
    row = {
        "key": wish.key,
        "starts_at": wish.starts_at,
        "owner": wish.owner,
        "held": part.held,
        "spare": part.spare,
        "answered": part.answered,
        "expires_at": now + LAPSE,
    }
    if part.held > 0:
        put(connection, slices, [row])
        return
    mine = (slices.c.key == wish.key, slices.c.starts_at == wish.starts_at, slices.c.owner == wish.owner)
    connection.execute(delete(slices).where(*mine))


def calls(connection: Connection, owner: str) -> dict[tuple[str, datetime], int]:
    """By key and beginning of the period, the number of the last call for money, where `owner` holds some."""
    joined = (
        select(budgets.c.key, budgets.c.starts_at, budgets.c.wanted)
        .join(slices, (slices.c.key == budgets.c.key) & (slices.c.starts_at == budgets.c.starts_at))
        .where(slices.c.owner == owner)
    )
    return {(row.key, row.starts_at): row.wanted for row in connection.execute(joined)}
