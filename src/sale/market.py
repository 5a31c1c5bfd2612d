"""The market: the life of a task on one page.

    task -> auction -> award -> execution -> verification -> (next best bid, where it failed) -> settlement -> memory

A record is opened before anything is spent, holds every strategy and score from the award on, and is settled with the
outcome. A process that dies in between leaves a record that says how far it came; nothing settled is ever lost.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self, cast

from sale import config
from sale.agents.admission import Admission
from sale.agents.arguments import as_pool, as_rows, as_task, check_kinds, check_verifier
from sale.agents.attempt import attempt_in_order, end_of, prepare_all
from sale.agents.code_tests import RunTests
from sale.agents.jury_seats import seat_jurors
from sale.agents.own_tools import configured_verifier
from sale.agents.pool import build_agents
from sale.agents.protocol import Agent, Verifier
from sale.agents.resource import Closable, Resource
from sale.agents.side_by_side import TaskOutcome, outcome_of, run_side_by_side
from sale.agents.tools.sandbox import RunLimits, Sandbox, open_sandbox
from sale.agents.tools.workspace.workspace import Workspace
from sale.agents.workspace_run import in_workspace
from sale.auction import scoring
from sale.auction.allowance import Allowance, WorkEnd, incumbent_of
from sale.auction.auctioneer import Auctioneer
from sale.auction.baseline import result_of
from sale.auction.breaks import BREAKS, describe_break
from sale.auction.events import Observer, ignore, shield_observer
from sale.auction.failure_cost import with_failure_cost
from sale.auction.fanout import fan_out
from sale.auction.ledger import Ledger
from sale.auction.questions import Seat
from sale.auction.terms import AuctionTerms
from sale.errors import ConfigError, InputError
from sale.learning.check_errors import CheckHistory, estimate_errors
from sale.memory.earnings import begin_allowance
from sale.memory.handle import MemoryHandle, MemoryOpener
from sale.memory.open import open_memory
from sale.memory.store import AuctionMemory
from sale.memory.tenants import DEFAULT
from sale.shipped import knowledge_of
from sale.types import USER, Attempt, Auction, AuctionRules, Call, CheckErrors, Result, Task, Verdict, Weights

Names = Collection[str] | None


class Market(Resource):
    """A pool of agents, the rules they compete under, and what they remember.

    Use it in `async with`, or in `with` for `run_sync`; or close it: it holds weights, connections and a database.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        *,
        seats: Sequence[Seat] = (),
        rules: AuctionRules | None = None,
        weights: Weights | None = None,
        prior: Weights | None = None,
        memory: MemoryOpener | None = None,
        scoring_rule: scoring.ScoringRule = scoring.weigh,
        sandbox: config.SandboxSettings | None = None,
    ) -> None:
        """Nothing is opened or loaded before the first task.

        Args:
            agents: The pool.
            seats: Jurors that answer a question about each bid, beside the agents that judge.
            rules: How auctions are held.
            weights: Unless given, those in use by the memory; where there are none, the prior.
            prior: Unless given, `scoring.default_weights` of this pool.
            memory: Opens the auction memory; without one nothing is recorded and bids are not refined.
            scoring_rule: How a strategy and its scores become C and V; the published linear rule unless given.
            sandbox: Where tests of answers run; bubblewrap with the default limits unless given.

        Raises:
            ConfigError: The pool is empty.
            InputError: An argument is not of its kind.
        """
        super().__init__()
        check_kinds(rules=(rules, AuctionRules), weights=(weights, Weights), prior=(prior, Weights))
        check_kinds(sandbox=(sandbox, config.SandboxSettings))
        if not (agents := as_pool(agents)):
            raise ConfigError("the pool has no agents", hint="Name at least one.")
        self._agents = {agent.name: agent for agent in agents}
        self._rules, self._seats = rules or AuctionRules(), tuple(seats)
        self._jurors = tuple(juror for agent in agents if (juror := agent.juror) is not None)
        judging = [juror.name for juror in (*self._jurors, *self._seats)]
        finding = {seat.name for seat in self._seats if seat.reads == "evidence"}
        prices, rates = {agent.name: agent.price for agent in agents}, self._rules.base_rates
        self._prior = prior or scoring.default_weights(prices, judging, evidence=finding, base_rates=rates)
        self.given_weights, self._scoring_rule = weights, scoring_rule  # given ones come before the memory's
        self.verifier: Verifier | None = None  # of `run`, where the caller names no other
        self.admission = Admission()  # without labels, no agent satisfies a requirement
        self._memory, self._sandbox = MemoryHandle(memory), sandbox or config.SandboxSettings()
        self._box = cast("tuple[Sandbox, RunLimits] | None", None)  # to find one takes some 50 ms
        self.allowance = None if (share := self._rules.allowance) is None else Allowance(share=share)

    @classmethod
    def from_config(
        cls,
        path: Path | str | None = None,
        *,
        settings: config.Settings | None = None,
        agents: Sequence[Agent] | None = None,
    ) -> Self:
        """The market that `sale.toml` describes, with what `sale.shipped` knows of it; else the embedded pool.

        The file is looked for in the usual places unless given; settings take its place. Agents may be given that
        were made of these settings already.

        Raises:
            ConfigError: The file is wrong, a key is not in the environment, or an agent has no price.
        """
        found = settings or config.load(Path(path) if path is not None else None)
        known, agents = knowledge_of(found), build_agents(found) if agents is None else tuple(agents)
        market = cls(
            agents,
            seats=seat_jurors(found, agents),
            rules=found.auction,
            weights=found.weights and found.weights.as_weights(found.origin),
            prior=known.weights if known else None,
            memory=open_memory(found, known.work if known else None) if found.memory.enabled else None,
            sandbox=found.sandbox,
        )
        market.verifier, market.admission = configured_verifier(found, agents), Admission.of(found)
        return market

    @property
    def agents(self) -> tuple[Agent, ...]:
        """The pool, in the order it was given."""
        return tuple(self._agents.values())

    @property
    def incumbent(self) -> Agent:
        """The agent that did the work before there was a market: as the rules name it, else the dearest."""
        return incumbent_of(self.agents, self._rules.incumbent)

    @property
    def prior(self) -> Weights:
        """The weights that decide where the memory has none in use, and none were given."""
        return self._prior

    async def run(
        self,
        task: Task | str,
        *,
        verifier: Verifier | None = None,
        observe: Observer = ignore,
        tenant: str = DEFAULT,
        auction_id: str | None = None,
    ) -> Result:
        """One task through the market.

        Args:
            task: What is to be done.
            verifier: Says whether the answer is right, else the market's; without one that is unknown until `feedback`.
            observe: Called with every event as it happens.
            tenant: Whose task it is: agents are shown past tasks and plans of this tenant only.
            auction_id: The record's id; made up unless given. A record of it that was left unfinished is gone on with.

        Raises:
            SaleError: The auction could not be held (`CapError`, `NoBidsError`), or the memory could not be written
                before anything was spent. A failed execution does not raise: it is in the result. Nor does a memory
                that fails later: what was paid for is given back, and `Result.unkept` says why it is not on record.
        """
        task, observe = as_task(task), shield_observer(observe)
        check_verifier(verifier := verifier or self.verifier)
        began, rules = time.monotonic(), self._rules
        check, attempts = await self.check_errors(verifier, tenant), list[Attempt]()
        terms = AuctionTerms(checked=verifier is not None, check=check, observe=observe, tenant=tenant)
        memory = None if auction_id is None else await self.memory()
        begun = await memory.take_up(auction_id, self._agents) if auction_id and memory else None
        terms = replace(terms, auction_id=auction_id or terms.auction_id)
        awarded = begun.auction if begun else None
        auction = awarded or await self._hold(task, terms, begun=begun is not None)
        unkept = None if awarded else await self._memory.keep(lambda memory: memory.award(auction))
        try:
            await attempt_in_order(
                self._agents, auction, attempts, rules, check, self.allowance, verifier=verifier, observe=observe
            )
        except BREAKS as error:
            done = [call for one in attempts for call in (*one.execution.calls, *one.outcome.calls)]
            reason = describe_break(error, "at work")
            await self._memory.keep(lambda memory: memory.abandon(auction.id, reason, done))
            raise
        finally:
            for tried in attempts:
                self.record_work(tried.execution.agent, tried.execution.calls, end=end_of(tried, attempts))
        result = result_of(auction, attempts, self.incumbent, seconds=time.monotonic() - began)
        return replace(result, unkept=unkept or await self._memory.keep(lambda memory: memory.settle_result(result)))

    def map(
        self,
        tasks: Iterable[Task | str] | AsyncIterable[Task | str],
        *,
        concurrency: int = 8,
        verifier_of: Callable[[Task], Verifier | None] = lambda _: None,
        observe: Observer = ignore,
        tenant: str = DEFAULT,
    ) -> AsyncGenerator[TaskOutcome]:
        """Many tasks through the market, side by side; `async for` gives their outcomes as they come.

        Args:
            tasks: Taken one by one, as there is room.
            concurrency: How many at one time.
            verifier_of: Gives a task's verifier; the market's unless it gives one.
            observe: Called with every event of every task as it happens.
            tenant: As for `run`.

        Raises:
            InputError: The tasks are none to iterate over: one text, say.
        """

        async def work(task: Task) -> Result:
            return await self.run(task, verifier=verifier_of(task), observe=observe, tenant=tenant)

        return run_side_by_side(as_rows(tasks), lambda row: outcome_of(row, work), concurrency)

    async def auction(self, task: Task | str, *, observe: Observer = ignore, tenant: str = DEFAULT) -> Auction:
        """An auction without the work: who would do it, and why. Recorded, with no outcome."""
        auction = await self._hold(task, AuctionTerms(observe=observe, tenant=tenant))
        if memory := await self.memory():
            await memory.award(auction, unexecuted=True)
        return auction

    def worst_auction(self, task: Task | str, terms: AuctionTerms) -> float:
        """The most dollars an auction can take: what its fan-out can come to, and never more than its caps."""
        seated = self.admission.select(self._bidders(terms.among), self._jurors, self._seats, terms.require)
        (bidders, jurors, seats), remembers = seated, self._memory.opener is not None
        worst = fan_out(bidders, jurors, as_task(task), self._rules, seats, remembers=remembers)
        return min(worst.dollars, self._rules.caps.dollars)

    def run_sync(
        self, task: Task | str, *, verifier: Verifier | None = None, observe: Observer = ignore, tenant: str = DEFAULT
    ) -> Result:
        """`run` for programs without an event loop. Calls from several threads go one after another.

        Raises:
            InputError: There is a running event loop; await `run` instead.
        """
        return self._sync(self.run(task, verifier=verifier, observe=observe, tenant=tenant))

    def within(self, workspace: Workspace) -> Market:
        """This market at work in a repository, while this one is open: `run(workspace.task(…), verifier=workspace)`.

        Agents and memory are this market's, and closed with it.
        """
        market = Market(
            in_workspace(self.agents, workspace),
            seats=self._seats,
            rules=self._rules,
            weights=self.given_weights,
            prior=self._prior,
            memory=cast("MemoryOpener", self.memory) if self._memory.opener else None,
            scoring_rule=self._scoring_rule,
            sandbox=self._sandbox,
        )
        market.admission, market._lender = self.admission, self
        return market

    def tests(self, tests: str, *, prelude: str = "") -> RunTests:
        """A verifier that runs Python tests after an answer's code, in this market's sandbox.

        Args:
            tests: Python that raises where the answer is wrong, `assert f(2) == 4`.
            prelude: Code the answer was asked to complete, if any.

        Raises:
            SandboxError: Code cannot be isolated here, and the settings do not say to run it all the same.
        """
        sandbox, limits = self._box = self._box or open_sandbox(self._sandbox)
        return RunTests(tests=tests, sandbox=sandbox, limits=limits, prelude=prelude)

    async def feedback(self, auction_id: str, verdict: Verdict, detail: str = "", *, tenant: str | None = None) -> None:
        """Set the outcome of a past auction, of this tenant's if one is named. The earlier outcome stays beneath it.

        Raises:
            InputError: There is no such auction, or this market has no memory.
        """
        if (memory := await self.memory()) is None:
            raise InputError("this market has no memory", hint="Set memory.enabled = true in sale.toml.")
        await memory.feedback(auction_id, verdict, judged_by=USER, detail=detail, tenant=tenant)

    async def check_errors(self, verifier: Verifier | None, tenant: str | None = None) -> CheckErrors:
        """Return the error rates of a verifier: those of the rules, moved by feedback on answers it has judged."""
        name: str | None = getattr(verifier, "judged_by", None)
        if self._rules.attempts < 2 or name is None or (memory := await self.memory()) is None:
            return self._rules.check
        answers = await memory.checked_answers(memory.countable_tenants(tenant or DEFAULT))
        return estimate_errors(CheckHistory.of(answers, name), self._rules.check)

    async def memory(self) -> AuctionMemory | None:
        """The auction memory, opened; `None` where the market has none."""
        return await self._memory.open()

    async def award(self, task: Task | str, terms: AuctionTerms | None = None) -> Auction:
        """Auction and award, on record from before the first call. The caller does the work, and calls `settle`.

        Raises:
            SaleError: The auction could not be held, or the memory could not be written.
        """
        auction = await self._hold(task, terms or AuctionTerms())
        if memory := await self.memory():
            await memory.award(auction)
        return auction

    async def _hold(self, task: Task | str, terms: AuctionTerms, *, begun: bool = False) -> Auction:
        """As `award`, with a record that is begun, maybe already, but does not hold the award yet."""
        task, auction_id, pool = as_task(task), terms.auction_id, self._bidders(terms.among)
        observe = shield_observer(terms.observe)
        bidders, jurors, seats = self.admission.select(pool, self._jurors, self._seats, terms.require)
        tenant = DEFAULT if terms.tenant is None else terms.tenant
        recalled = memory.of(tenant) if (memory := await self.memory()) else None
        auctioneer = Auctioneer(
            bidders=bidders,
            jurors=jurors,
            seats=seats,
            rules=self._rules,
            weights=with_failure_cost(await self._weights_in_force(memory), self._rules.failure_dollars),
            memory=recalled,
            experience=recalled,
            weigh=terms.adjust(self._scoring_rule) if terms.adjust else self._scoring_rule,
            attempts=self._rules.attempts if terms.checked else 1,
            allowance=self.allowance,
            terms=terms,
        )
        worst = auctioneer.check(task)
        await prepare_all([agent for agent in self.agents if agent in bidders or agent.juror in jurors])
        if memory:
            await begin_allowance(self.allowance, memory, incumbent=self.incumbent.name)
            if not begun:
                await memory.begin(auction_id, task, tenant=tenant, withheld=bool(terms.require))
        ledger = Ledger(caps=self._rules.caps, observe=observe)
        try:
            return await auctioneer.hold(auction_id, task, ledger, observe, worst=worst)
        except BREAKS as error:
            reason, calls = describe_break(error), ledger.settlement.calls
            await self._memory.keep(lambda memory: memory.abandon(auction_id, reason, calls))
            raise

    def _bidders(self, among: Names) -> tuple[Agent, ...]:
        return tuple(agent for agent in self.agents if among is None or agent.name in among)

    async def _weights_in_force(self, memory: AuctionMemory | None) -> Weights:
        """Those given; else those in use by the memory, which other processes may change; else the stated prior."""
        if self.given_weights is not None:
            return self.given_weights
        used = await memory.weights_in_use() if memory else None
        return self._prior if used is None else used.weights

    def record_work(
        self, agent: str, calls: Sequence[Call], *, end: WorkEnd = "answered", cached: int = 0, among: Names = None
    ) -> None:
        """Work was done on a task that was awarded: it earns auctions their allowance.

        `run` says so itself. The incumbent is one of those that might have done it, `among`.
        """
        if self.allowance is not None:
            incumbent = incumbent_of(self._bidders(among), self._rules.incumbent)
            own = agent == incumbent.name
            self.allowance.record_work(calls, incumbent.price, own=own, end=end, cached=cached)

    def take_over(self, before: Market) -> None:
        """Go on with the allowance of the market before this one, at this one's share."""
        if self.allowance is not None and before.allowance is not None:
            self.allowance = self.allowance.follow(before.allowance)

    async def settle(self, auction: Auction, attempts: Sequence[Attempt], *, seconds: float) -> Result:
        """Add up what the work cost, compare with always using the incumbent, and put it on record.

        Args:
            auction: Whose record is open: `award` gave it.
            attempts: The work and how it came out; at least one, the last is the one that counts.
            seconds: From the task to now.

        Raises:
            SaleError: It is settled already, or the memory cannot be written.
        """
        result = result_of(auction, attempts, self.incumbent, seconds=seconds)
        if memory := await self.memory():
            await memory.settle_result(result)
        return result

    def _parts(self) -> Sequence[Closable]:
        return (*self.agents, self._memory)
