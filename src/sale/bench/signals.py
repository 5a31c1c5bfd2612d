"""Does anything about a bid tell whether its author will succeed? Areas under the ROC curve, on recorded first bids.

Pooled over kinds of tasks an area says little: an easy kind may simply have another sort of plan. So pairs of a plan
that led to success and one that did not are compared within one source only, and for one agent at a time or for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import RecordedTasks
from sale.bench.routers.protocol import Bools, Floats
from sale.bench.stats import Interval, Resampling, draws
from sale.types import Bid

MIN_PLANS = 5
"""Fewer plans of one outcome say nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedBid:
    """A first bid and what came of its author's work."""

    task: str
    source: str
    bid: Bid
    success: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalArea:
    """The area under the ROC curve of a signal that ranks bids."""

    signal: str
    agent: str | None
    """The author of the bids; all agents where `None`."""
    area: Interval | None
    """0.5 is chance; `None` where there are too few bids of one outcome."""
    good: int
    bad: int


Signal = Callable[[Bid], float | None]


def judged_bids(recorded: RecordedTasks, *, planned: bool) -> list[JudgedBid]:
    """Every standing first bid with its author's outcome, at work with the plan or without it."""
    found: list[JudgedBid] = []
    for task in recorded.tasks:
        for bid in recorded.auctions[FIRST_BIDS, task.id].bids:
            work = recorded.works[task.id, bid.agent, bid.strategy.text if planned else ""]
            found.append(JudgedBid(task=task.id, source=task.source, bid=bid, success=work.success))
    return found


def signals_of(jurors: Sequence[str]) -> dict[str, Signal]:
    """Return the signals of a bid that are known before the award, by name."""
    found: dict[str, Signal] = {
        "entropy": lambda bid: bid.strategy.entropy.normalised if bid.strategy.entropy else None,
        "plan length": lambda bid: float(bid.strategy.tokens),
        "price": lambda bid: bid.price,
        "mean of the jury": lambda bid: fmean(score.value for score in bid.scores) if bid.scores else None,
        "mean of its peers": lambda bid: _mean(bid, lambda juror: juror != bid.agent),
        "the market's V": lambda bid: bid.value,
    }
    for juror in jurors:
        found[f"score by {juror}"] = _by(juror, expected=False)
        found[f"expected score by {juror}"] = _by(juror, expected=True)
    return found


def areas(
    bids: Sequence[JudgedBid], jurors: Sequence[str], agents: Sequence[str], resampling: Resampling
) -> list[SignalArea]:
    """Every signal over everybody's bids and over each agent's."""
    found: list[SignalArea] = []
    for name, signal in signals_of(jurors).items():
        for agent in (None, *agents):
            known = [
                (one, value)
                for one in bids
                if agent in {None, one.bid.agent} and (value := signal(one.bid)) is not None
            ]
            good = sum(one.success for one, _ in known)
            bad = len(known) - good
            area = None if min(good, bad) < MIN_PLANS else _area(known, resampling)
            found.append(SignalArea(signal=name, agent=agent, area=area, good=good, bad=bad))
    return found


def _area(known: Sequence[tuple[JudgedBid, float]], resampling: Resampling) -> Interval | None:
    values = np.array([value for _, value in known])
    success = np.array([one.success for one, _ in known])
    sources = np.array([one.source for one, _ in known])
    tasks = [one.task for one, _ in known]
    return area_over_pairs(values, success, sources[:, None] == sources[None, :], tasks, resampling)


def area_over_pairs(
    values: Floats, success: Bools, comparable: Bools, tasks: Sequence[str], resampling: Resampling
) -> Interval | None:
    """The share of comparable pairs, one good and one bad, in which the good one has the higher value; ties count half.

    Args:
        values: (N,)
        success: (N,)
        comparable: (N, N): which may be compared at all.
        tasks: N names; bids on one task are resampled together.
        resampling: Seed and number.

    Returns:
        `None` where no pair can be compared.
    """
    pairs = comparable & success[:, None] & ~success[None, :]
    wins = np.where(values[:, None] > values[None, :], 1.0, np.where(values[:, None] == values[None, :], 0.5, 0.0))
    names = {task: number for number, task in enumerate(dict.fromkeys(tasks))}
    places = np.array([names[task] for task in tasks])
    # By task, so that a resample is a vector of counts: sums over (task of the good bid, task of the bad one).
    total, won = np.zeros((len(names), len(names))), np.zeros((len(names), len(names)))
    rows, columns = np.nonzero(pairs)
    np.add.at(total, (places[rows], places[columns]), 1.0)
    np.add.at(won, (places[rows], places[columns]), wins[rows, columns])
    if total.sum() == 0:
        return None
    drawn: list[Floats] = []
    for counts in draws(len(names), resampling):
        below = np.einsum("ri,ij,rj->r", counts, total, counts, optimize=True)
        above = np.einsum("ri,ij,rj->r", counts, won, counts, optimize=True)
        drawn.append(above[below > 0] / below[below > 0])
    tail = (1 - resampling.level) / 2
    low, high = np.quantile(np.concatenate(drawn), [tail, 1 - tail])
    value = float(won.sum() / total.sum())
    return Interval(value=value, low=float(low), high=float(high), tasks=len(names), how="bootstrap")


def _mean(bid: Bid, wanted: Callable[[str], bool]) -> float | None:
    values = [score.value for score in bid.scores if wanted(score.juror)]
    return fmean(values) if values else None


def _by(juror: str, *, expected: bool) -> Signal:
    def signal(bid: Bid) -> float | None:
        score = next((score for score in bid.scores if score.juror == juror and not score.imputed), None)
        if score is None:
            return None
        return score.expected if expected else score.value

    return signal
