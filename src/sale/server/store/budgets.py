"""Reserving money before a call and settling after, for all keys of one process; `accounts` says how processes agree.

Most requests are served from the process's slice, in memory. Those that find it empty wait for the database together:
one transaction serves all that wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection

from sale.errors import BudgetError, StoreError
from sale.server.store import accounts
from sale.server.store.accounts import Account, LeaseGrant, Waiter
from sale.server.store.database import StoreDatabase
from sale.server.store.keys import KeyRow
from sale.server.store.periods import dollars, end_of, start_of

IDLE_SECONDS: Final = 5.0
"""Seconds after which an unused lease goes back."""
ALIVE_SECONDS: Final = 8.0
"""Seconds between signs that this process lives."""
CALL_SECONDS: Final = 5.0
"""Seconds the others may take to give back what they do not use."""
AGAIN_SECONDS: Final = 0.05
AT_ONCE: Final = 100
"""Accounts in one transaction."""
Place = tuple[str, datetime]


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class Budgets:
    """The accounts of the keys in use."""

    def __init__(self, database: StoreDatabase, owner: str, clock: Callable[[], datetime] = utc_now) -> None:
        """`owner` is this process's name among those that share the database."""
        self._database = database
        self._owner = owner
        self._clock = clock
        self._accounts: dict[Place, Account] = {}
        self._serving: dict[Place, asyncio.Task[None]] = {}
        self._agreeing = asyncio.Lock()
        self.on_low: Callable[[], None] = _ignore_low
        """Called when a slice runs low: the next tick should not be long."""

    def account(self, key: KeyRow) -> Account:
        """The account of a key for the present period."""
        start = start_of(key.period, self._clock())
        found = self._accounts.get((key.id, start))
        if found is None:
            found = Account(key=key.id, starts_at=start, ends_at=end_of(key.period, start), limit=key.budget)
            self._accounts[key.id, start] = found
        return found

    async def reserve(self, account: Account, amount: int) -> None:
        """Set money aside, in nano-dollars.

        Raises:
            BudgetError: There is not enough left, even with what other processes hold and do not use.
            StoreError: The database had to be asked and cannot be.
        """
        account.used_at = time.monotonic()
        if account.limit is None or amount <= account.at_hand:
            account.hand_out(amount)
        elif not await self._wait(account, amount):
            raise self._refusal(account, account.limit, amount)
        if account.is_low and not account.waiting:
            self.on_low()

    def release(self, account: Account, reserved: int, spent: int) -> None:
        """Free what was set aside, except what was spent."""
        account.busy -= reserved
        account.unsettled += spent

    async def tick(self) -> None:
        """Write what was spent, answer the calls of others, show that this process lives, give back what is idle.

        Raises:
            StoreError: The database cannot be written; nothing is lost, the next tick tries again.
        """
        calls = await self._calls()
        for place, call in calls.items():
            if place in self._accounts:
                self._accounts[place].last_recall = call
        now = time.monotonic()
        due = [one for one in self._accounts.values() if _is_due(one, now)]
        for at in range(0, len(due), AT_ONCE):
            async with self._agreeing:
                await self._agree(due[at : at + AT_ONCE])
        at_present = self._clock()
        for place, account in list(self._accounts.items()):
            if account.is_spent and account.ends_at is not None and account.ends_at <= at_present:
                del self._accounts[place]

    async def close(self) -> None:
        """Write what was spent, and give all slices back.

        Raises:
            StoreError: The database cannot be written; what was not is lost, and the slices lapse.
        """
        while self._serving:
            await asyncio.wait(self._serving.values())
        held = [one for one in self._accounts.values() if one.held or one.unsettled]
        for account in held:
            account.busy = 0
        for at in range(0, len(held), AT_ONCE):
            async with self._agreeing:
                await self._agree(held[at : at + AT_ONCE], spare=False)

    async def _calls(self) -> dict[Place, int]:
        if not any(one.held for one in self._accounts.values()):
            return {}
        return await self._database.read(lambda connection: accounts.read_recalls(connection, self._owner))

    async def _wait(self, account: Account, amount: int) -> bool:
        """Wait for the database; whether the money was set aside."""
        waiter = Waiter(amount=amount, granted=asyncio.get_running_loop().create_future())
        account.waiting.append(waiter)
        place = (account.key, account.starts_at)
        if place not in self._serving:
            self._serving[place] = asyncio.ensure_future(self._serve(account))
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            granted = waiter.granted
            if granted.done() and not granted.cancelled() and granted.exception() is None and granted.result():
                self.release(account, amount, 0)  # it came too late
            raise

    async def _serve(self, account: Account) -> None:
        """Ask the database until no request waits. Ends in the same step in which it finds that none does."""
        call = False
        try:
            while account.waiting:
                async with self._agreeing:
                    if _hand_out_available(account):
                        continue
                    (grant,) = await self._agree([account], call=call)
                now = time.monotonic()
                _hand_out(account, grant, now)
                short = [waiter for waiter in account.waiting if waiter.asked]
                # Again where all have answered, and one has taken more since than it uses.
                call = any(waiter.recalled_at is None for waiter in short) or (bool(short) and grant.unanswered == 0)
                for waiter in short:
                    waiter.recalled_at = now if waiter.recalled_at is None else waiter.recalled_at
                if short and not call:
                    await asyncio.sleep(AGAIN_SECONDS)
        except StoreError as error:
            _fail(account, error)
        finally:
            del self._serving[account.key, account.starts_at]

    async def _agree(self, due: Sequence[Account], *, call: bool = False, spare: bool = True) -> list[LeaseGrant]:
        """One transaction for several accounts, with the lock held. Never cancelled: what was written must be known."""
        at = time.monotonic()
        keep = {one.key: spare and at - one.used_at < IDLE_SECONDS for one in due}
        # Rows are locked in the same order by all.
        ordered = sorted(due, key=lambda one: (one.key, one.starts_at))
        requests = [(one, one.request_lease(self._owner, spare=keep[one.key], call=call)) for one in ordered]
        now = self._clock()

        def work(connection: Connection) -> list[LeaseGrant]:
            return [accounts.grant_lease(connection, request, now) for _, request in requests]

        for account in ordered:
            account.agreeing = True
        try:
            found = await self._database.write(work)
        finally:
            for account in ordered:
                account.agreeing = False
        for (account, request), grant in zip(requests, found, strict=True):
            account.take(request, grant, at)
        return found

    def _refusal(self, account: Account, limit: int, amount: int) -> BudgetError:
        left = max(account.left - account.busy - account.unsettled, 0)
        until = "" if account.ends_at is None else f" until {account.ends_at:%Y-%m-%d %H:%M} UTC"
        wait = None if account.ends_at is None else max((account.ends_at - self._clock()).total_seconds(), 0.0)
        return BudgetError(
            f"the request may cost ${dollars(amount):.4g}, and ${dollars(left):.4g} of the key's budget of "
            f"${dollars(limit):.4g} is left{until}",
            hint="Ask for fewer tokens, or wait for requests under way to be settled.",
            retry_after=wait,
        )


def _ignore_low() -> None:
    """Do nothing."""


def _is_due(account: Account, now: float) -> bool:
    """Return whether an account has news for the others. One that is being served tells them anyway."""
    if account.waiting:
        return False
    if account.unsettled or account.is_low:
        return True
    if not account.held:
        return False
    idle = account.available > 0 and now - account.used_at > IDLE_SECONDS
    return idle or account.last_recall > account.answered or now - account.agreed_at > ALIVE_SECONDS


def _hand_out_available(account: Account) -> bool:
    """Serve those who wait from what came free meanwhile; whether that was enough for all of them."""
    waiting = [waiter for waiter in account.waiting if not waiter.granted.done()]
    if sum(waiter.amount for waiter in waiting) > account.available:
        return False
    for waiter in waiting:
        account.busy += waiter.amount
        waiter.granted.set_result(True)
    account.waiting.clear()
    return True


def _hand_out(account: Account, grant: LeaseGrant, now: float) -> None:
    """Serve those who wait, in their order, and refuse whom nothing can help."""
    waiting, account.waiting = account.waiting, type(account.waiting)()
    for waiter in waiting:
        if waiter.granted.done():  # it has left
            continue
        if waiter.amount <= account.available:
            account.busy += waiter.amount
            waiter.granted.set_result(True)
        elif waiter.asked and waiter.amount > account.in_reach + _to_come(waiter, grant, now):
            waiter.granted.set_result(False)
        else:
            account.waiting.append(waiter)


def _to_come(waiter: Waiter, grant: LeaseGrant, now: float) -> int:
    """Return what others may still give back: all they hold, until they were asked for what they do not use."""
    if waiter.recalled_at is None:
        return grant.others
    if now - waiter.recalled_at > CALL_SECONDS:
        return 0
    return grant.others if grant.unanswered else grant.spare


def _fail(account: Account, error: StoreError) -> None:
    waiting, account.waiting = account.waiting, type(account.waiting)()
    for waiter in waiting:
        if not waiter.granted.done():
            waiter.granted.set_exception(error)
