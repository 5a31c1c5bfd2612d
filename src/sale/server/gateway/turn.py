"""One turn of a conversation: the agent that does it, its cost, and what follows when it fails.

    admitted -> session found, or auctioned -> money set aside -> the agent's endpoint -> settled -> on the ledger

An agent whose endpoint fails before the client has seen anything of its answer is replaced by the next best bid, with
its own plan. Whatever happens, money set aside is settled, and what was spent is on the record.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sale.agents.protocol import Agent
from sale.auction import scoring
from sale.auction.events import AwardedAgain, CallSettled
from sale.auction.terms import AuctionTerms
from sale.errors import BudgetError
from sale.server.gateway.active_session import ActiveSession, SessionWork, ShadowAuction
from sale.server.gateway.auction_wait import AuctionWatch, Late
from sale.server.gateway.call import Commit, UpstreamCall
from sale.server.gateway.conversation import task_of
from sale.server.gateway.errors import ApiError
from sale.server.gateway.identity import ConversationThread
from sale.server.gateway.market_handle import MARKET, MarketHandle
from sale.server.gateway.shadow import arm_of, incumbent_among
from sale.server.gateway.sink import Sink
from sale.server.gateway.state import GatewayState
from sale.server.gateway.turn_record import TurnRecord
from sale.server.store.shadow import Arm
from sale.server.store.types import Holder, Session
from sale.types import Auction, Call, Task
from sale.types.labels import Requirements

UNABLE = ApiError("the agent does not take such a request", name="unsupported")
Adjust = Callable[[scoring.ScoringRule], scoring.ScoringRule]


@dataclass(kw_only=True, slots=True)
class Turn(TurnRecord):
    """A request being answered."""

    state: GatewayState
    handle: MarketHandle
    holder: Holder
    sink: Sink
    thread: ConversationThread
    require: Requirements
    """Labels of all agents that may see it, as the request, its key and its conversation so far require."""
    commit: Commit | None = None
    """Puts its line on the ledger and waits until it is there."""

    async def run(self) -> None:
        """Answer it.

        Raises:
            SaleError: There is no answer, or not a whole one.
        """
        if self.asked.model == MARKET and self.asked.aside:
            await self._aside()
        elif self.asked.model == MARKET:
            await self._market()
        else:
            self.reason = "named"
            agent = self.handle.find_agent(self.asked.model, self.holder.agents, self.require)
            await self._ask(agent, "", None)

    async def _aside(self) -> None:
        """Answer a request that is not a turn: by the session's agent, the incumbent, or, not in the shadow, others."""
        self.reason = "aside"
        held, able = await self._find() if self.session_id else None, self._eligible()
        first = held.session.agent if held is not None and self._fits(held) else None
        if arm_of(self.state.settings, self.holder.key_id, self.session_id or "") == "shadow":
            names = [first or incumbent_among(self.handle, able).name]
        else:
            names = self.handle.rank_for_asides(first or self.handle.incumbent.name, able)
        for place, name in enumerate(names, 1):
            try:
                await self._ask(self.handle.agents[name], "", None)
            except ApiError as error:
                if not (error.elsewhere or error.refused) or self.sink.answering or place == len(names):
                    raise
            else:
                return

    async def _market(self) -> None:
        async with self.state.sessions.lock_session(self.session_id, self.holder, self._still_waiting):
            held = await self._found_or_begun()
        self.reason = self.reason or "session"
        self.state.sessions.restrict(held, self.require)
        self.session_id, self.auction_id = held.session.id, held.session.auction_id
        self.wait_seconds = time.monotonic() - self.began
        held.busy += 1
        try:
            await self._answered(held)
        finally:
            held.busy -= 1
        self.state.shadow.start(self.handle, held)

    async def _found_or_begun(self) -> ActiveSession:
        """The session of this turn."""
        held = await self._find()
        if held is None or not await self._can_answer(held):
            async with self.state.sessions.lock_beginning(self.session_id, self.holder, self._still_waiting):
                held = await self._find() if self.session_id else held
                if held is None or not await self._can_answer(held):
                    begun = await self._open()
                    if held is not None:  # under the same name; its record is as good as it will be
                        await self.state.sessions.settle(held)
                    return begun
        if self.thread.new_task and self.state.settings.reauction == "task" and not self._in_shadow(held):
            await self._reopen(held)
        return held

    async def _can_answer(self, held: ActiveSession) -> bool:
        """Return whether the session's agent may do this turn and can; one that cannot passes it on to the next bid."""
        if not self._fits(held):
            return False
        name = held.session.agent
        if self._in_shadow(held) or not self.handle.abilities.is_limited(name) or name in self._eligible():
            return True
        return await self._pass_on(held, UNABLE)

    def _in_shadow(self, held: ActiveSession) -> bool:
        """Return whether the incumbent has the session, whatever its user asks for next."""
        return arm_of(self.state.settings, held.session.key_id, held.session.id) == "shadow"

    async def _find(self) -> ActiveSession | None:
        """The session that the request goes on with. What was required of its agents once holds to its end."""
        held = await self.state.sessions.find(self.session_id, self.thread, self.holder)
        if held is not None:
            self.require |= held.require
        return held

    def _eligible(self) -> Collection[str]:
        """Agents that may answer: the one place where fail-over, auctions and requests aside look for them."""
        allowed, asked = self.holder.agents, self.asked
        able = self.handle.eligible_agents(allowed, tools=asked.tools, require=self.require, needs=asked.needs)
        return self.state.minutes.keep_free(able, asked, self.handle.reach)

    async def _still_waiting(self) -> None:
        """Another request begins this very session."""
        await self.sink.send_progress((), self.headers())

    def _fits(self, held: ActiveSession) -> bool:
        """Return whether its agent is still there, and may do this turn."""
        name = held.session.agent
        return self.handle.may_answer(name, self.holder.agents, tools=self.asked.tools, require=self.require)

    async def _answered(self, held: ActiveSession) -> None:
        """Ask the session's agent; while the client has seen nothing, the next best after it.

        What one endpoint refuses another may take. Where all refuse, the fault is the request's: the client is told the
        first refusal, and the session stays with whom it had.
        """
        refusals: list[tuple[str, ApiError]] = []
        before: SessionWork | None = None
        asked: set[str] = set()
        while True:
            asked.add((session := held.session).agent)
            try:
                await self._ask(self.handle.agents[session.agent], session.plan, held)
            except ApiError as error:
                if not (error.elsewhere or error.refused) or self.sink.answering:
                    raise
                if error.refused:
                    before = before or held.work
                    refusals.append((session.agent, error))
                if await self._pass_on(held, error, asked):
                    continue
                if before is None:
                    raise
                held.work = before
                raise refusals[0][1] from None
            else:
                for name, refusal in refusals:
                    self.handle.abilities.learn(name, refusal, self.asked.needs)
                return

    async def _pass_on(self, held: ActiveSession, error: ApiError, asked: Collection[str] = ()) -> bool:
        """Give the session to the next best bid of those not `asked` in this turn; whether there is one."""
        auction = held.auction or await self.state.load_auction(held)
        if auction is None:
            return False
        able = self._eligible()
        if asked and held.session.agent not in asked and held.session.agent in able:
            self.reason = "failover"
            return True  # another turn has passed it on meanwhile
        bid = held.next_bid([bid for bid in auction.contenders if bid.agent in able], asked)
        if bid is None:
            return False
        self.reason = "failover"
        failure = held.pass_on(bid, f"{error.name}: {error.message}")
        self.state.hub.publish(auction.id, AwardedAgain(failed=failure, bid=bid))
        return True

    async def _open(self) -> ActiveSession:
        """Auction a conversation that begins here."""
        began = datetime.now(UTC)
        self.session_id = self.session_id or uuid.uuid4().hex
        arm = arm_of(self.state.settings, self.holder.key_id, self.session_id)
        if arm == "shadow":
            self.reason = "shadow"
            incumbent = incumbent_among(self.handle, self._eligible())
            job = ShadowAuction(task=self._task(), terms=self._terms())
            return self._begin(incumbent.name, uuid.uuid4().hex, began, arm, job=job)

        def begin(auction: Auction) -> ActiveSession:
            return self._begin(auction.winner.agent, auction.id, began, arm, auction=auction)

        # A client that has given up waiting will come back with the same words: then they have been auctioned.
        return begin(await self._auction(late=begin))

    def _begin(
        self,
        agent: str,
        auction_id: str,
        began: datetime,
        arm: Arm | None,
        *,
        auction: Auction | None = None,
        job: ShadowAuction | None = None,
    ) -> ActiveSession:
        """Begin a session with the agent that does its work."""
        session = Session(
            id=self.session_id or "",
            market=MARKET,
            tail=self.thread.whole,
            hint=self.thread.hint,
            agent=agent,
            auction_id=auction_id,
            plan=auction.winner.strategy.text if auction else "",
            turns=0,
            dollars=auction.settlement.dollars if auction else 0.0,
            prompt_tokens=0,
            began=began,
            seen=datetime.now(UTC),
            key_id=self.holder.key_id,
            require=str(self.require),
        )
        held = ActiveSession(session=session, auction=auction, open=auction is not None, shadow=job)
        held.recorded = None if job is None else asyncio.Event()
        self.state.sessions.begin(held, self.thread)
        if arm is not None:
            self.state.shadow.begin(self.handle, held, arm, self._eligible())
        return held

    async def _reopen(self, held: ActiveSession) -> None:
        """Auction the user's next task. What losing the prompt cache costs counts against all but the present agent."""

        def adjust(rule: scoring.ScoringRule) -> scoring.ScoringRule:
            prices = {agent.name: agent.price for agent in self.handle.agents.values()}
            session = held.session
            return scoring.CacheKept(
                incumbent=session.agent, prefix_tokens=session.prompt_tokens, prices=prices, rule=rule
            )

        auction = await self._auction(adjust=adjust, current=held.session.agent)
        await self.state.sessions.settle(held)
        held.renew(auction)
        if (arm := arm_of(self.state.settings, held.session.key_id, held.session.id)) is not None:
            self.state.shadow.begin(self.handle, held, arm, self._eligible())

    async def _auction(
        self, *, adjust: Adjust | None = None, current: str | None = None, late: Late | None = None
    ) -> Auction:
        """Hold an auction, with money set aside for the worst it can take.

        Where the key has less left than that, the award is made without one.
        """
        task, watch = self._task(), AuctionWatch(late=late)
        market, store = self.handle.market, self.state.store
        terms = self._terms()
        self.auction_id = terms.auction_id
        observe = self.state.hub.observer(terms.auction_id, watch)
        terms = replace(terms, current=current, adjust=adjust, observe=observe)
        try:
            reservation = await store.reserve(self.holder, market.worst_auction(task, terms), 0)
        except BudgetError:  # what is left may still pay for the work
            reservation = await store.reserve(self.holder, 0.0, 0)
            terms = replace(terms, affordable=False)
        try:
            award = market.award(task, terms)
            auction = await watch.until_awarded(award, self.sink, self.headers())
        finally:
            self.auction_dollars += watch.dollars
            await store.settle(reservation, dollars=watch.dollars, tokens=watch.tokens)
        self.reason = watch.standing or "auction"
        return auction

    def _task(self) -> Task:
        return task_of(self.asked.messages, self.asked.body.get("tools"))

    def _terms(self) -> AuctionTerms:
        """The terms of an auction of this request, among all that may do its work."""
        among = self._eligible()
        if self.state.settings.effort == "request":
            among = self.handle.at_effort(among, self.asked.effort)
        tools, tenant = self.asked.tools, self.holder.tenant
        return AuctionTerms(among=among, looping=tools, require=self.require, tenant=tenant, must_award=True)

    async def _ask(self, agent: Agent, plan: str, held: ActiveSession | None) -> None:
        """Have one agent answer; settle it, however it ends."""
        self.agent = agent.name
        call = UpstreamCall(
            agent=agent,
            reach=self.handle.reach(agent.name),
            plan=plan,
            asked=self.asked,
            sink=self.sink,
            whole=self._commit,
        )
        worst = (0.0, 0) if self.holder.key_id is None else call.worst_case(*self.handle.max_cost(agent.name))
        reservation = await self.state.store.reserve(self.holder, *worst)
        error: str | None = "cancelled"
        try:
            await call.make(self.state, self._told)
            error = None
        except ApiError as failure:
            error = failure.name or failure.code
            raise
        finally:
            done = call.as_call(error)
            self._count(call, done, held)
            await self.state.store.settle(reservation, dollars=done.dollars, tokens=done.usage.total)

    async def _commit(self, call: UpstreamCall) -> None:
        """The answer is whole: its line comes before its end, where the settings say so."""
        if self.commit is not None and self.state.settings.ledger == "before":
            await self.commit(call.usage, call.tally.cached, call.dollars)

    def _told(self, call: UpstreamCall) -> list[tuple[bytes, bytes]]:
        """The headers, now that the agent has begun to answer."""
        self.first_seconds = time.monotonic() - self.began
        return self.headers(call)

    def _count(self, call: UpstreamCall, done: Call, held: ActiveSession | None) -> None:
        """A call has ended: tell those who watch, and put it on the session's record.

        Args:
            call: Which.
            done: The same, as it is settled.
            held: The session it was made for.
        """
        self.state.hub.publish(self.auction_id or "", CallSettled(call=done))
        self.handle.record_work(done, self.asked.needs)
        self.add(call, done)
        if held is None:
            return
        market, end = self.handle.market, "answered" if done.error is None else "broke off"
        if market.allowance is not None:  # only then does it matter who else might have done it
            parts, cached = call.parts or (done,), call.tally.cached
            market.record_work(done.agent, parts, end=end, cached=cached, among=self._eligible())
        if self.state.settings.mode == "shadow":
            row, cached, answered = held.session.auction_id, call.tally.cached, self.sink.answering
            self.state.store.shadow.count_call(row, done.usage, cached=cached, dollars=done.dollars, answered=answered)
        if held.open:  # whoever settles the record reads the calls of all others from the ledger
            held.calls.append(done)
            held.lines.add(self.line_id)
        if not self.sink.answering:
            return
        held.answer, held.followed = call.tally.answer or held.answer, held.followed or call.followed
        self.state.sessions.record_turn(
            held,
            self.thread.serve(call.tally.message),
            answer_id=self.sink.response_id or call.tally.id,
            dollars=done.dollars,
            prompt_tokens=done.usage.total,
        )
