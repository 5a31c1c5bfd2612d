"""Conversations under way: found again, kept in mind within bounds, written behind, settled when they end.

A session ends when it has rested for long, by feedback, when there are too many, or with the server. Then the record of
its auction is settled with all its turns. A later turn still goes to the same agent; its cost is on the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sale.auction.terms import AuctionTerms
from sale.errors import SaleError
from sale.server.gateway.conversation import ConversationThread
from sale.server.gateway.store_protocol import GatewayStore
from sale.server.store.types import Holder, Session
from sale.types import Attempt, Auction, Bid, Call, Execution, Outcome, Task
from sale.types.labels import NOTHING_REQUIRED, Requirements

LOG = logging.getLogger("sale.server")
NOBODY = Outcome(verdict="unknown", judged_by="nobody")
TAILS = 64
"""Of one session; a client may go back to one of its earlier turns."""
RESPONSES = 50_000
"""Ids of responses that feedback may name."""
STILL_SECONDS = 5.0
"""Seconds between signs of life of a request that waits for another one's auction."""
LOOKS = 20.0
"""Number of looks at a session in its resting time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShadowAuction:
    """An auction to be held in the background once its conversation has been answered."""

    task: Task
    terms: AuctionTerms
    """Among all who may do the work. Its id is the auction's own, not that of the conversation's record."""


@dataclass(kw_only=True, slots=True)
class ActiveSession:
    """A session kept in mind."""

    session: Session
    auction: Auction | None = None
    """The latest; `None` where it is yet to be read from the record."""
    open: bool = False
    """True where this process settles its record."""
    calls: list[Call] = field(default_factory=list[Call])
    """Of the present agent."""
    earlier: list[Attempt] = field(default_factory=list[Attempt])
    """The work of agents whose endpoints failed."""
    shadow: ShadowAuction | None = None
    """Yet to be held; see `shadow`."""
    answer: str = ""
    followed: bool = False
    busy: int = 0
    began: float = field(default_factory=time.monotonic)
    seen: float = field(default_factory=time.monotonic)
    tails: list[str] = field(default_factory=list[str])

    @property
    def require(self) -> Requirements:
        """Labels that its requests have required so far."""
        return Requirements.parse(self.session.require) if self.session.require else NOTHING_REQUIRED

    @property
    def failed(self) -> set[str]:
        """Agents that could not be reached."""
        return {one.execution.agent for one in self.earlier}

    def execution(self, error: str | None = None) -> Execution:
        """The present agent's work so far."""
        return Execution(
            agent=self.session.agent,
            answer=self.answer,
            mode="session",
            followed_strategy=self.followed,
            calls=tuple(self.calls),
            seconds=time.monotonic() - self.began,
            error=error,
        )

    def pass_on(self, bid: Bid, reason: str) -> None:
        """The present agent failed; another takes over with its own plan."""
        failure = Outcome(verdict="failure", judged_by="execution", detail=reason)
        self.earlier.append(Attempt(execution=self.execution(reason), outcome=failure))
        self.calls, self.answer, self.followed = [], "", False
        self.session = replace(self.session, agent=bid.agent, plan=bid.strategy.text)

    def renew(self, auction: Auction) -> None:
        """The conversation has been auctioned again, for another task."""
        self.auction, self.open = auction, True
        self.calls, self.earlier, self.answer, self.followed = [], [], "", False
        self.began = time.monotonic()
        winner = auction.winner
        dollars = self.session.dollars + auction.settlement.dollars
        self.session = replace(
            self.session, agent=winner.agent, plan=winner.strategy.text, auction_id=auction.id, dollars=dollars
        )


Place = tuple[str, str]
"""A session's key, empty for none, and its name there: each key names its own sessions."""


def place_of(key_id: str | None, name: str) -> Place:
    """Where what a key calls so is found."""
    return (key_id or "", name)


Settle = Callable[[Auction, Sequence[Attempt], float], Awaitable[object]]
"""Puts the record of a finished session away: the auction, the attempts, the seconds it took."""


class ActiveSessions:
    """All conversations under way in this process."""

    def __init__(self, store: GatewayStore, *, seconds: float, most: int, settle: Settle) -> None:
        """Nothing is kept in mind yet.

        Args:
            store: Where sessions outlive the process.
            seconds: How long one may rest.
            most: How many are kept in mind.
            settle: What is done with the record of one that has ended.
        """
        self._store = store
        self._seconds = seconds
        self._most = most
        self._settle = settle
        self._held: OrderedDict[Place, ActiveSession] = OrderedDict()
        self._by_tail: dict[str, Place] = {}
        self._unanswered: dict[str, Place] = {}
        self._responses: OrderedDict[Place, Place] = OrderedDict()
        self._changed: dict[Place, Session] = {}
        self._beginning: dict[Place, asyncio.Event] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    async def find(self, session_id: str | None, thread: ConversationThread, holder: Holder) -> ActiveSession | None:
        """The session a request goes on with; `None` where it begins one.

        Args:
            session_id: As the client names it, if it does.
            thread: Where the request stands.
            holder: The owner: a key finds only its own sessions.
        """
        if session_id is not None:
            return await self._named(session_id, holder)
        if thread.fresh:
            # One that was auctioned and got no answer is asked for again: it is not auctioned again.
            return self._idle(self._unanswered.get(thread.whole))
        for tail in thread.tails:
            if (key := self._by_tail.get(tail)) is not None and key in self._held:
                return self._held[key]
        found = await self._store.session_by_tail(thread.tails) if thread.tails else None
        return self._recalled(found) if found is not None and found.key_id == holder.key_id else None

    def _idle(self, place: Place | None) -> ActiveSession | None:
        held = self._held.get(place) if place is not None else None
        return held if held is not None and not held.busy and not held.session.turns else None

    @asynccontextmanager
    async def lock_session(
        self, session_id: str | None, holder: Holder, still: Callable[[], Awaitable[object]]
    ) -> AsyncGenerator[None]:
        """Lock the session of this name and key: no other request looks for it, or begins it, within the block.

        Of requests that come at the same time the first begins it, and the others find it. A session without a name
        is its request's alone.

        Args:
            session_id: As the client names it, if it does.
            holder: Whose it is.
            still: Called every now and then while it has to wait.
        """
        if session_id is None:
            yield
            return
        place = place_of(holder.key_id, session_id)
        while (other := self._beginning.get(place)) is not None:
            try:
                async with asyncio.timeout(STILL_SECONDS):
                    await other.wait()
            except TimeoutError:
                await still()
        over = self._beginning[place] = asyncio.Event()
        try:
            yield
        finally:
            del self._beginning[place]
            over.set()

    async def _named(self, session_id: str, holder: Holder) -> ActiveSession | None:
        held = self._held.get(place_of(holder.key_id, session_id))
        if held is not None:
            return held
        found = await self._store.session(session_id, holder.key_id)
        return None if found is None else self._recalled(found)

    def _recalled(self, session: Session) -> ActiveSession:
        known = self._held.get(_place(session))
        if known is not None:
            return known
        held = ActiveSession(session=session)
        self._keep(held)
        self._remember(held, session.tail)
        return held

    def begin(self, held: ActiveSession, thread: ConversationThread) -> None:
        """A session has been auctioned and waits for its first answer."""
        self._keep(held)
        self._unanswered[thread.whole] = _place(held.session)
        held.tails.append(thread.whole)
        self._write(held)

    def restrict(self, held: ActiveSession, require: Requirements) -> None:
        """A session requires labels of agents from now on, in every process."""
        if (said := str(require)) != held.session.require:
            held.session = replace(held.session, require=said)
            self._write(held)

    def record_turn(
        self, held: ActiveSession, thread: ConversationThread, *, response: str, dollars: float, prompt_tokens: int
    ) -> None:
        """A turn has been answered.

        Args:
            held: Which.
            thread: The request that was answered.
            response: The id of the response.
            dollars: What the turn cost.
            prompt_tokens: How long the conversation is now.
        """
        old = held.session
        held.session = replace(
            old,
            tail=thread.whole,
            turns=old.turns + 1,
            dollars=old.dollars + dollars,
            prompt_tokens=prompt_tokens,
            seen=datetime.now(UTC),
        )
        held.seen = time.monotonic()
        self._unanswered.pop(thread.whole, None)
        self._keep(held)
        self._remember(held, thread.whole)
        if response:
            self._responses[place_of(old.key_id, response)] = _place(old)
            if len(self._responses) > RESPONSES:
                self._responses.popitem(last=False)
        self._write(held)

    def of(self, reference: str, holder: Holder) -> ActiveSession | None:
        """A key's session by its id, its auction's or one of its responses'."""
        place = place_of(holder.key_id, reference)
        place = self._responses.get(place, place)
        if place in self._held:
            return self._held[place]
        own = (held for held in self._held.values() if held.session.key_id == holder.key_id)
        return next((held for held in own if held.session.auction_id == reference), None)

    async def settle(self, held: ActiveSession, outcome: Outcome = NOBODY) -> bool:
        """Close the record of a session's auction; whether it was open here."""
        auction = held.auction
        if auction is None or not held.open:
            return False
        held.open = False
        error = None if held.session.turns else "the conversation was never answered"
        work = Attempt(execution=held.execution(error), outcome=outcome)
        try:
            await self._settle(auction, [*held.earlier, work], time.monotonic() - held.began)
        except SaleError as failure:
            LOG.warning("the record of auction %s could not be settled: %s", auction.id, failure.code)
        held.calls, held.earlier = [], []
        return True

    async def run(self) -> None:
        """Write what has changed, and settle what has rested for long; until cancelled."""
        pause = min(self._seconds / LOOKS, LOOKS)
        due = time.monotonic() + pause
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await self._wake.wait()
            await self._flush()
            if time.monotonic() >= due:
                await self._rest()
                due = time.monotonic() + pause

    async def _rest(self) -> None:
        """Let go of what has rested for long, and of what is too much."""
        limit = time.monotonic() - self._seconds
        resting = [held for held in self._held.values() if held.seen < limit and not held.busy]
        over = len(self._held) - len(resting) - self._most
        if over > 0:
            idle = (held for held in self._held.values() if held.seen >= limit and not held.busy)
            resting += [held for held, _ in zip(idle, range(over), strict=False)]
        for held in resting:
            if not held.busy:
                self._forget(held)
                await self.settle(held)

    async def _flush(self) -> None:
        self._wake.clear()
        while self._changed:
            _, session = self._changed.popitem()
            try:
                await self._store.put_session(session)
            except SaleError as failure:
                LOG.warning("session %s could not be kept: %s", session.id, failure.code)

    async def aclose(self) -> None:
        """Settle everything, and write what has changed."""
        for held in tuple(self._held.values()):
            self._forget(held)
            await self.settle(held)
        await self._flush()

    def _keep(self, held: ActiveSession) -> None:
        place = _place(held.session)
        self._held[place] = held
        self._held.move_to_end(place)

    def _remember(self, held: ActiveSession, tail: str) -> None:
        self._by_tail[tail] = _place(held.session)
        held.tails.append(tail)
        while len(held.tails) > TAILS:
            self._unlink(held, held.tails.pop(0))

    def _unlink(self, held: ActiveSession, tail: str) -> None:
        for index in (self._by_tail, self._unanswered):
            if index.get(tail) == _place(held.session) and tail not in held.tails:
                del index[tail]

    def _forget(self, held: ActiveSession) -> None:
        self._held.pop(_place(held.session), None)
        tails, held.tails = held.tails, []
        for tail in tails:
            self._unlink(held, tail)

    def _write(self, held: ActiveSession) -> None:
        self._changed[_place(held.session)] = held.session
        self._wake.set()


def _place(session: Session) -> Place:
    return place_of(session.key_id, session.id)
