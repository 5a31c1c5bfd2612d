"""The report of docs/research/compute-as-agent.md: a market of contractors that try until the examples hold.

All that the frozen page leaves open is settled here, before anything was recorded:

- The market hands in the bid where the examples hold with it. Where they fail, or the text has none, it follows the
  plan of attempts that is worth most: worth × chance less dollars, both estimated from the tasks for learning where the
  bid came to the same, as the mean in the kind smoothed by `EVIDENCE` tasks of all kinds. No attempt at all is a plan:
  giving up. Of equals the cheapest.
- A plan is up to `STAGES` contractors, of one model each with more samples than those before it. It ends with the first
  answer with which the examples hold; else with what the last contractor hands in. A contractor goes on from the
  samples that its model has drawn. Where the market gives up, the bid is not handed in.
- The worth of a solved task is the one of `WORTHS` with which the market spends on the tasks for learning as nearly as
  can be what the cascade does, and no more.
- A kind's best contractor is the one that solves most, of equals the cheapest; track record and kind chooses at the
  market's worth, or nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import cast

import numpy as np

from benchmarks.samples.bids import Sample, work_after_bid
from benchmarks.ways import RESAMPLING, Way, compare, rivals_table, saving
from sale.bench.report.report_table import ReportTable, micro, percent
from sale.bench.routers.protocol import Floats
from sale.bench.stats import Interval, bootstrap, mean, rate
from sale.bench.tasks.schema import BenchTask
from sale.learning.dataset import Bools
from sale.types import Verdict
from sale.wording import quantity

LEARNING = 80
"""Tasks, the first of the order, that plans and the worth come from."""
EVIDENCE = 10.0
"""Tasks of all kinds that a kind's mean is smoothed by."""
STAGES = 3
WORTHS = tuple(10.0**power for power in np.arange(-7.0, -1.9, 0.0625))
"""Dollars a solved task may be worth."""
UNSETTLED: tuple[Verdict, ...] = ("failure", "unknown")
"""What the examples say of a bid that is not handed in at once."""
SHARE = 0.20
"""Less spent, that passes."""
_SAYS: Mapping[Verdict, str] = {"success": "hold", "failure": "fail", "unknown": "are missing"}
"""The verdicts of the examples, in words."""


@dataclass(frozen=True, order=True, slots=True)
class Contractor:
    """A model that may draw so many samples."""

    model: str
    most: int

    def __str__(self) -> str:
        """Its name on the page."""
        return f"{'0.5B' if self.model == 'small' else '1.5B'} × {self.most}"


CONTRACTORS = (
    Contractor("small", 1),
    Contractor("small", 5),
    Contractor("small", 20),
    Contractor("large", 1),
    Contractor("large", 5),
)
Plan = tuple[Contractor, ...]
CASCADE: Plan = (Contractor("small", 1), Contractor("large", 1), Contractor("small", 20))
SHORT: Plan = CASCADE[:2]


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of a plan on one task."""

    success: float
    dollars: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """A task with the samples on record."""

    task: BenchTask
    drawn: Mapping[str, tuple[Sample, ...]]
    """By model, in order."""

    @property
    def kind(self) -> str:
        """Of the task."""
        return self.task.source

    @property
    def bid(self) -> Sample:
        """The first sample of the small model."""
        return self.drawn["small"][0]

    def follow(self, plan: Plan, *, after_bid: bool = False) -> Followed:
        """Do what a plan says.

        Args:
            plan: Contractors, in order; with none nothing is handed in.
            after_bid: Whether the bid is drawn before, and charged.
        """
        had = {"small": int(after_bid), "large": 0}
        dollars, success = self.bid.dollars * after_bid, False
        for contractor in plan:
            samples = self.drawn[contractor.model]
            work = work_after_bid(
                self.task, samples, bid=min(had[contractor.model], len(samples)), limit=contractor.most
            )
            had[contractor.model] = max(had[contractor.model], work.drawn)
            dollars, success = dollars + work.dollars, work.success
            if any(one.held == "success" for one in samples[: work.drawn]):
                break
        return Followed(float(success), dollars)


def plans(bidding: bool) -> Iterator[Plan]:
    """All plans, the empty one first.

    Args:
        bidding: Whether a sample of the small model is drawn before: then one more try is no contractor.
    """
    start = {"small": int(bidding), "large": 0}
    for length in range(STAGES + 1):
        for plan in product(CONTRACTORS, repeat=length):
            had, sensible = dict(start), True
            for contractor in plan:
                sensible &= contractor.most > had[contractor.model]
                had[contractor.model] = contractor.most
            if sensible:
                yield plan


@dataclass(frozen=True, slots=True)
class Market:
    """Plans by what the bid came to and the kind, worth most at a worth."""

    chosen: Mapping[tuple[Verdict, str], Plan]

    def follow(self, one: Tried) -> Followed:
        """Hand in the bid, or go on as planned."""
        if one.bid.held == "success":
            return Followed(float(one.bid.success), one.bid.dollars)
        return one.follow(self.chosen.get((one.bid.held, one.kind), ()), after_bid=True)

    def gives_up(self, one: Tried) -> bool:
        """Whether nobody works after the bid."""
        return one.bid.held != "success" and not self.chosen.get((one.bid.held, one.kind), ())


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimates:
    """For each state after the bid, and each plan: its chance and its dollars."""

    plans: tuple[Plan, ...]
    chance: Mapping[tuple[Verdict, str], Floats]
    dollars: Mapping[tuple[Verdict, str], Floats]

    @classmethod
    def of(cls, learn: Sequence[Tried]) -> Estimates:
        """From the tasks for learning."""
        candidates = tuple(plans(bidding=True))
        chance: dict[tuple[Verdict, str], Floats] = {}
        dollars: dict[tuple[Verdict, str], Floats] = {}
        for held in UNSETTLED:
            alike = [one for one in learn if one.bid.held == held]
            followed = [[one.follow(plan, after_bid=True) for plan in candidates] for one in alike]
            if not alike:
                continue
            success = np.array([[found.success for found in row] for row in followed])
            spent = np.array([[found.dollars for found in row] for row in followed])
            for kind in sorted({one.kind for one in learn}):
                own = np.array([one.kind == kind for one in alike])
                chance[held, kind], dollars[held, kind] = _smoothed(success, own), _smoothed(spent, own)
        return cls(plans=candidates, chance=chance, dollars=dollars)

    def market(self, worth: float) -> Market:
        """The plans worth most at a worth of a solved task."""
        chosen: dict[tuple[Verdict, str], Plan] = {}
        for state, chance in self.chance.items():
            value = worth * chance - self.dollars[state]
            best = np.flatnonzero(value >= value.max() - 1e-15)
            chosen[state] = self.plans[int(best[np.argmin(self.dollars[state][best])])]
        return Market(chosen)


def _smoothed(values: Floats, own: Bools) -> Floats:
    everywhere = values.mean(axis=0)
    return (values[own].sum(axis=0) + EVIDENCE * everywhere) / (own.sum() + EVIDENCE)


def way(name: str, followed: Sequence[Followed]) -> Way:
    """What came of a rule on all tasks."""
    return Way(
        name=name,
        success=np.array([one.success for one in followed]),
        dollars=np.array([one.dollars for one in followed]),
    )


def worth_of(learn: Sequence[Tried], known: Estimates) -> float:
    """The worth with which the market spends what the cascade does, as nearly as can be and no more."""
    allowed = sum(one.follow(CASCADE).dollars for one in learn)
    spent = [sum(known.market(worth).follow(one).dollars for one in learn) for worth in WORTHS]
    within = [(dollars, -worth) for dollars, worth in zip(spent, WORTHS, strict=True) if dollars <= allowed]
    return -max(within)[1] if within else WORTHS[0]


def _single(learn: Sequence[Tried], worth: float) -> dict[str, Plan]:
    """For each kind the contractor that is worth most by its record, or none."""
    found: dict[str, Plan] = {}
    for kind in sorted({one.kind for one in learn}):
        alike = [one for one in learn if one.kind == kind]
        value: dict[Plan, tuple[float, float]] = {(): (0.0, 0.0)}
        for contractor in CONTRACTORS:
            done = way("", [one.follow((contractor,)) for one in alike])
            dollars = float(done.dollars.mean())
            value[contractor,] = (worth * float(done.success.mean()) - dollars, -dollars)
        found[kind] = max(value, key=lambda plan: value[plan])
    return found


def ways(learn: Sequence[Tried], held: Sequence[Tried]) -> tuple[Way, list[Way], list[Way], Market]:
    """The market's way, its rivals (the cascade first), the single contractors, and the market."""
    known = Estimates.of(learn)
    worth = worth_of(learn, known)
    market = known.market(worth)
    best, record = _single(learn, 1e6), _single(learn, worth)
    singles = [way(str(one), [task.follow((one,)) for task in held]) for one in CONTRACTORS]
    rivals = [
        way(" > ".join(map(str, CASCADE)), [task.follow(CASCADE) for task in held]),
        way("by kind: the best contractor", [task.follow(best[task.kind]) for task in held]),
        way("track record and kind", [task.follow(record[task.kind]) for task in held]),
        way(" > ".join(map(str, SHORT)), [task.follow(SHORT) for task in held]),
        *singles,
    ]
    return way("market", [market.follow(one) for one in held]), rivals, singles, market


def equal_money(ours: Way, cascade: Way, others: Sequence[Way]) -> Interval | None:
    """The market's success less what the cascade's line has at the market's money.

    Below the cascade's money the line mixes it with doing nothing, above it with the next dearer of the other ways,
    whatever that solves; beyond that the line stays as it is.
    """
    dearer = [one for one in others if one.dollars.mean() > cascade.dollars.mean()]
    after = min(dearer, key=lambda one: float(one.dollars.mean()), default=cascade)
    parts = [column for one in (ours, cascade, after) for column in (one.success, one.dollars)]
    columns = np.column_stack([*parts, np.ones(len(ours.success))])

    def statistic(sums: Floats) -> Floats:
        lead: list[float] = []
        for success, dollars, at, cost, then, most in cast("list[list[float]]", (sums[:, :-1] / sums[:, -1:]).tolist()):
            knots = sorted([(0.0, 0.0), (cost, at), (most, then)])
            lead.append(success - float(np.interp(dollars, [x for x, _ in knots], [y for _, y in knots])))
        return np.array(lead)

    return bootstrap(columns, statistic, RESAMPLING)[0]


def verdict(ours: Way, rivals: Sequence[Way]) -> str:
    """Whether it passes, and at what money."""
    cascade = rivals[0]
    lead = equal_money(ours, cascade, rivals[1:])
    more, less = compare(ours, cascade).difference, saving(ours, cascade).difference
    better = lead is not None and lead.low is not None and lead.low > 0
    cheaper = more.value >= 0 and less.value <= -SHARE * cascade.dollars.mean() and (less.high or 0.0) < 0
    whole = "It passes." if better or cheaper else "It fails."
    return f"At equal money the market is {percent(lead)} points above the cascade's line. {whole}"


def giving_up(held: Sequence[Tried], market: Market) -> str:
    """Where the market stops after the bid, what that saves, and how many of these another attempt solves."""
    left = [one for one in held if market.gives_up(one)]
    on = [one.follow(CASCADE) for one in left]
    solved = sum(found.success for found in on)
    saved = sum(found.dollars - one.bid.dollars for found, one in zip(on, left, strict=True))
    return (
        f"It gives up on {quantity(len(left), 'task')} of {len(held)}; the cascade solves {solved:g} of these and "
        f"spends {1e6 * saved / len(held):.1f} millionths of a dollar a task more."
    )


def worths_table(known: Estimates, learn: Sequence[Tried], held: Sequence[Tried]) -> ReportTable:
    """The market at every worth of a solved task, a row for each set of plans; not part of the frozen comparison."""
    rows: list[tuple[str, ...]] = []
    last: Market | None = None
    for worth in WORTHS:
        market = known.market(worth)
        if market == last:
            continue
        last = market
        learnt, ours = (way("", [market.follow(one) for one in part]) for part in (learn, held))
        planned = {state: " > ".join(map(str, plan)) or "nobody" for state, plan in sorted(market.chosen.items())}
        rows.append(
            (
                f"{1e6 * worth:.3g}",
                "; ".join(f"{kind}, examples {_SAYS[verdict]}: {plan}" for (verdict, kind), plan in planned.items()),
                f"{100 * learnt.success.mean():.1f}",
                f"{1e6 * learnt.dollars.mean():.1f}",
                percent(rate(ours.success, RESAMPLING)),
                micro(mean(ours.dollars, RESAMPLING)),
                str(sum(market.gives_up(one) for one in held)),
            )
        )
    return ReportTable(
        key="compute-worths",
        title="Looked at afterwards: the market at other worths of a solved task",
        head=(
            *("worth from, millionths", "after the bid", "learnt from: solved, %", "$/task, millionths"),
            *("held out: solved, %", "$/task, millionths", "given up"),
        ),
        rows=tuple(rows),
        note=_examples_say([*learn, *held]),
    )


def _examples_say(tried: Sequence[Tried]) -> str:
    """What the verdict of the examples on the bid says of it, over all tasks."""
    said: list[str] = []
    for held, words in _SAYS.items():
        alike = [one.bid.success for one in tried if one.bid.held == held]
        said.append(f"where the examples {words} {sum(alike)} of {len(alike)}")
    return f"Bids, first samples of the 0.5B, that are right by the hidden tests: {', '.join(said)}."


def report(tasks: Sequence[BenchTask], samples: Mapping[tuple[str, str], tuple[Sample, ...]]) -> str:
    """What the page says."""
    tried = [Tried(task=task, drawn={model: samples[task.id, model] for model in ("small", "large")}) for task in tasks]
    learn, held = tried[:LEARNING], tried[LEARNING:]
    ours, rivals, singles, market = ways(learn, held)
    table = rivals_table("compute-as-agent", f"{len(held)} tasks held out", ours, rivals, singles)
    solved = np.mean([max(one.follow((other,)).success for other in CONTRACTORS) for one in held])
    chosen = "; ".join(
        f"{kind}, examples {'fail' if state == 'failure' else 'missing'}: {' > '.join(map(str, plan)) or 'nobody'}"
        for (state, kind), plan in sorted(market.chosen.items())
    )
    table = replace(table, note=f"{table.note} An oracle solves {100 * solved:.1f} %. After the bid: {chosen}.")
    worths = worths_table(Estimates.of(learn), learn, held)
    return f"{table.markdown()}\n\n{verdict(ours, rivals)} {giving_up(held, market)}\n\n{worths.markdown()}"
