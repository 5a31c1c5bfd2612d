"""When an auction pays: how well jurors must rank bids, and how cheap an auction must be, on recorded outcomes.

The recorded tasks are awarded again and again. Jurors of a stated quality are simulated: the score of a bid is a normal
deviate, moved up where the work succeeds, by as much as makes the area under the ROC curve the stated one. Real
outcomes and real costs of work follow from the award. Two rules award: the best use of all that is known (chances by
past outcomes, updated by all scores on the task together, since a task that is hard for one agent is harder for all),
and the linear rule C − V, which reads plan cost and scores alone. The router that the auction must beat awards by past
outcomes alone. Each of the three is swept over its trade-off of money for success, and two settings may be mixed.

The break-even is the largest cost of an auction, as a share of what the best agent's work costs, at which auction and
work together solve as many tasks as the router does, each with as much money as the best agent alone would take.

Where only the winner's outcome is known, as in the memory of a market, the other outcomes are drawn with the chances
that `missing_outcomes.complete` gives, moved by the difficulty that the known outcomes tell; the result says how many
are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from sale.auction.difficulty import EDGE, SHARES, spread_by_difficulty
from sale.auction.success_model import STEEPEST
from sale.errors import InputError
from sale.learning.dataset import Bools, Floats, Table, observed_tracks, split, tabulate
from sale.learning.intervals import Interval
from sale.learning.missing_outcomes import CompletedOutcomes, complete
from sale.learning.samples import PRIOR_TASKS
from sale.learning.utility import likeliest_spread
from sale.types import Example
from sale.wording import quantity

AREAS = (0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
"""Qualities of jurors that are tried."""
DRAWS = 100
"""Number of times that the scores of all bids are drawn."""
RESAMPLES = 500
"""Resamples of the tasks behind the intervals."""
SETTINGS = 60
"""Trade-offs of money for success that each rule is swept over, evenly by their logarithms."""
MIN_WORTH, MAX_WORTH = 0.05, 1e3
"""Worths of a solved task tried: from so many times the cheapest work to so many times the dearest."""
EVIDENCE = 2.0
"""Number of tasks that an agent's own rate counts for where its track record near the task says otherwise."""
MIN_TASKS = 30
"""Fewer different tasks make no map: its intervals would be as wide as the map."""
MAX_AUCTIONS = 2_000
"""Of more, the latest are taken."""
FOLDS = 5
SEED = 0
SURE = 1e-9
"""A gain below this is none."""

Rule = Literal["best use", "linear rule"]
RULES: tuple[Rule, ...] = ("best use", "linear rule")


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakEven:
    """One quality of jurors under one rule of award."""

    area: float
    """Of the simulated jurors: the share of pairs of a success and a failure that they rank right."""
    rule: Rule
    break_even: Interval
    """The largest cost of the auction over cost of the work at which it still pays; 0: never."""
    gain: Interval
    """Share of tasks solved beyond the router's, if the auction cost nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakEvenMap:
    """When an auction among these agents pays."""

    tasks: int
    """Different tasks."""
    auctions: int
    agents: tuple[str, ...]
    modelled: float
    """Share of outcomes that were not observed and are filled in by a model."""
    best: str
    """The agent that solves the largest share."""
    work: Interval
    """Dollars that the best agent's work costs per task: W."""
    auction: Interval | None
    """Dollars that an auction cost: A, the mean of those that were held; `None` where none cost anything."""
    router: Interval
    """Share of tasks that the router by past outcomes solves with the best agent's money."""
    spread: float
    """Of the difficulty of tasks, in log-odds: the larger, the more one outcome says of the others."""
    points: tuple[BreakEven, ...]

    @property
    def ratio(self) -> float | None:
        """A over W, as recorded."""
        return None if self.auction is None else self.auction[0] / self.work[0]

    def break_even_at(self, area: float, rule: Rule = "best use") -> float:
        """The break-even of jurors of an area, on the line between those tried; 0 below the least of them."""
        own = [one for one in self.points if one.rule == rule]
        return float(np.interp(area, [one.area for one in own], [one.break_even[0] for one in own], left=0.0))

    def pays(self, area: float) -> bool | None:
        """Return True where auctions as dear as those on record pay with jurors of an area; `None` without a record."""
        return None if self.ratio is None else self.ratio < self.break_even_at(area)


def break_even_map(examples: Sequence[Example], areas: Sequence[float] = AREAS) -> BreakEvenMap:
    """The map of some auctions.

    Args:
        examples: Past auctions, the oldest first.
        areas: Of the jurors that are tried, ascending, in [0.5, 1).

    Raises:
        InputError: Too few tasks, a single agent, or work that costs nothing.
    """
    known = past_outcomes(examples)
    table = known.table
    tasks = len(known.by_task(table.overhead))
    best, work = known.best()
    counts = resamples(known)
    money = counts @ known.by_task(work) / _auctions(known, counts)
    swept = _sweep(known, areas)
    router = _Curve.of(known, counts, *swept["router", 0.5])
    target = router.reached(money)
    points: list[BreakEven] = []
    for rule in RULES:
        for area in areas:
            curve = _Curve.of(known, counts, *swept[rule, area])
            gain = curve.reached(money) - target
            shares = 1.0 - curve.least_cost(target) / money
            points.append(
                BreakEven(
                    area=area,
                    rule=rule,
                    break_even=interval(np.where(gain > SURE, np.maximum(shares, 0.0), 0.0)),
                    gain=interval(gain),
                )
            )
    return BreakEvenMap(
        tasks=tasks,
        auctions=len(table),
        agents=table.agents,
        modelled=float((table.present & ~table.known).sum() / table.present.sum()),
        best=table.agents[best],
        work=interval(money),
        auction=_cost_of_auctions(known, counts),
        router=interval(target),
        spread=known.spread,
        points=tuple(points),
    )


def past_outcomes(examples: Sequence[Example]) -> PastOutcomes:
    """Return what the latest auctions tell of the work on each of them, its own outcome left out.

    Raises:
        InputError: Too few tasks, a single agent, or work that costs nothing.
    """
    latest = [example for example in examples if example.bids and example.work][-MAX_AUCTIONS:]
    tasks, agents = len({one.task for one in latest}), len({bid.agent for one in latest for bid in one.bids})
    if tasks < MIN_TASKS or agents < 2:
        raise InputError(
            f"there are judged auctions of {quantity(tasks, 'different task')} "
            f"among {quantity(agents, 'agent')}: too few for a map",
            hint=f"It takes at least {MIN_TASKS} tasks with a known outcome, and two agents.",
        )
    table = tabulate(latest)
    known = PastOutcomes.of(table, complete(table, split(table, FOLDS, SEED)))
    best, work = known.best()
    if not work.sum() > 0.0:
        raise InputError(
            f"the work of {table.agents[best]}, the best agent, cost nothing on record: there is no ratio of costs",
            hint="Give agents a price: what an hour of the machine costs is one, too.",
        )
    return known


@dataclass(frozen=True, kw_only=True, slots=True)
class PastOutcomes:
    """Expected success and cost of every bid's work by past outcomes, beside the actual success and cost."""

    table: Table
    chance: Floats
    """(T, N) of success by past outcomes."""
    works: Floats
    """(T, N) expected dollars of work by past outcomes; infinite where there is no bid."""
    success: Floats
    """(T, N) 1 or 0; where it is not known, the chance that stands in."""
    dollars: Floats
    """(T, N) of the work."""
    spread: float
    """Of the difficulty of tasks, in log-odds."""

    @classmethod
    def of(cls, table: Table, completed: CompletedOutcomes) -> PastOutcomes:
        """Return the past outcomes of a table's bids."""
        known = table.known & table.present
        chance, works = _past(table, known, completed)
        return cls(
            table=table,
            chance=chance,
            works=np.where(table.present, works, np.inf),
            success=np.clip(completed.success, 0.0, 1.0),
            dollars=completed.dollars,
            spread=likeliest_spread(chance, table.success, known),
        )

    def by_task(self, values: Floats) -> Floats:
        """(G,) sums over the auctions of each task."""
        return np.bincount(self.table.group, weights=values).astype(np.float64)

    def best(self) -> tuple[int, Floats]:
        """The agent with the highest rate, and (T,) what its work costs; its average where it made no bid.

        Few outcomes count towards the rate of all agents.
        """
        own = [self.table.present & (self.table.author == agent) for agent in range(len(self.table.agents))]
        pool = float(self.success[self.table.present].mean())
        solved = np.array([self.success[mine].sum() for mine in own])
        bids = np.array([mine.sum() for mine in own])
        best = int(np.argmax((solved + PRIOR_TASKS * pool) / (bids + PRIOR_TASKS)))
        bid = own[best].any(axis=1)
        work: Floats = (self.dollars * own[best]).sum(axis=1)
        return best, np.where(bid, work, float(work[bid].mean()))

    def outcomes(self, draw: np.random.Generator) -> Floats:
        """(T, N) 0 or 1: as observed, else drawn; tasks hard for those who were seen are harder for the others."""
        if self.table.complete.all():
            return self.success
        good = spread_by_difficulty(self.success, np.array(self.spread))
        seen = (self.table.known & self.table.present)[..., None]
        expected = spread_by_difficulty(self.chance, np.array(self.spread))
        came = np.where(seen, np.where(self.success[..., None] == 1.0, expected, 1.0 - expected), 1.0).prod(axis=1)
        likely = np.cumsum(came * SHARES, axis=1)
        place = (draw.random(len(likely))[:, None] * likely[:, -1:] > likely).sum(axis=1)
        at = np.take_along_axis(good, place[:, None, None], axis=2)[..., 0]
        return np.where(seen[..., 0], self.success, draw.random(at.shape) < at) * self.table.present


def _past(table: Table, known: Bools, completed: CompletedOutcomes) -> tuple[Floats, Floats]:
    """(T, N) chances and expected dollars by past outcomes: track records, towards each agent's rate.

    The rate is of all tasks, the same for each. Of all but one it would be lower just where that one was solved, and
    where little else is known the agent that failed would be chosen.
    """
    success = np.where(known, np.nan_to_num(table.success), 0.0)
    pool = float(success.sum() / max(1, int(known.sum())))
    chance, works = np.full((2, *table.author.shape), 0.0)
    for agent in range(len(table.agents)):
        own = table.present & (table.author == agent)
        seen = own & known
        chance[own] = (success[seen].sum() + pool) / (seen.sum() + 1.0)
        works[own] = completed.dollars[own].mean()
    for row, column, record in observed_tracks(table):
        at = (row, column)
        chance[at] = (record.successes + EVIDENCE * chance[at]) / (record.evidence + EVIDENCE)
        works[at] = (record.spent / 1e6 + EVIDENCE * works[at]) / (record.costed + EVIDENCE)
    return np.clip(chance, 0.01, 0.99), works


def _sweep(known: PastOutcomes, areas: Sequence[float]) -> dict[tuple[str, float], tuple[Floats, Floats]]:
    """By rule and area: (W, T) mean success and mean dollars of work of every setting."""
    table, draw = known.table, np.random.default_rng(SEED)
    works = known.works[table.present]
    dearest = float(works.max())
    cheapest = max(float(works.min()), EDGE * dearest)
    worths: Floats = np.geomspace(MIN_WORTH * cheapest, MAX_WORTH * dearest, SETTINGS)
    # C − V in points of score: from all for the score to all for the price.
    points = np.concatenate([[0.0], np.geomspace(1e-2, 1e2, SETTINGS)]) / max(float(table.outlay.max()), EDGE)
    keys = [("router", 0.5), *((rule, area) for rule in RULES for area in areas)]
    found = {key: np.zeros((2, SETTINGS + (key[0] == RULES[1]), len(table))) for key in keys}
    nested = spread_by_difficulty(known.chance, np.array(known.spread))
    for _ in range(DRAWS):
        success, noise = known.outcomes(draw), draw.standard_normal(table.author.shape)

        def add(key: tuple[str, float], net: Floats, success: Floats = success) -> None:
            """Awards go to the smallest net cost: (W, T, N)."""
            columns = net.argmin(axis=2)
            rows = np.arange(len(table))
            found[key] += np.stack([success[rows, columns], known.dollars[rows, columns]]) / DRAWS

        add(("router", 0.5), known.works - worths[:, None, None] * known.chance)
        for area in areas:
            lift = math.sqrt(2.0) * NormalDist().inv_cdf(area)
            scores = lift * success + noise
            told = np.exp(np.clip(lift * scores - lift**2 / 2.0, -STEEPEST, STEEPEST)) * table.present
            chance = _together(nested, np.where(table.present, told, 1.0))
            add((RULES[0], area), known.works - worths[:, None, None] * chance)
            add((RULES[1], area), points[:, None, None] * table.outlay - np.where(table.present, scores, -np.inf))
    return {key: (sums[0], sums[1]) for key, sums in found.items()}


def _together(nested: Floats, told: Floats) -> Floats:
    """(T, N) chances after all scores on a task, which tell of its difficulty and so of every other agent.

    Args:
        nested: (T, N, Z) chances at each difficulty.
        told: (T, N) how many times likelier each score is of a success than of a failure.
    """
    raised = nested * told[..., None]
    likely = raised + 1.0 - nested
    weights = likely.prod(axis=1) * SHARES
    weights /= weights.sum(axis=1, keepdims=True)
    return (raised / likely * weights[:, None]).sum(axis=2)


@dataclass(frozen=True, slots=True)
class _Curve:
    """Success against dollars of a rule's settings and their mixtures: R resamples, the first the tasks themselves."""

    success: Floats
    """(R, W) ascending by cost, from solving nothing for nothing."""
    dollars: Floats
    """(R, W)"""

    @classmethod
    def of(cls, known: PastOutcomes, counts: Floats, success: Floats, dollars: Floats) -> _Curve:
        auctions = _auctions(known, counts)[:, None]
        sums = [np.stack([known.by_task(row) for row in part]) for part in (success, dollars)]
        both = [np.pad(counts @ part.T / auctions, ((0, 0), (1, 0))) for part in sums]
        return cls(*both)

    def reached(self, money: Floats) -> Floats:
        """(R,) the most that is solved for so much a task."""
        able = self.dollars <= money[:, None] * (1.0 + SURE)
        best = np.where(able, self.success, 0.0).max(axis=1)
        # A setting within the money, mixed with one beyond it so that all the money is spent.
        low, high = np.where(able, self.dollars, np.nan), np.where(able, np.nan, self.dollars)
        part = (money[:, None, None] - low[:, :, None]) / (high[:, None, :] - low[:, :, None])
        mixed = self.success[:, :, None] * (1.0 - part) + self.success[:, None, :] * part
        return np.fmax(best, np.fmax.reduce(mixed, axis=(1, 2)))

    def least_cost(self, target: Floats) -> Floats:
        """(R,) the least that solves such a share; infinite where no setting does."""
        able = self.success >= target[:, None] - SURE
        best = np.where(able, self.dollars, np.inf).min(axis=1)
        high, low = np.where(able, self.success, np.nan), np.where(able, np.nan, self.success)
        part = (target[:, None, None] - low[:, :, None]) / (high[:, None, :] - low[:, :, None])
        mixed = self.dollars[:, :, None] * (1.0 - part) + self.dollars[:, None, :] * part
        return np.fmin(best, np.fmin.reduce(mixed, axis=(1, 2)))


def resamples(known: PastOutcomes) -> Floats:
    """(1 + R, G) how often each task is drawn; first each once."""
    groups = int(known.table.group.max()) + 1
    drawn = np.random.default_rng(SEED).multinomial(groups, np.full(groups, 1.0 / groups), RESAMPLES)
    return np.concatenate([np.ones((1, groups)), drawn.astype(np.float64)])


def _auctions(known: PastOutcomes, counts: Floats) -> Floats:
    """(R,) auctions in each resample."""
    return counts @ known.by_task(np.ones(len(known.table)))


def _cost_of_auctions(known: PastOutcomes, counts: Floats) -> Interval | None:
    paid = known.table.overhead
    held = counts @ known.by_task((paid > 0.0).astype(np.float64))
    if held[0] == 0.0:
        return None
    return interval(counts @ known.by_task(paid) / np.maximum(held, 1.0))


def interval(drawn: Floats) -> Interval:
    """The first value, and the middle 95 % of the others."""
    low, high = np.quantile(drawn[1:], (0.025, 0.975))
    return float(drawn[0]), float(low), float(high)
