"""The money of one key in one period, as one process sees it, and the transaction that agrees it with the others.

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
from sale.storage.writing import Upsert, add

PUT_SLICE: Final = Upsert(slices)
SHARE: Final = 8
"""A slice is this part of what is left."""
LAPSE: Final = timedelta(seconds=30)
"""A process that was not heard of for so long is dead."""


@dataclass(slots=True)
class Waiter:
    """One who waits for money."""

    amount: int
    granted: asyncio.Future[bool]
    """`False` where there is not enough."""
    asked: bool = False
    """The database was asked for it."""
    recalled_at: float | None = None
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
    last_recall: int = 0
    """The last call it has heard."""
    agreeing: bool = False
    """The database is being asked: until it has answered, only what is afloat may be handed out."""
    provisional: int = 0
    """The part that is certain to be kept, whatever the database answers."""
    waiting: deque[Waiter] = field(default_factory=lambda: deque[Waiter]())
    """Those who wait for the database, in the order they came."""

    left: int = 0
    """The amount left for this process to reserve when it last agreed with the database."""

    @property
    def available(self) -> int:
        """The amount that can be handed out without asking the database."""
        return self.held - self.busy - self.unsettled

    @property
    def in_reach(self) -> int:
        """The amount that could be handed out after asking the database, while others keep what they hold."""
        return max(self.left, self.held) - self.busy - self.unsettled

    @property
    def is_spent(self) -> bool:
        """True where nothing more will come of it: no money is held, set aside or to be written."""
        return not (self.held or self.busy or self.unsettled or self.waiting)

    @property
    def at_hand(self) -> int:
        """The amount that can be handed out at once; −1 while others wait."""
        if self.waiting:  # they came first
            return -1
        return self.provisional if self.agreeing else self.available

    @property
    def is_low(self) -> bool:
        """True where so little is at hand that asking for more in good time is worth a transaction."""
        return self.limit is not None and self.available < (self.left - self.busy - self.unsettled) // SHARE // 2

    def hand_out(self, amount: int) -> None:
        """Set some of what is at hand aside."""
        self.busy += amount
        if self.agreeing:
            self.provisional -= amount

    def request_lease(self, owner: str, *, spare: bool, call: bool) -> LeaseRequest:
        """Return the request for a lease now: all that was spent is written, and there is enough for all who wait.

        Args:
            owner: This process.
            spare: Keep what is not in use, too, and half of it in any case, so that requests go on meanwhile.
            call: Ask the others to give back what they do not use.
        """
        for waiter in self.waiting:
            waiter.asked = True
        available = max(self.available, 0) if spare else 0
        self.provisional = 0 if call or self.waiting or self.last_recall > self.answered else available // 2
        return LeaseRequest(
            key=self.key,
            starts_at=self.starts_at,
            limit=self.limit,
            owner=owner,
            spent=self.unsettled,
            busy=self.busy,
            provisional=self.provisional,
            available=available - self.provisional,
            answered=self.answered,
            refill=spare,
            asks=tuple(waiter.amount for waiter in self.waiting),
            call=call,
        )

    def take(self, request: LeaseRequest, grant: LeaseGrant, at: float) -> None:
        """The database has agreed to `request`."""
        self.unsettled -= request.spent
        self.held = grant.held
        self.left = grant.free
        self.answered = grant.answered
        self.last_recall = grant.wanted
        self.provisional = 0
        self.agreed_at = at


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseRequest:
    """The request of a process for a lease on one account."""

    key: str
    starts_at: datetime
    limit: int | None
    owner: str
    spent: int
    """To be written as spent."""
    busy: int
    """Set aside for requests under way; kept in any case."""
    provisional: int
    """May be set aside meanwhile; kept in any case, too."""
    available: int
    """The amount it would keep beyond that, if no other process is short."""
    answered: int
    """The last call it has answered."""
    refill: bool
    """Have a new share of what is left, if no other process is short."""
    asks: tuple[int, ...] = ()
    """The amounts that waiting requests ask for, in their order."""
    call: bool = False
    """Ask the others to give back what they do not use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The amount a process holds, as others see it."""

    held: int
    spare: int
    """Of it, what was not in use when they last agreed."""
    answered: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseGrant:
    """The result of a request for a lease."""

    held: int
    free: int
    """The amount that is neither spent nor held by others."""
    wanted: int
    """The number of the last call."""
    answered: int
    """The number of the last call this process has answered: the last, unless it kept something afloat."""
    others: int
    """The amount that other processes hold."""
    spare: int
    """Of it, what was not in use when they last agreed."""
    unanswered: int
    """Of it, held by processes that have not answered the last call yet."""


def grant_lease(connection: Connection, request: LeaseRequest, now: datetime) -> LeaseGrant:
    """Write what was spent, and hold as much of the rest as there is and is wished for.

    The row of the budget is locked first, so that processes take turns.
    """
    where = (budgets.c.key == request.key, budgets.c.starts_at == request.starts_at)
    add(connection, budgets, [{"key": request.key, "starts_at": request.starts_at, "spent": 0, "wanted": 0}])
    change = {"spent": budgets.c.spent + request.spent, "wanted": budgets.c.wanted + int(request.call)}
    change_all = update(budgets).where(*where).values(change).returning(budgets.c.spent, budgets.c.wanted)
    spent, wanted = connection.execute(change_all).one()
    if request.limit is None:
        return LeaseGrant(held=0, free=0, wanted=wanted, answered=wanted, others=0, spare=0, unanswered=0)
    others = _others(connection, request, now)
    total = sum(held for held, _, _ in others)
    unanswered = sum(held for held, _, answered in others if answered < wanted)
    free = request.limit - spent - total
    more = _fitting(request.asks, free - request.busy - request.provisional)
    held = _hold(request, more, free, contested=unanswered > 0 or request.answered < wanted)
    answered = request.answered if request.provisional else wanted
    _write_lease(
        connection, request, Lease(held=held, spare=max(held - request.busy - more, 0), answered=answered), now
    )
    return LeaseGrant(
        held=held,
        free=free,
        wanted=wanted,
        answered=answered,
        others=total,
        spare=sum(spare for _, spare, _ in others),
        unanswered=unanswered,
    )


def _fitting(asks: tuple[int, ...], free: int) -> int:
    """Return the sum of those amounts that fit into what is free, in their order; an amount is never split."""
    given = 0
    for amount in asks:
        if given + amount <= free:
            given += amount
    return given


def _hold(request: LeaseRequest, more: int, free: int, *, contested: bool) -> int:
    """Return the size of the lease.

    Args:
        request: Whose.
        more: For those who wait.
        free: What is neither spent nor held by others.
        contested: A process is short, so none keeps more than it needs.
    """
    kept = request.busy + request.provisional
    needed = kept + more
    spare = 0 if contested else request.available
    if request.refill and not contested:
        spare = max(spare, (free - needed) // SHARE)
    return max(kept, min(needed + max(spare, 0), free))


def _others(connection: Connection, request: LeaseRequest, now: datetime) -> list[tuple[int, int, int]]:
    """Return other processes' leases (amount, spare part, last recall answered); expired ones are deleted."""
    mine = (slices.c.key == request.key, slices.c.starts_at == request.starts_at)
    connection.execute(delete(slices).where(*mine, slices.c.owner != request.owner, slices.c.expires_at < now))
    asked = select(slices.c.held, slices.c.spare, slices.c.answered).where(*mine, slices.c.owner != request.owner)
    return [(row.held, row.spare, row.answered) for row in connection.execute(asked)]


def _write_lease(connection: Connection, request: LeaseRequest, part: Lease, now: datetime) -> None:
    row = {
        "key": request.key,
        "starts_at": request.starts_at,
        "owner": request.owner,
        "held": part.held,
        "spare": part.spare,
        "answered": part.answered,
        "expires_at": now + LAPSE,
    }
    if part.held > 0:
        PUT_SLICE.write(connection, [row])
        return
    mine = (slices.c.key == request.key, slices.c.starts_at == request.starts_at, slices.c.owner == request.owner)
    connection.execute(delete(slices).where(*mine))


def read_recalls(connection: Connection, owner: str) -> dict[tuple[str, datetime], int]:
    """By key and beginning of the period, the number of the last call for money, where `owner` holds some."""
    joined = (
        select(budgets.c.key, budgets.c.starts_at, budgets.c.wanted)
        .join(slices, (slices.c.key == budgets.c.key) & (slices.c.starts_at == budgets.c.starts_at))
        .where(slices.c.owner == owner)
    )
    return {(row.key, row.starts_at): row.wanted for row in connection.execute(joined)}
