"""Jury health: does a juror's score tell work that succeeds from work that fails, and does it mean what it says?

Judged by outcomes on record. The area is taken within a kind of task: a juror that only knows that one kind is harder
than another says nothing of a bid. Nothing is fitted, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sale.auction.scoring import MAX_SCORE
from sale.learning.dataset import Bools, Floats, Ints
from sale.learning.intervals import Interval, mean_interval
from sale.types import Example

NORMAL = 1.96
BANDS = 3
"""The scale is cut into so many parts of one length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreBand:
    """A part of the scale: what became of the work that was scored so."""

    low: float
    high: float
    scored: int
    solved: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JurorHealth:
    """One juror, by the outcomes of the work it had scored."""

    juror: str
    scored: int
    """Judged executions whose bid it scored."""
    silent: int
    """Judged executions whose bid it did not score: it failed, or had nothing to read."""
    area: Interval | None
    """The share of pairs, one success and one failure at tasks of one kind, of which it scored the success higher; 0.5
    says nothing. `None` where there is no pair."""
    pairs: int
    """Number of such pairs."""
    bias: Interval | None
    """Mean of its score as a share of the scale, less the share of success: 0 where it means what it says."""
    bands: tuple[ScoreBand, ...]
    """Its calibration: the work by how it was scored, lowest first; parts of the scale it did not use are left out."""


@dataclass(frozen=True, slots=True)
class _ScoredExecution:
    """A score, and what came of the work."""

    value: float | None
    success: bool
    kind: str | None
    task: str


def jury_health(examples: Sequence[Example]) -> tuple[JurorHealth, ...]:
    """Return the health of every juror, the best area first.

    Args:
        examples: Past auctions; those of whose work nothing is known say nothing.
    """
    seen: dict[str, list[_ScoredExecution]] = {}
    for example in examples:
        for bid in example.bids:
            if (work := example.work.get(bid.agent)) is None:
                continue
            for score in bid.scores:
                value = None if score.imputed else score.value
                one = _ScoredExecution(value, work.success, example.domain, example.task)
                seen.setdefault(score.juror, []).append(one)
    found = [_health(juror, ones) for juror, ones in seen.items()]
    return tuple(sorted(found, key=lambda one: (-(one.area[0] if one.area else -1.0), one.juror)))


def _health(juror: str, seen: Sequence[_ScoredExecution]) -> JurorHealth:
    told = [one for one in seen if one.value is not None]
    scores = np.array([one.value for one in told], dtype=np.float64)
    success = np.array([one.success for one in told], dtype=np.bool_)
    tasks = _numbered(one.task for one in told)
    area, pairs = area_within(scores, success, _numbered(one.kind or "" for one in told), tasks)
    said = scores / MAX_SCORE - success
    return JurorHealth(
        juror=juror,
        scored=len(told),
        silent=len(seen) - len(told),
        area=area,
        pairs=pairs,
        bias=_bounded(mean_interval(said, tasks)) if told else None,
        bands=_bands(scores, success),
    )


def _bounded(found: Interval) -> Interval:
    """The interval of a mean that lies between −1 and 1."""
    mean, low, high = found
    return mean, max(-1.0, low), min(1.0, high)


def area_within(scores: Floats, success: Bools, kinds: Ints, tasks: Ints) -> tuple[Interval | None, int]:
    """The area under the ROC curve over pairs of one kind, with its interval, and how many pairs there are.

    The interval is that of a ratio of sums over tasks, as the scores of one task are no news about other tasks.

    Args:
        scores: (n,) what was said.
        success: (n,) what came of it.
        kinds: (n,) success and failure are compared within a kind.
        tasks: (n,) scores of one number are drawn together.
    """
    ahead, against = np.zeros(len(scores)), np.zeros(len(scores))
    for kind in np.unique(kinds):
        won, lost = (np.flatnonzero((kinds == kind) & (success == wanted)) for wanted in (True, False))
        for own, others, sign in ((won, lost, 1), (lost, won, -1)):
            ahead[own] = _ahead(sign * scores[own], sign * scores[others])
            against[own] = len(others)
    pairs = round(float(against[success].sum()))
    if pairs == 0:
        return None, 0
    area = float(ahead[success].sum() / pairs)
    _, places = np.unique(tasks, return_inverse=True)
    count = int(places.max()) + 1
    pulls = np.bincount(places, weights=(ahead - area * against) / pairs)
    reach = NORMAL * float(np.sqrt(count / max(1, count - 1) * (pulls**2).sum()))
    return (area, max(0.0, area - reach), min(1.0, area + reach)), pairs


def _ahead(own: Floats, others: Floats) -> Floats:
    """For each, how many of the others are below it; equals count half."""
    ranked = np.sort(others)
    return (np.searchsorted(ranked, own, "left") + np.searchsorted(ranked, own, "right")) / 2


def _numbered(names: Iterable[str]) -> Ints:
    """(n,) the same number for the same name."""
    places: dict[str, int] = {}
    return np.array([places.setdefault(name, len(places)) for name in names], dtype=np.intp)


def _bands(scores: Floats, success: Bools) -> tuple[ScoreBand, ...]:
    edge = MAX_SCORE / BANDS
    places = np.minimum(scores // edge, BANDS - 1)
    found: list[ScoreBand] = []
    for number in range(BANDS):
        here = places == number
        if here.any():
            low = number * edge
            found.append(
                ScoreBand(low=low, high=low + edge, scored=int(here.sum()), solved=int((here & success).sum()))
            )
    return tuple(found)
