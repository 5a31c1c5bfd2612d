"""Tests of a success model's calibration as outcomes arrive. They propose a refit and never start one.

For each agent a gambler bets on every outcome y against the model's P̂. A bet of share b on success pays 1 + b·(y −
P̂), which is worth 1 on average as long as P̂ is right, whatever came before. The Shiryaev–Roberts sum of such bets,

    R ← (1 + R) · (1 + b·(y − P̂)),

less the number of outcomes is then a martingale, so until R first passes a threshold at least that many outcomes go by
on average: the rate of false alarms is known without simulation and without assuming how outcomes hang together. The
sum starts afresh with every outcome, so that a change after a long quiet time is seen as soon as one at the beginning.
Several shares are bet on both sides, and R is their mean. A miscalibration smaller than `tolerance` pays nothing.

For each juror the bet goes by its score: on success where the score is above its mean, on failure where it is below. It
pays if the score says more than the model makes of it; the opposite bet pays if it says less.

Work that follows failed work is on a task that is harder than it looks, and P̂ is what the model then expects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np

from sale.auction.difficulty import spread_by_difficulty, update_by_failures
from sale.auction.scoring import MAX_SCORE
from sale.auction.success_model import chance, juror_feature, strategy_told
from sale.errors import InputError
from sale.types import Bid, Example, SuccessModel
from sale.wording import quantity

RUN_LENGTH = 1_000.0
TOLERANCE = 0.05
STAKES = (0.1, 0.25, 0.5, 0.9)

Kind = Literal["agent", "juror"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftFinding:
    """The model is off for one agent, or for one juror."""

    kind: Kind
    name: str
    noticed: str
    """The auction at which it was noticed."""
    outcomes: int
    """Judged executions looked at until then."""
    expected: float
    """Mean P̂ over them, for an agent; over those the juror liked, for a juror."""
    observed: float
    """Share of successes over the same ones."""
    evidence: float
    """R when it was noticed: false alarms are at least so many outcomes apart on average."""

    @property
    def message(self) -> str:
        """The proposal and its reason."""
        way = "better" if self.observed > self.expected else "worse"
        subject = f"{self.name} does {way}" if self.kind == "agent" else f"bids that {self.name} likes do {way}"
        return (
            f"propose a refit because {subject} than the weights expect: {self.observed:.0%} solved, "
            f"{self.expected:.0%} expected, over {quantity(self.outcomes, 'outcome')} up to auction {self.noticed}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _JudgedExecution:
    """One judged execution."""

    auction: str
    bid: Bid
    success: float
    chance: float


def drift(
    examples: Sequence[Example],
    model: SuccessModel,
    *,
    run_length: float = RUN_LENGTH,
    tolerance: float = TOLERANCE,
) -> tuple[DriftFinding, ...]:
    """Agents and jurors for whom the model no longer holds, each at the first auction where that was noticed.

    Args:
        examples: Auctions after those the model was fitted on, oldest first; those the model has seen prove nothing.
        model: The one in use. For linear weights, one fitted on the same records.
        run_length: Of each agent's and each juror's test: how many of its outcomes go by, at least and on average,
            until a false alarm.
        tolerance: A difference between P̂ and the true rate that is not worth a refit.

    Raises:
        InputError: `run_length` or `tolerance` out of range.
    """
    if not run_length > 1.0 or not 0.0 <= tolerance < 1.0:
        raise InputError(
            f"run_length must be above 1 and tolerance in [0, 1), got {run_length!r} and {tolerance!r}",
        )
    seen = list(_judged(examples, model))
    agents = sorted({one.bid.agent for one in seen})
    jurors = sorted({score.juror for one in seen for score in one.bid.scores if not score.imputed})
    found = [_agent_finding(agent, seen, run_length, tolerance) for agent in agents]
    found += [_juror_finding(juror, seen, model, run_length, tolerance) for juror in jurors]
    return tuple(finding for finding in found if finding is not None)


def _judged(examples: Iterable[Example], model: SuccessModel) -> Iterator[_JudgedExecution]:
    for example in examples:
        expected = {bid.agent: _chance_of_bid(bid, model) for bid in example.bids if bid.agent in example.work}
        for bid in example.bids:
            if (work := example.work.get(bid.agent)) is not None:
                failed = [expected[agent] for agent in work.after if agent in expected]
                chances = _chance_after_failures(expected[bid.agent], failed, model.difficulty)
                success = float(work.success) if work.right is None else work.right
                yield _JudgedExecution(auction=example.auction_id, bid=bid, success=success, chance=chances)


def _chance_of_bid(bid: Bid, model: SuccessModel) -> float:
    """The model's P̂ of a bid, with nothing known of the task's difficulty."""
    told = strategy_told(bid.strategy, bid.scores)
    return chance(model, bid.agent, strategy=told, scores=bid.scores, track=bid.track)


def _chance_after_failures(expected: float, failed: Sequence[float], difficulty: float) -> float:
    """The chance of work on a task at which agents who had these chances have failed: it is harder than it looks."""
    if not failed:
        return expected
    by_difficulty = spread_by_difficulty(np.array(expected), np.array(difficulty))
    return float(by_difficulty @ update_by_failures(failed, difficulty))


def _agent_finding(
    agent: str, seen: Sequence[_JudgedExecution], run_length: float, tolerance: float
) -> DriftFinding | None:
    own = [one for one in seen if one.bid.agent == agent]
    at, evidence = alarm([(1.0, one.chance, one.success) for one in own], run_length, tolerance)
    if at is None:
        return None
    return _finding("agent", agent, own[: at + 1], own[: at + 1], evidence)


def _juror_finding(
    juror: str, seen: Sequence[_JudgedExecution], model: SuccessModel, run_length: float, tolerance: float
) -> DriftFinding | None:
    middle = model.means.get(juror_feature(juror), MAX_SCORE / 2)
    scored = [(one, value) for one in seen if (value := _score(one.bid, juror)) is not None]
    bets = [((value - middle) / MAX_SCORE, one.chance, one.success) for one, value in scored]
    at, evidence = alarm(bets, run_length, tolerance)
    if at is None:
        return None
    looked = [one for one, _ in scored[: at + 1]]
    liked = [one for one, value in scored[: at + 1] if value > middle]
    return _finding("juror", juror, looked, liked or looked, evidence)


def _score(bid: Bid, juror: str) -> float | None:
    given: Mapping[str, float] = {score.juror: score.value for score in bid.scores if not score.imputed}
    return given.get(juror)


def _finding(
    kind: Kind, name: str, looked: Sequence[_JudgedExecution], told: Sequence[_JudgedExecution], evidence: float
) -> DriftFinding:
    return DriftFinding(
        kind=kind,
        name=name,
        noticed=looked[-1].auction,
        outcomes=len(looked),
        expected=fmean(one.chance for one in told),
        observed=fmean(one.success for one in told),
        evidence=evidence,
    )


def alarm(bets: Sequence[tuple[float, float, float]], run_length: float, tolerance: float) -> tuple[int | None, float]:
    """The first outcome at which R passes `run_length`, and R there; `None` if it never does, and the last R.

    Args:
        bets: For each outcome a factor in [−1, 1] known beforehand, P̂, and 1 for a success, 0 for a failure.
        run_length: The threshold.
        tolerance: Subtracted from every win, and added to every loss.
    """
    sums = {sign * stake: 0.0 for stake in STAKES for sign in (-1.0, 1.0)}
    total = 0.0
    for place, (factor, chances, success) in enumerate(bets):
        for stake, held in sums.items():
            share = stake * factor / (1.0 + tolerance)  # no bet can lose more than all
            gain = share * (success - chances) - abs(share) * tolerance
            sums[stake] = (1.0 + held) * (1.0 + gain)
        total = fmean(sums.values())
        if total >= run_length:
            return place, total
    return None, total
