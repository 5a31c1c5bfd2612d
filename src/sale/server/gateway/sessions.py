"""Conversations under way: found again, kept in mind within bounds, handed to the store, settled when they end.

A session ends when it has rested for long, by feedback, when there are too many, or with the server. Then the record of
its auction is settled with all its turns. A later turn still goes to the same agent; its cost is on the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime

from sale.errors import SaleError
from sale.server.gateway.active_session import ActiveSession, latest_turn, place_of, place_of_session
from sale.server.gateway.identity import (
    ConversationThread,
    KnownConversation,
    Place,
    ServedTurn,
    match_conversation,
)
from sale.server.gateway.session_record import ledger_calls
from sale.server.gateway.store_protocol import GatewayStore
from sale.server.store.types import Holder, Session
from sale.types import Attempt, Auction, Outcome
from sale.types.labels import Requirements

LOG = logging.getLogger("sale.server")
NOBODY = Outcome(verdict="unknown", judged_by="nobody")
FIRST_DIGESTS, LATEST_DIGESTS = 16, 48
"""Digests of one session that are kept in mind: of its first turns, with which a compacted history begins, and of its
latest, to which a client may go back. A turn has three or four."""
MAX_ALIKE = 64
"""Sessions with the same digest that are looked at, the latest: thousands may begin with the same words."""
STILL_SECONDS = 5.0
"""Seconds between signs of life of a request that waits for another one's auction."""
LOOK_SECONDS = 0.05
"""Seconds between looks whether another process has begun a session."""
LOOKS = 20.0
"""Number of looks at a session in its resting time."""
SIDE_BY_SIDE = 32
"""Sessions that are let go of at once: each waits for the disk, and one after another they would fall behind."""


Settle = Callable[[Auction, Sequence[Attempt], float], Awaitable[object]]
"""Puts the record of a finished session away: the auction, the attempts, the seconds it took."""


class SessionLock:
    """A name that no other request looks for meanwhile. A class, as every turn takes one: generators cost more."""

    def __init__(self, taken: dict[Place, asyncio.Event], place: Place, still: Callable[[], Awaitable[object]]) -> None:
        """Nothing is locked yet.

        Args:
            taken: Names that are locked, with what is set when they no longer are.
            place: Which is to be.
            still: Called every now and then while it has to wait.
        """
        self._taken = taken
        self._place = place
        self._still = still
        self._over = asyncio.Event()

    async def __aenter__(self) -> None:
        """Wait until it is free."""
        while (other := self._taken.get(self._place)) is not None:
            try:
                async with asyncio.timeout(STILL_SECONDS):
                    await other.wait()
            except TimeoutError:
                await self._still()
        self._taken[self._place] = self._over

    async def __aexit__(self, *_: object) -> None:
        """Let the next one have it."""
        del self._taken[self._place]
        self._over.set()


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
        self._by_digest: dict[str, dict[Place, None]] = {}
        self._unanswered: dict[str, Place] = {}
        self._beginning: dict[Place, asyncio.Event] = {}

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
        near = self._near([thread.prefixes[0].digest])  # nearly always it is the latest answer that tells
        match = match_conversation(thread, near.values())
        if match is not None and match.certain:
            return self._held[match.place]
        near = self._near(thread.digests)
        # Another process may have served it, or this one before it was started again.
        stored = {
            place_of_session(one): one for one in await self._store.sessions_by_digest(thread.digests, holder.key_id)
        }
        far = {place: _known(one, near.get(place)) for place, one in stored.items()}
        match = match_conversation(thread, (near | far).values())
        if match is None:
            return None
        return self._held.get(match.place) or self._recalled(stored[match.place])

    def _near(self, digests: Sequence[str]) -> dict[Place, KnownConversation]:
        """The sessions in mind that have one of these digests."""
        places = {place for digest in digests for place in self._by_digest.get(digest, ())}
        return {place: self._held[place].known for place in places}

    def _idle(self, place: Place | None) -> ActiveSession | None:
        held = self._held.get(place) if place is not None else None
        return held if held is not None and not held.busy and not held.session.turns else None

    def lock_session(
        self, session_id: str | None, holder: Holder, still: Callable[[], Awaitable[object]]
    ) -> AbstractAsyncContextManager[None]:
        """Lock the session of this name and key: no other request looks for it, or begins it, within the block.

        Of requests that come at the same time the first begins it, and the others find it. A session without a name
        is its request's alone.

        Args:
            session_id: As the client names it, if it does.
            holder: Whose it is.
            still: Called every now and then while it has to wait.
        """
        if session_id is None:
            return nullcontext()
        return SessionLock(self._beginning, place_of(holder.key_id, session_id), still)

    @asynccontextmanager
    async def lock_beginning(
        self, session_id: str | None, holder: Holder, still: Callable[[], Awaitable[object]]
    ) -> AsyncGenerator[None]:
        """Lock the beginning of a session of this name and key in all processes that share the store.

        Of several processes that are asked for it the first begins it; the others wait, and find it when they look
        again within the block.

        Args:
            session_id: As the client names it, if it does.
            holder: Whose it is.
            still: Called every now and then while it has to wait.
        """
        if session_id is None:
            yield
            return
        beginnings, told = self._store.beginnings, time.monotonic()
        while not await beginnings.begin(session_id, holder.key_id):
            await asyncio.sleep(LOOK_SECONDS)
            if time.monotonic() - told > STILL_SECONDS:
                told = time.monotonic()
                await still()
        try:
            yield
        finally:
            await beginnings.end(session_id, holder.key_id)

    async def _named(self, session_id: str, holder: Holder) -> ActiveSession | None:
        held = self._held.get(place_of(holder.key_id, session_id))
        if held is not None:
            return held
        found = await self._store.session(session_id, holder.key_id)
        return None if found is None else self._recalled(found)

    def _recalled(self, session: Session) -> ActiveSession:
        known = self._held.get(place_of_session(session))
        if known is not None:
            return known
        held = ActiveSession(session=session)
        self._keep(held)
        self._remember(held, latest_turn(session))
        return held

    def begin(self, held: ActiveSession, thread: ConversationThread) -> None:
        """A session has been auctioned and waits for its first answer."""
        self._keep(held)
        self._unanswered[thread.whole] = place_of_session(held.session)
        self._remember(held, thread.serve())
        self._store.put_session(held.session)

    def restrict(self, held: ActiveSession, require: Requirements) -> None:
        """A session requires labels of agents from now on, in every process."""
        if (said := str(require)) != held.session.require:
            held.session = replace(held.session, require=said)
            self._store.put_session(held.session)

    def record_turn(
        self, held: ActiveSession, turn: ServedTurn, *, answer_id: str, dollars: float, prompt_tokens: int
    ) -> None:
        """A turn has been answered.

        Args:
            held: Which.
            turn: Its digests.
            answer_id: The id that the client was given with the answer; empty where there was none.
            dollars: What the turn cost.
            prompt_tokens: How long the conversation is now.
        """
        old = held.session
        held.session = replace(
            old,
            tail=turn.tail,
            talk=turn.talk,
            link=turn.link,
            hint=turn.hint,
            turns=old.turns + 1,
            dollars=old.dollars + dollars,
            prompt_tokens=prompt_tokens,
            seen=datetime.now(UTC),
        )
        held.seen = time.monotonic()
        if self._unanswered.get(turn.tail) == place_of_session(old):
            del self._unanswered[turn.tail]
        self._keep(held)
        self._remember(held, turn)
        self._store.put_session(held.session)
        if answer_id:  # after its session, with which it is written
            self._store.answers.put(answer_id, old.key_id, old.auction_id)

    def of(self, reference: str, holder: Holder) -> ActiveSession | None:
        """A key's session by its id, or its auction's."""
        place = place_of(holder.key_id, reference)
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
        try:
            held.calls += await ledger_calls(self._store, held.session, held.lines)
        except SaleError as failure:
            LOG.warning("turns of session %s by other processes are not on its record: %s", auction.id, failure.code)
        error = None if held.session.turns or held.calls else "the conversation was never answered"
        work = Attempt(execution=held.execution(error), outcome=outcome)
        try:
            await self._settle(auction, [*held.earlier, work], time.monotonic() - held.began)
        except SaleError as failure:
            LOG.warning("the record of auction %s could not be settled: %s", auction.id, failure.code)
        held.calls, held.earlier = [], []
        return True

    @property
    def look_seconds(self) -> float:
        """Seconds after which `settle_rested` is due again."""
        return min(self._seconds / LOOKS, LOOKS)

    async def settle_rested(self) -> None:
        """Let go of what has rested for long, and of what is too much."""
        limit = time.monotonic() - self._seconds
        resting = [held for held in self._held.values() if held.seen < limit and not held.busy]
        over = len(self._held) - len(resting) - self._most
        if over > 0:
            idle = (held for held in self._held.values() if held.seen >= limit and not held.busy)
            resting += [held for held, _ in zip(idle, range(over), strict=False)]
        await self._let_go(resting, limit)

    async def _let_go(self, ended: Sequence[ActiveSession], limit: float | None = None) -> None:
        """Settle sessions that have ended, several at once.

        Args:
            ended: Which.
            limit: Time before which a session has rested, in seconds of the monotonic clock. One that is busy by now,
                or that another process goes on with, stays. Without a limit all are let go of.
        """

        async def let_go(held: ActiveSession) -> None:
            if limit is not None and (held.busy or (held.seen < limit and await self._goes_on(held)) or held.busy):
                return
            self._forget(held)
            try:
                await self.settle(held)
            except Exception:  # those beside it are forgotten already: each must come to its own end
                LOG.exception("the record of session %s could not be settled", held.session.auction_id)

        for start in range(0, len(ended), SIDE_BY_SIDE):
            async with asyncio.TaskGroup() as group:
                for held in ended[start : start + SIDE_BY_SIDE]:
                    group.create_task(let_go(held))

    async def _goes_on(self, held: ActiveSession) -> bool:
        """Return whether other processes answer turns of a session whose record is this one's to settle."""
        if not held.open:
            return False
        try:
            latest = await self._store.session(held.session.id, held.session.key_id, fresh=True)
        except SaleError as failure:
            LOG.warning("session %s could not be looked for: %s", held.session.id, failure.code)
            return False
        rested = self._seconds if latest is None else (datetime.now(UTC) - latest.seen).total_seconds()
        held.seen = max(held.seen, time.monotonic() - max(0.0, rested))
        return rested < self._seconds

    async def aclose(self) -> None:
        """Settle everything."""
        await self._let_go(tuple(self._held.values()))

    def _keep(self, held: ActiveSession) -> None:
        place = place_of_session(held.session)
        other = self._held.get(place)
        if other is not None and other is not held:  # begun again under its name
            self._forget(other)
        self._held[place] = held
        self._held.move_to_end(place)

    def _remember(self, held: ActiveSession, turn: ServedTurn) -> None:
        place = place_of_session(held.session)
        for digest in filter(None, (turn.tail, turn.talk, turn.link, turn.hint)):
            held.digests[digest] = None
            alike = self._by_digest.setdefault(digest, {})
            alike.pop(place, None)
            alike[place] = None
            if len(alike) > MAX_ALIKE:
                del alike[next(iter(alike))]
        if len(held.digests) > FIRST_DIGESTS + LATEST_DIGESTS:
            for digest in list(held.digests)[FIRST_DIGESTS:-LATEST_DIGESTS]:
                self._unlink(held, digest)

    def _unlink(self, held: ActiveSession, digest: str) -> None:
        place = place_of_session(held.session)
        del held.digests[digest]
        alike = self._by_digest.get(digest, {})
        alike.pop(place, None)
        if not alike:
            self._by_digest.pop(digest, None)
        if self._unanswered.get(digest) == place:
            del self._unanswered[digest]

    def _forget(self, held: ActiveSession) -> None:
        self._held.pop(place_of_session(held.session), None)
        for digest in tuple(held.digests):
            self._unlink(held, digest)


def _known(session: Session, near: KnownConversation | None) -> KnownConversation:
    """A stored session as requests are compared with it.

    Args:
        session: As the database has it.
        near: The same one as this process has it, perhaps a turn behind or ahead.
    """
    latest = latest_turn(session)
    digests = {latest.tail, latest.talk, latest.link, latest.hint} - {""}
    if near is None:
        return KnownConversation(place=place_of_session(session), digests=digests, latest=latest, seen=session.seen)
    if near.seen > session.seen:
        latest = near.latest
    return KnownConversation(
        place=near.place, digests=digests | set(near.digests), latest=latest, seen=max(near.seen, session.seen)
    )
