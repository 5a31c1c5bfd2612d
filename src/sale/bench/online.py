"""The market as it runs with fitted weights: it remembers outcomes task by task, and awards by what it remembers.

A simulation over recorded bids and work, with the market's own rules for everything that is decided: `scoring`,
`value_of_information`, the memory's track records. Work is done without a plan, as recorded for every agent; a plan is
a signal. The market may know the training tasks with all outcomes, as the learnt baselines do; and, with `learn=True`,
of the test tasks those before the present one, with the outcomes of the agents that worked on them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sale.auction import scoring, value_of_information
from sale.auction.attempt_order import first_to_try, next_to_try
from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import AuctionRow, RecordedExecution, RecordedTasks
from sale.bench.routers.protocol import Floats, OutcomeTable, Routing
from sale.memory.track_records import TrackedWork, TrackIndex
from sale.memory.track_records import WorkContext as PlaceOfWork
from sale.types import Bid, Example, Price, Strategy, TrackRecord, Verdict, Weights, Worked

Embed = Callable[[Sequence[str]], Floats]
"""Texts to rows of length one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OnlinePolicy:
    """The settings of a market in the simulation."""

    name: str
    weights: Weights
    hold: bool = False
    """Hold every auction, whether it pays or not."""
    attempts: int = 1
    """Number of agents that may try, where the examples in the task's own text show that work is wrong."""
    learn: bool = True
    """True where outcomes of test tasks are remembered."""


@dataclass(slots=True)
class WorkHistory:
    """The memory of past work, by the auction memory's own rule."""

    vectors: Floats
    """(R, D): of all texts, rows of length one."""
    tracks: TrackIndex = field(default_factory=TrackIndex)
    _count: int = 0

    def remember(self, row: int, done: Sequence[TrackedWork]) -> None:
        """Agents' work on the text of a row."""
        self._count += 1
        self.put(self._count, row, done)

    def put(self, number: int, row: int, done: Sequence[TrackedWork]) -> None:
        """The work of one auction on the text of a row, in place of what was known of it; its number is its time."""
        self.tracks.put(PlaceOfWork(auction=number, row=row, started=float(number), tenant=0), done)

    def of(self, row: int, agents: Sequence[str]) -> dict[str, TrackRecord]:
        """Return the agents' records at work like the text of a row."""
        similar = np.clip(self.vectors @ self.vectors[row], -1.0, 1.0)

        def exactly(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            return similar[rows]

        return self.tracks.records(agents, similar.astype(np.float32), exactly)


def examples_of(recorded: RecordedTasks, embed: Embed) -> tuple[Example, ...]:
    """Recorded tasks as learning sees them: all agents' bids, and their work without a plan.

    An agent that did not bid takes part with no plan, as it would in an award on track records. Track records are those
    of all the other tasks.
    """
    history = WorkHistory(embed([task.prompt for task in recorded.tasks]))
    prices = dict(zip(recorded.agents, recorded.prices, strict=True))
    done = [list_all_work(recorded, task.id) for task in recorded.tasks]
    for row, work in enumerate(done):
        history.put(row, row, work)
    found: list[Example] = []
    for row, task in enumerate(recorded.tasks):
        history.put(row, row, [replace(one, verdict=None) for one in done[row]])
        tracks = history.of(row, recorded.agents)
        history.put(row, row, done[row])
        auction = recorded.auctions[FIRST_BIDS, task.id]
        own = {bid.agent: bid for bid in auction.bids}
        bids = [replace(own.get(agent) or absent_bid(agent, prices[agent]), track=tracks[agent]) for agent in prices]
        work = {agent: recorded.works[task.id, agent, ""] for agent in prices}
        found.append(
            Example(
                auction_id=task.id,
                task=task.prompt,
                domain=task.domain,
                bids=tuple(bids),
                winner=auction.winner or recorded.agents[-1],
                work={agent: Worked(success=one.success, dollars=one.dollars) for agent, one in work.items()},
                overhead=auction.first_dollars,
                checked=task.id in recorded.checkable,
            )
        )
    return tuple(found)


def run(recorded: RecordedTasks, dev: RecordedTasks | None, policy: OnlinePolicy, embed: Embed, seed: int) -> OnlineRun:
    """The test tasks of a record through the market, in one random order.

    Args:
        recorded: The test tasks.
        dev: What is remembered from the start.
        policy: How the market is run.
        embed: Of task texts.
        seed: Of the order.
    """
    earlier = dev.tasks if dev is not None else []
    history = WorkHistory(embed([task.prompt for task in (*earlier, *recorded.tasks)]))
    if dev is not None:
        for row, task in enumerate(earlier):
            history.remember(row, list_all_work(dev, task.id))
    market = _OnlineMarket(recorded, policy)
    order = list(range(len(recorded.tasks)))
    random.Random(seed).shuffle(order)  # noqa: S311  an order, not a secret
    done: dict[int, _TaskOutcome] = {}
    for place in order:
        row = len(earlier) + place
        done[place] = market.task(place, history.of(row, recorded.agents))
        if policy.learn:
            history.remember(row, done[place].work)
    return OnlineRun(recorded=recorded, done=[done[place] for place in range(len(order))])


@dataclass(frozen=True, slots=True)
class _TaskOutcome:
    """One task."""

    tried: tuple[str, ...]
    """Agents that worked, in order; the last one's answer counts."""
    work: tuple[TrackedWork, ...]
    """The work as the memory keeps it."""
    extra: float
    """Dollars of the auction."""
    tokens: float
    held: bool


@dataclass(frozen=True, slots=True)
class OnlineRun:
    """One run over all test tasks."""

    recorded: RecordedTasks
    done: Sequence[_TaskOutcome]

    @property
    def held(self) -> float:
        """Share of tasks that were auctioned."""
        return float(np.mean([one.held for one in self.done]))

    @property
    def routing(self) -> Routing:
        """The routing: the agent of each task, and the cost of deciding."""
        agents = {agent: number for number, agent in enumerate(self.recorded.agents)}
        last = [agents[one.tried[-1]] if one.tried else 0 for one in self.done]
        routing = Routing.of(np.array(last, np.intp), len(agents))
        for row, one in enumerate(self.done):
            routing.called[row] = [agent in one.tried for agent in agents]
        return replace(
            routing,
            extra_dollars=np.array([one.extra for one in self.done]),
            extra_tokens=np.array([one.tokens for one in self.done]),
        )

    def table(self) -> OutcomeTable:
        """The work that was chosen among."""
        return self.recorded.table(planned=False)


@dataclass(frozen=True, slots=True)
class _OnlineMarket:
    """Award and work on one task after the other."""

    recorded: RecordedTasks
    policy: OnlinePolicy

    def task(self, place: int, tracks: dict[str, TrackRecord]) -> _TaskOutcome:
        """One task."""
        task = self.recorded.tasks[place].id
        auction = self.recorded.auctions[FIRST_BIDS, task]
        bids, held = self._bids(auction, tracks)
        tried: list[str] = []
        done: list[TrackedWork] = []
        bid = self._first(task, bids)
        while bid is not None:
            work = self.recorded.works[task, bid.agent, ""]
            tried.append(bid.agent)
            shown = self._checked(task, work) if len(tried) < self.policy.attempts else None
            left = self.policy.attempts - len(tried)
            bid = next_to_try(bids, tried, self.policy.weights, left) if shown == "failure" else None
            verdict = "failure" if bid is not None else _verdict(work)
            done.append(TrackedWork(agent=tried[-1], verdict=verdict, dollars=work.dollars))
        paid = [dollars for (stage, agent), dollars in auction.paid.items() if stage != "judge" or self._asked(agent)]
        share = sum(paid) / auction.first_dollars if held and auction.first_dollars > 0 else 0.0
        return _TaskOutcome(tuple(tried), tuple(done), sum(paid) if held else 0.0, share * auction.first_tokens, held)

    def _first(self, task: str, bids: Sequence[Bid]) -> Bid | None:
        """Return the bid that works first."""
        model = self.policy.weights.model
        if bids and model is not None and self.policy.attempts > 1 and task in self.recorded.checkable:
            return first_to_try(bids, model, self.policy.attempts)
        return scoring.provisional_winner(bids) if bids else None

    def _bids(self, auction: AuctionRow, tracks: dict[str, TrackRecord]) -> tuple[list[Bid], bool]:
        """Return the bids the award is made among, and whether there was an auction."""
        model = self.policy.weights.model
        if model is not None and not self.policy.hold:
            prices = zip(self.recorded.agents, self.recorded.prices, strict=True)
            bidders = [StandingBidder(name, Price(input=price, output=price, blended=price)) for name, price in prices]
            known = value_of_information.standing_bids(bidders, tracks, self.policy.weights)
            if not value_of_information.pays(known, model):
                return known, False
        return [
            scoring.weigh(bid.strategy, bid.price, bid.scores, self.policy.weights, tracks[bid.agent])
            for bid in auction.bids
        ], True

    def _asked(self, juror: str) -> bool:
        return scoring.speaks(juror, self.policy.weights)

    def _checked(self, task: str, work: RecordedExecution) -> str:
        if not work.answer.strip():
            return "failure"
        return self.recorded.checks.get((task, work.answer), "unknown")


@dataclass(frozen=True, slots=True)
class StandingBidder:
    """As much of a bidder as a standing bid needs."""

    name: str
    price: Price


def absent_bid(agent: str, price: float) -> Bid:
    """The bid of an agent that wrote no plan, at its price in dollars per million tokens."""
    plan = Strategy(agent=agent, text="", tokens=0, entropy=None, entropy_note="it did not bid")
    return Bid(strategy=plan, price=price, cost=0.0, value=0.0, scores=())


def _verdict(work: RecordedExecution) -> Verdict:
    return "success" if work.success else "failure" if work.judged else "unknown"


def list_all_work(recorded: RecordedTasks, task: str) -> list[TrackedWork]:
    """Every agent's work on a task, without a plan, as the memory would know it."""
    works = {agent: recorded.works[task, agent, ""] for agent in recorded.agents}
    return [TrackedWork(agent=agent, verdict=_verdict(one), dollars=one.dollars) for agent, one in works.items()]
