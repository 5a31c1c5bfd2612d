"""The report of docs/research/samples-as-bids.md: do samples, given as bids, tell who will be right after reasoning?

What the frozen page leaves open is settled here. All but the last was written before anything was recorded:

- The worth of a solved task is, for bids as for track record and kind, the cheapest of `WORTHS` at which, on the tasks
  for learning and with chances foretold from the other four fifths of them, it solves as many as the rule by kind, or
  else the one that solves most. One worth for both would have one of them aim at less than the other.
- What work costs is, for a choice, the mean of the agent in the kind on the tasks for learning. The work of a direct
  agent is part of its bid and adds nothing.
- A kind's best agent is the one that solves most, of equals the cheapest. A margin that is not known counts as the mean
  of those that are.
- Answers are judged anew, from what is on record, so that a mend of how an option is read reaches the page. This was
  added after the whole record and the first report on it had been seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.samples.bids import Sample, SampleBid, agreement_across, sample_bid
from benchmarks.samples.studies import DIRECT
from benchmarks.ways import RESAMPLING, Way, compare, rivals_table, saving
from sale.agents.options import chosen_option
from sale.agents.samples import keys_of, most_agreed
from sale.bench.judging import options_of
from sale.bench.report.report_table import ReportTable, percent
from sale.bench.routers.estimators import folds, logistic_columns
from sale.bench.routers.protocol import Floats
from sale.bench.stats import Interval, bootstrap, rate
from sale.bench.tasks.schema import BenchTask
from sale.learning.dataset import Bools, Ints

Samples = Mapping[tuple[str, str], tuple[Sample, ...]]
"""By task and agent."""
LEARNING = 100
"""Tasks, the first of the order, that weights and thresholds come from."""
AGENTS = ("small", "large", "small-reasons", "large-reasons", "large-reasons-3")
MODELS = ("small", "large", "small", "large", "large")
"""Whose samples an agent's bid is made of."""
REASONING = (2, 3, 4)
WORTHS = tuple(10.0**power for power in np.arange(-6.0, -1.9, 0.125))
"""Dollars a solved task may be worth."""
FOLDS = 5
SEED = 20260
ENOUGH = 0.70
"""The lower end of the area that passes."""
POINTS, SHARE = 0.04, 0.20
"""More solved, or less spent, that passes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bids:
    """Bids and work of all agents on some tasks."""

    kinds: tuple[str, ...]
    success: Floats
    """(T, 5) of the agents' work."""
    alone: Floats
    """(T, 5) dollars of an agent that works without bidding."""
    after: Floats
    """(T, 5) dollars of the work after the bids."""
    bidding: Floats
    """(T,) dollars of all bids."""
    signals: Floats
    """(T, 5, 3) agreement, margin and agreement across agents; a margin that is not known is NaN."""
    cascade: Way
    named: Bools
    """(T, 4) whether every sample of an agent names an option."""

    def of(self, rows: slice | Ints | Bools) -> Bids:
        """Some of the tasks."""
        kinds = tuple(np.array(self.kinds)[rows])
        cascade = replace(self.cascade, success=self.cascade.success[rows], dollars=self.cascade.dollars[rows])
        return Bids(
            kinds=kinds,
            success=self.success[rows],
            alone=self.alone[rows],
            after=self.after[rows],
            bidding=self.bidding[rows],
            signals=self.signals[rows],
            cascade=cascade,
            named=self.named[rows],
        )

    def costs(self, *, bids: bool) -> Floats:
        """(T, 5) dollars of the agents' work, after the bids or without any."""
        return self.after if bids else self.alone

    def way(self, name: str, chosen: Ints, *, bids: bool) -> Way:
        """Who is chosen works, after the bids or without any."""
        rows = np.arange(len(chosen))
        dollars = self.costs(bids=bids)[rows, chosen] + (self.bidding if bids else 0.0)
        return Way(name=name, success=self.success[rows, chosen], dollars=dollars)


def bids_of(tasks: Sequence[BenchTask], samples: Samples) -> Bids:
    """Bids and work on these tasks, in their order."""
    rows = [_row(task, {name: samples[task.id, name] for name in AGENTS[:4]}) for task in tasks]
    success, alone, after, bidding, signals, right, paid, named = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    return Bids(
        kinds=tuple(task.source for task in tasks),
        success=success.astype(np.float64),
        alone=alone,
        after=after,
        bidding=bidding,
        signals=signals,
        cascade=Way(
            name="small, large, large-reasons: on where samples differ", success=right.astype(np.float64), dollars=paid
        ),
        named=named,
    )


def _row(task: BenchTask, drawn: Mapping[str, Sequence[Sample]]) -> tuple[object, ...]:
    direct = {name: tuple(drawn[name][:DIRECT]) for name in ("small", "large")}
    bids = {name: sample_bid(task, given) for name, given in direct.items()}
    across = agreement_across(task, bids)
    thrice = drawn["large-reasons"]
    voted = thrice[most_agreed(keys_of(task.task, [one.answer for one in thrice]))]
    work = [drawn["small"][0], drawn["large"][0], drawn["small-reasons"][0], thrice[0]]
    alone = [*(one.dollars for one in work), sum(one.dollars for one in thrice)]
    success, paid = _cascade(task, direct, bids, thrice[0])
    return (
        [*(one.success for one in work), voted.success],
        alone,
        [0.0, 0.0, *alone[2:]],
        sum(bid.dollars for bid in bids.values()),
        [[bids[model].agreement, _known(bids[model].margin), across[model]] for model in MODELS],
        success,
        paid,
        [all(_option(task, one) is not None for one in drawn[name]) for name in AGENTS[:4]],
    )


def _option(task: BenchTask, sample: Sample) -> str | None:
    return chosen_option(sample.answer, options_of(task))


def judged_again(tasks: Sequence[BenchTask], samples: Samples) -> dict[tuple[str, str], tuple[Sample, ...]]:
    """These samples, judged from their answers."""
    return {
        (task.id, name): tuple(
            replace(one, success=_option(task, one) == task.reference) for one in samples[task.id, name]
        )
        for task in tasks
        for name in AGENTS[:4]
    }


def _known(margin: float | None) -> float:
    return np.nan if margin is None else margin


def _cascade(
    task: BenchTask, direct: Mapping[str, Sequence[Sample]], bids: Mapping[str, SampleBid], last: Sample
) -> tuple[bool, float]:
    """Direct answers where all samples agree, else the next; at last reasoning, as it is."""
    paid = 0.0
    for name in ("small", "large"):
        paid += bids[name].dollars
        if len(set(keys_of(task.task, [one.answer for one in direct[name]]))) == 1:
            return direct[name][0].success, paid
    return last.success, paid + last.dollars


def foretold(learn: Bids, asked: Bids) -> Floats:
    """(T, 5) the chance of each agent, by a logistic regression of its own on the signals of its bid."""
    found = np.empty(asked.success.shape)
    for agent in range(len(AGENTS)):
        known, new = learn.signals[:, agent], asked.signals[:, agent]
        middle = _middle(known)
        known, new = (np.where(np.isnan(one), middle, one) for one in (known, new))
        spread = known.std(axis=0)
        spread[spread == 0] = 1.0
        predict = logistic_columns((known - middle) / spread, learn.success[:, [agent]])
        found[:, agent] = predict((new - middle) / spread)[:, 0]
    return found


def _middle(known: Floats) -> Floats:
    there = ~np.isnan(known)
    return np.where(there, known, 0.0).sum(axis=0) / np.maximum(1, there.sum(axis=0))


def by_kind(learn: Bids, asked: Bids, values: Floats) -> Floats:
    """(T, 5) for each task the mean of these values in its kind on the tasks for learning."""
    kinds = np.array(learn.kinds)
    return np.array([values[kinds == kind].mean(axis=0) for kind in asked.kinds])


def choose(worth: float, chances: Floats, costs: Floats) -> Ints:
    """(T,) the agent of the highest worth; of equals the cheapest."""
    value = worth * chances - costs
    best = value.max(axis=1, keepdims=True)
    return np.argmin(np.where(value >= best - 1e-15, costs, np.inf), axis=1).astype(np.intp)


def best_of_kind(learn: Bids, asked: Bids) -> Ints:
    """(T,) the agent that solved most in the kind."""
    return choose(1e6, by_kind(learn, asked, learn.success), by_kind(learn, asked, learn.alone))


def worth_of(learn: Bids, foretell: Callable[[Bids, Bids], Floats], *, bids: bool) -> float:
    """The worth of a solved task, chosen on the tasks for learning.

    Args:
        learn: These tasks.
        foretell: From tasks to learn from, and others, to the chances on the others.
        bids: Whether there are bids, which are paid.
    """
    chances, costs = np.empty(learn.success.shape), np.empty(learn.success.shape)
    goal = 0.0
    for known, left in folds(len(learn.kinds), FOLDS, SEED):
        train, test = learn.of(known), learn.of(left)
        chances[left], costs[left] = foretell(train, test), by_kind(train, test, train.costs(bids=bids))
        goal += float(test.way("", best_of_kind(train, test), bids=False).success.sum())
    ways = [learn.way("", choose(worth, chances, costs), bids=bids) for worth in WORTHS]
    solved = np.array([way.success.sum() for way in ways])
    spent = np.array([way.dollars.sum() for way in ways])
    good = solved >= min(goal, solved.max())
    return WORTHS[int(np.argmin(np.where(good, spent, np.inf)))]


def decided(learn: Bids, held: Bids, foretell: Callable[[Bids, Bids], Floats], *, bids: bool) -> Ints:
    """(T,) the agent of the highest worth, by chances that are foretold."""
    worth = worth_of(learn, foretell, bids=bids)
    costs = by_kind(learn, held, learn.costs(bids=bids))
    return choose(worth, foretell(learn, held), costs)


def past_success(learn: Bids, asked: Bids) -> Floats:
    """(T, 5) the success of each agent in the kind on the tasks for learning."""
    return by_kind(learn, asked, learn.success)


def area_of(chances: Floats, held: Bids, agents: Sequence[int] = REASONING) -> Interval | None:
    """The area within a kind, the mean over agents and kinds, weighed by tasks."""
    kinds = np.array(held.kinds)
    parts: list[tuple[Ints, Ints, Floats]] = []
    for agent in agents:
        for kind in sorted(set(held.kinds)):
            right, wrong = (
                np.flatnonzero((kinds == kind) & (held.success[:, agent] == wanted)) for wanted in (1.0, 0.0)
            )
            ahead = chances[right, agent][:, None] - chances[wrong, agent][None, :]
            parts.append((right, wrong, np.sign(ahead) / 2 + 0.5))

    def statistic(counts: Floats) -> Floats:
        total, weight = np.zeros(len(counts)), np.zeros(len(counts))
        for right, wrong, ahead in parts:
            mine, others = counts[:, right], counts[:, wrong]
            pairs = mine.sum(axis=1) * others.sum(axis=1)
            tasks = mine.sum(axis=1) + others.sum(axis=1)
            won = ((mine @ ahead) * others).sum(axis=1)
            total += np.where(pairs > 0, tasks * won / np.maximum(pairs, 1), 0.0)
            weight += np.where(pairs > 0, tasks, 0.0)
        return np.where(weight > 0, total / np.maximum(weight, 1), np.nan)

    return bootstrap(np.eye(len(kinds)), statistic, RESAMPLING)[0]


def ways(learn: Bids, held: Bids) -> tuple[Way, list[Way], list[Way]]:
    """The bids' way, its rivals, and the single agents."""
    ours = held.way("bids of samples", decided(learn, held, foretold, bids=True), bids=True)
    singles = [
        held.way(f"{name} alone", np.full(len(held.kinds), place, np.intp), bids=False)
        for place, name in enumerate(AGENTS[:4])
    ]
    vote = held.way("always vote: large-reasons-3", np.full(len(held.kinds), 4, np.intp), bids=False)
    rivals = [
        held.way("track record and kind", decided(learn, held, past_success, bids=False), bids=False),
        held.way("by kind: the best agent", best_of_kind(learn, held), bids=False),
        held.cascade,
        vote,
        *singles,
    ]
    return ours, rivals, [*singles, vote]


def verdicts(ours: Way, rivals: Sequence[Way], area: Interval | None) -> str:
    """Which of the three parts pass."""
    record, vote = rivals[0], rivals[3]
    more, less = compare(ours, record).difference, saving(ours, record).difference
    better = more.value >= POINTS and (more.low or 0.0) > 0 and less.value <= 0
    cheaper = more.value >= 0 and less.value <= -SHARE * record.dollars.mean() and (less.high or 0.0) < 0
    voting = compare(ours, vote).difference.value >= 0 and saving(ours, vote).difference.value < 0
    parts = (area is not None and area.low is not None and area.low >= ENOUGH, better or cheaper, voting)
    said = ", ".join(f"part {number} {'passes' if passed else 'fails'}" for number, passed in enumerate(parts, 1))
    return (
        f"Area within a kind: {percent(area)} %. Of what passes: {said}. {'It passes.' if all(parts) else 'It fails.'}"
    )


def chosen(learn: Bids, held: Bids) -> str:
    """How often bids of samples choose each agent."""
    counts = np.bincount(decided(learn, held, foretold, bids=True), minlength=len(AGENTS))
    said = ", ".join(f"{name} {count}" for name, count in zip(AGENTS, counts.tolist(), strict=True))
    return f"Times that bids of samples choose each agent: {said}."


def table(ours: Way, rivals: Sequence[Way], singles: Sequence[Way], held: Bids) -> ReportTable:
    """The ways on the tasks held out, and the oracle."""
    found = rivals_table("samples-as-bids", f"{len(held.kinds)} tasks held out", ours, rivals, singles)
    solved = held.success.max(axis=1).mean()
    return replace(found, note=f"{found.note} An oracle that knows who is right solves {100 * solved:.1f} %.")


def why(learn: Bids, held: Bids) -> ReportTable:
    """What bids tell of each agent's work, and what they could tell at most: no part of what passes."""
    chances = foretold(learn, held)
    firsts = held.success[:, [AGENTS.index(name) for name in MODELS]]
    rows: list[tuple[str, ...]] = []
    for place, name in enumerate(AGENTS):
        named = percent(rate(held.named[:, place], RESAMPLING)) if place < len(AGENTS) - 1 else "–"
        known = percent(area_of(firsts, held, [place])) if place in REASONING else "–"
        mean = percent(rate(held.success[:, place], RESAMPLING))
        rows.append((name, named, mean, percent(area_of(chances, held, [place])), known))
    full = [bids.of(bids.named[:, 0] & bids.named[:, 1]) for bids in (learn, held)]
    area = area_of(foretold(full[0], full[1]), full[1])
    return ReportTable(
        key="samples-as-bids-why",
        title="What bids tell, held out",
        head=(
            "agent",
            "tasks where each of its samples names an option, %",
            "solved, %",
            "area of its bid within a kind, %",
            "area of a bid that knew whether its first sample is right, %",
        ),
        rows=tuple(rows),
        note=f"All six direct samples name an option on {len(full[1].kinds)} of the tasks; there, with weights from "
        f"the {len(full[0].kinds)} such tasks for learning, the agents that reason have an area of {percent(area)} %.",
    )


def report(tasks: Sequence[BenchTask], samples: Samples) -> str:
    """What the page says."""
    known = bids_of(tasks, judged_again(tasks, samples))
    learn, held = known.of(slice(None, LEARNING)), known.of(slice(LEARNING, None))
    ours, rivals, singles = ways(learn, held)
    said = verdicts(ours, rivals, area_of(foretold(learn, held), held))
    parts = table(ours, rivals, singles, held).markdown(), said, chosen(learn, held), why(learn, held).markdown()
    return "\n\n".join(parts)
