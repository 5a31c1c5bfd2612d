"""The server's store: keys and their limits, the ledger of requests, sessions.

A request meets the database only where it must: the first of a key, and those that find their process's slice of the
budget empty. All else is answered from memory and written behind, and everything is written when the store is closed.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Self, Unpack

from sale.server.periodic_task import PeriodicTask
from sale.server.store import keys, ledger
from sale.server.store.accounts import Account
from sale.server.store.allowances import SharedAllowance
from sale.server.store.beginnings import Beginnings
from sale.server.store.budgets import Budgets, utc_now
from sale.server.store.database import StoreDatabase
from sale.server.store.key_creation import KeyLimits, KeyOptions, create_key
from sale.server.store.key_state import describe_keys
from sale.server.store.keys import Keyring, KeyRow
from sale.server.store.ledger import RequestLedger
from sale.server.store.periods import nano
from sale.server.store.rates import RateLimits
from sale.server.store.responses import ResponseHistory
from sale.server.store.sessions import SessionCache
from sale.server.store.shadow import ShadowLedger
from sale.server.store.types import Grouping, Holder, KeyInfo, LedgerEntry, Reservation, Session, Spending

BEAT_SECONDS: Final = 0.2
ABANDONED_SECONDS: Final = 3600.0
"""Seconds after which an unsettled reservation is released; if it is settled all the same, what was spent counts."""
ANYBODY: Final = Holder(key_id=None, name="anybody", agents=None)
Clock = Callable[[], datetime]


@dataclass(slots=True)
class OpenReservation:
    """A reservation that is not settled."""

    key: KeyRow
    account: Account
    amount: int
    """Nano-dollars set aside; 0 once it was given up."""
    tokens: int
    second: int
    """The second of the rate window its tokens were counted in."""
    at: float


class ServerStore:
    """Keys, budgets, rate limits, the ledger and sessions; several processes may share one database."""

    def __init__(self, database: StoreDatabase, clock: Clock) -> None:
        """Use `open`."""
        self._database = database
        self._clock = clock
        owner = uuid.uuid4().hex
        self._keyring = Keyring(database)
        self._budgets = Budgets(database, owner, clock)
        self.rates = RateLimits(owner)
        self._ledger = RequestLedger(database)
        self._sessions = SessionCache(database)
        self.answers = self._sessions.answers
        self.beginnings = Beginnings(database, owner, clock, self._sessions.flush)
        self.allowance = SharedAllowance(database, owner, clock)
        self.responses = ResponseHistory(database)
        self.shadow = ShadowLedger(database)
        self._open: dict[str, OpenReservation] = {}
        self._numbers = (f"{owner}-{number}" for number in count(1))
        budgets = PeriodicTask(BEAT_SECONDS, self._budgets.tick, "keeping budgets")
        self._budgets.on_low = budgets.wake
        self._beats = [
            budgets,
            PeriodicTask(BEAT_SECONDS, self._exchange_rates, "sharing rates"),
            PeriodicTask(BEAT_SECONDS, self._keyring.keep_current, "looking for changed keys"),
            PeriodicTask(ABANDONED_SECONDS / 10, self._give_up, "looking for abandoned reservations"),
        ]

    @classmethod
    async def open(cls, place: str | Path, *, clock: Clock = utc_now) -> ServerStore:
        """Open a store and make or upgrade its tables.

        Args:
            place: A file for SQLite, or a URL: `postgresql://user@host/name`, `sqlite:///file`.
            clock: The time, in UTC.

        Raises:
            ConfigError: The URL is none, or names another kind of database.
            StoreError: It cannot be opened, or is newer than this version of `sale`.
        """
        return cls(await StoreDatabase.open(place), clock)

    @property
    def place(self) -> str:
        """The database, for messages; without its password."""
        return self._database.where

    @property
    def database(self) -> StoreDatabase:
        """The database, for what is done to it as a whole."""
        return self._database

    @property
    def queued(self) -> int:
        """Lines that wait to be written to the ledger."""
        return self._ledger.queued

    # Keys

    async def create_key(
        self,
        name: str,
        **limits: Unpack[KeyOptions],
    ) -> tuple[str, KeyInfo]:
        """Make a key.

        Args:
            name: Whose it is, or what for.
            limits: The fields of `KeyLimits`.

        Returns:
            The secret, which is not kept and cannot be shown again, and the key.

        Raises:
            InputError: A limit is invalid, the name is empty, the end is past, or a tenant cannot be called so.
            StoreError: The database cannot be written.
        """
        secret, key = create_key(name, KeyLimits(**limits), self._clock())
        await self._database.write(lambda connection: keys.insert(connection, key))
        await self._keyring.look()
        return secret, await self.key(key.id)

    async def keys(self) -> tuple[KeyInfo, ...]:
        """All keys, revoked ones too, the oldest first.

        Raises:
            StoreError: The database cannot be read.
        """
        return await self._database.read(lambda c: describe_keys(c, keys.list_keys(c), self._clock()))

    async def key(self, reference: str, *, unique: bool = False) -> KeyInfo:
        """The key of this id, prefix or name.

        Args:
            reference: Any of the three. Of several keys of a name, the one in force is meant.
            unique: Whether a name that a revoked key has, too, is refused.

        Raises:
            InputError: There is none, or several have the name.
            StoreError: The database cannot be read.
        """
        now = self._clock()
        (found,) = await self._database.read(lambda c: describe_keys(c, [keys.find(c, reference, unique=unique)], now))
        return found

    async def revoke_key(self, reference: str) -> KeyInfo:
        """Refuse a key from now on: here at once, in other processes within a second.

        Raises:
            InputError: There is none, or several have the name.
            StoreError: The database cannot be written.
        """
        key = await self._database.write(lambda c: keys.revoke(c, reference, self._clock()))
        await self._keyring.look()
        return await self.key(key.id)

    async def delete_key(self, reference: str) -> KeyInfo:
        """Remove a key for good, with its sessions; what it spent stays on the ledger, under its name.

        After the last one there are no keys, and everybody is let in again whom the server serves without.

        Returns:
            The key as it was.

        Raises:
            InputError: There is none, or several have the name, revoked ones too.
            StoreError: The database cannot be written.
        """
        before = await self.key(reference, unique=True)
        await self.responses.forget_key(before.id)
        await self._sessions.forget_key(before.id)
        await self._database.write(lambda c: keys.remove(c, before.id, self._clock()))
        await self._keyring.look()
        return before

    async def has_keys(self) -> bool:
        """Return whether there is a key, be it revoked or expired; without any every request is let in.

        Raises:
            StoreError: The database cannot be read.
        """
        return await self._keyring.has_keys()

    # Requests

    async def admit(self, secret: str | None) -> Holder:
        """Let a request in, and count it.

        Args:
            secret: What came as the bearer token.

        Raises:
            AuthenticationError: No key, or one that is unknown, expired or revoked.
            RateLimitError: The key has used up its minute; `retry_after` says for how long.
            StoreError: The key was not at hand and the database cannot be read.
        """
        key = await self._keyring.admit(secret)
        if key is None:
            return ANYBODY
        if key.rpm is not None or key.tpm is not None:
            wait = self.rates.request(key.id, key.rpm, key.tpm)
            if wait is not None:
                raise keys.too_fast(key, wait)
        return key.holder

    async def check(self, secret: str | None) -> Holder:
        """Return the holder of this key, as `admit`, without counting a request.

        Raises:
            AuthenticationError: No key, or one that is unknown, expired or revoked.
            StoreError: The key was not at hand and the database cannot be read.
        """
        key = await self._keyring.admit(secret)
        return ANYBODY if key is None else key.holder

    async def reserve(self, holder: Holder, dollars: float, tokens: int) -> Reservation:
        """Set aside what a request may cost at most, before it is sent. It must be settled, whatever happens.

        Args:
            holder: As admitted.
            dollars: The most it may cost.
            tokens: The most it may take, input and output.

        Raises:
            BudgetError: The budget does not cover it.
            RateLimitError: The tokens do not fit into this minute.
            StoreError: The database had to be asked and cannot be.
        """
        reservation = Reservation(id=next(self._numbers), holder=holder, dollars=dollars)
        if holder.key_id is None:
            return reservation
        key = self._keyring.find_cached(holder.key_id) or await self._keyring.of_id(holder.key_id)
        amount, second = nano(dollars), 0
        if key.tpm is not None:
            second, wait = self.rates.tokens(key.id, tokens, key.tpm)
            if wait is not None:
                raise keys.too_fast(key, wait)
        account = self._budgets.account(key)
        reserved = False
        try:
            await self._budgets.reserve(account, amount)
            reserved = True
        finally:
            if not reserved and key.tpm is not None:
                self.rates.correct(key.id, second, -tokens)
        self._open[reservation.id] = OpenReservation(
            key=key, account=account, amount=amount, tokens=tokens, second=second, at=time.monotonic()
        )
        return reservation

    async def settle(self, reservation: Reservation, *, dollars: float, tokens: int) -> None:
        """Settle the cost of the request, once; 0 for one that failed. A second time does nothing."""
        done = self._open.pop(reservation.id, None)
        if done is None:
            return
        self._budgets.release(done.account, done.amount, nano(dollars))
        if done.key.tpm is not None and tokens != done.tokens:
            self.rates.correct(done.key.id, done.second, tokens - done.tokens)

    # Ledger and sessions

    async def note(self, line: LedgerEntry, *, committed: bool = False) -> None:
        """Put a request on the ledger, in place of what was noted under its id before.

        Queued, and waits only where the database has fallen far behind; with `committed`, until it is there.

        Raises:
            InputError: It has no time zone, or a number that is not finite.
            StoreError: The store is closed.
        """
        await (self._ledger.commit if committed else self._ledger.note)(line)

    async def spend(self, since: datetime | None = None, by: Grouping = "day") -> tuple[Spending, ...]:
        """Return the cost of requests, by group; days in order, the rest by dollars.

        Args:
            since: From then on; `None` for everything.
            by: What to sum by.

        Raises:
            StoreError: The database cannot be read.
        """
        await self._ledger.flush()
        return await self._database.read(lambda c: ledger.spend(c, since, by))

    async def recent_requests(
        self, limit: int = 50, *, session_id: str | None = None, key_id: str | None = None
    ) -> tuple[LedgerEntry, ...]:
        """The latest lines of the ledger, newest first.

        Raises:
            StoreError: The database cannot be read.
        """
        await self._ledger.flush()
        return await self._database.read(lambda c: ledger.list_entries(c, limit, session_id, key_id))

    async def session(self, session_id: str, key_id: str | None, *, fresh: bool = False) -> Session | None:
        """The session that a key calls so; with `fresh`, as all processes have left it a moment ago.

        Raises:
            StoreError: It is not at hand and the database cannot be read.
        """
        return await self._sessions.of_id(session_id, key_id, fresh=fresh)

    async def session_of_auction(self, auction_id: str, key_id: str | None) -> Session | None:
        """A key's session whose present auction this is.

        Raises:
            StoreError: It is not at hand and the database cannot be read.
        """
        return await self._sessions.of_auction(auction_id, key_id)

    async def sessions_by_digest(self, digests: Sequence[str], key_id: str | None) -> Sequence[Session]:
        """A key's sessions whose latest turn has one of these digests, the latest first.

        Raises:
            StoreError: The database cannot be read.
        """
        return await self._sessions.of_digests(digests, key_id)

    def put_session(self, session: Session) -> None:
        """Keep a session, new or a turn later. Other processes see it a few hundredths of a second after."""
        self._sessions.put(session)

    async def recent_sessions(self, limit: int = 50) -> tuple[Session, ...]:
        """The sessions last seen, newest first.

        Raises:
            StoreError: The database cannot be read.
        """
        return await self._sessions.recent(limit)

    async def probe(self) -> None:
        """See that the next request could be written down.

        Raises:
            StoreError: The database cannot be written, or is no longer where it was.
        """
        await self._database.probe(self.rates.trace())

    # Behind the scenes

    async def _exchange_rates(self) -> None:
        if self.rates.is_in_use():
            self.rates.hear(await self._database.write(self.rates.prepare_exchange()))

    async def _give_up(self) -> None:
        before = time.monotonic() - ABANDONED_SECONDS
        for number, one in list(self._open.items()):
            if one.at < before - 24 * ABANDONED_SECONDS:
                del self._open[number]
            elif one.at < before and one.amount:
                self._budgets.release(one.account, one.amount, 0)
                one.amount = 0

    async def aclose(self) -> None:
        """Write everything, give back what is reserved, and let go of the database. A second call does nothing.

        Raises:
            StoreError: Something could not be written.
        """
        beats, self._beats = self._beats, []
        async with AsyncExitStack() as stack:  # the last first, each whether or not another fails
            stack.push_async_callback(self._database.close)
            if beats:
                stack.push_async_callback(self._sessions.close)
                stack.push_async_callback(self.beginnings.close)
                stack.push_async_callback(self.responses.close)
                stack.push_async_callback(self.shadow.close)
                stack.push_async_callback(self._ledger.close)
                stack.push_async_callback(self._budgets.close)
            for beat in beats:
                stack.push_async_callback(beat.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
