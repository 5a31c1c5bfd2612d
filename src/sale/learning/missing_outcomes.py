"""Estimates of outcomes that were not observed, and of the results of other awards.

Where a market ran, only the winner's outcome is known. Two things stand in for the others, and both are said in the
notes of a fit:

* A direct estimate: P̂ of a success model fitted on the outcomes that are known, always on other tasks than the one it
  is used for. The market chose winners by what is among the model's features, so choosing does not bias it; a wrong
  model does.
* Where awards explored and their propensities p are on record, a doubly robust one: P̂ + [it won]·(outcome − P̂)/p. Its
  mean is right if either P̂ or p is. Single values may lie outside [0, 1].

Where the work of a second agent was tried because the first one failed, its outcome is of a task that is harder than it
looks; the direct estimate does not know that.

For learning every gap is filled. For estimating what other weights would have done nothing is claimed that is neither
known nor doubly robust: it stays unknown, and bounds say what that means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sale.learning.dataset import MICRO, Bools, CompletedOutcomes, Floats, Ints, Table
from sale.learning.decision import chances
from sale.learning.intervals import mean_interval
from sale.learning.samples import work_costs
from sale.learning.utility import success_models
from sale.wording import quantity

DIRECT_STRENGTH = 0.06
"""Lasso of the success model that stands in, as in `utility.STRENGTHS`."""
MIN_PROPENSITY = 0.05
"""Rarer awards than this do not count for more than 1/0.05 of a common one in learning. Estimates are not clipped."""
MAX_OUTCOMES = 10_000
"""Outcomes the model that stands in is fitted on, at most."""

How = Literal["exact", "doubly robust", "bounds", "modelled"]
"""Where an estimate comes from. `bounds`: all that is known is that it lies between `low` and `high`."""


def complete(table: Table, fold: Ints) -> CompletedOutcomes:
    """Fill what is not known.

    Args:
        table: With at least one outcome known.
        fold: (T,) of `dataset.split`: the model that stands in for a task is fitted on the other folds.
    """
    average = np.where(table.present, work_costs(table)[0][table.author] / MICRO, 0.0)
    dollars = np.where(np.isnan(table.dollars), average, table.dollars) * table.present
    if table.complete.all():
        success, guess = np.nan_to_num(table.success), np.full(table.success.shape, np.nan)
        return CompletedOutcomes(success=success, dollars=dollars, guess=guess, average=average, notes=())
    guess = _guesses(table, fold)
    success = np.where(table.known, table.success, guess)
    explored = _explored(table)
    robust = _robust(guess, table, table.success, least=MIN_PROPENSITY)
    success = np.where(explored[:, None], robust, success) * table.present
    return CompletedOutcomes(
        success=success, dollars=dollars, guess=guess, average=average, notes=_notes(table, explored)
    )


def _guesses(table: Table, fold: Ints) -> Floats:
    found = np.full(table.success.shape, np.nan)
    for number in np.unique(fold):
        rest, own = table.take(fold != number), fold == number
        source = rest if (rest.known & rest.present).any() else table
        (model,) = success_models(source, (DIRECT_STRENGTH,), most=MAX_OUTCOMES)
        found[own] = chances(table.take(own), model)
    return found


def _explored(table: Table) -> Bools:
    """(T,) auctions whose propensities and winner's outcome are known, and not everybody's outcome."""
    rows = np.arange(len(table))
    likely = np.nan_to_num(table.propensity[rows, table.winner]) > 0
    return ~table.complete & (table.winner >= 0) & likely & table.known[rows, table.winner]


def _robust(guess: Floats, table: Table, seen: Floats, *, least: float = 0.0) -> Floats:
    """(T, N) doubly robust values; those of auctions that did not explore mean nothing."""
    rows = np.arange(len(table))
    p = np.maximum(table.propensity[rows, table.winner], least)
    with np.errstate(divide="ignore", invalid="ignore"):
        correction = (seen - guess) / p[:, None]
    # Outcomes are an agent's, whichever of its bids they followed from.
    won = table.author == table.author[rows, table.winner][:, None]
    return guess + np.where(won, correction, 0.0)


def _notes(table: Table, explored: Bools) -> tuple[str, ...]:
    notes: list[str] = []
    if lacking := int((table.present & ~table.known).sum()):
        notes.append(
            f"{lacking} of {quantity(int(table.present.sum()), 'outcome')} were not observed: "
            "P̂ of a success model fitted on other tasks stands in for them"
        )
    if explored.any():
        rare = table.propensity[np.arange(len(table)), table.winner][explored] < MIN_PROPENSITY
        notes.append(
            f"awards that explored: {int(explored.sum())}; there the estimate is doubly robust"
            + (f"; {int(rare.sum())} rarer than {MIN_PROPENSITY:g} are counted as if that likely" if rare.any() else "")
        )
    notes.append("where the cost of work is not known its agent's average stands in")
    return tuple(notes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Consequences:
    """The results of some awards, auction by auction."""

    success: Floats
    """(T,) NaN where not known; outside [0, 1] at times where doubly robust."""
    dollars: Floats
    """(T,) work and auction; modelled where `success` is NaN."""
    modelled: Floats
    """(T,) success with P̂ where it is not known."""
    robust: Bools
    """(T,) where the estimate is doubly robust."""


def consequences(
    table: Table, columns: Ints, completed: CompletedOutcomes, auctioned: Bools | None = None
) -> Consequences:
    """Estimate the results of awarding each task to the bid in `columns`; with an auction, unless said otherwise.

    Exact where the outcome is known and does not depend on who won; doubly robust where awards explored; else unknown.
    In auctions that explored the doubly robust value is taken even where the award would have been the same: taking
    the outcome only then would count the lucky draws.
    """
    rows = np.arange(len(table))
    explored = _explored(table) & (np.nan_to_num(table.propensity[rows, columns]) > 0)
    random = ~np.isnan(table.propensity).all(axis=1) & ~table.complete
    success = np.where(random, np.nan, table.success[rows, columns])
    success = np.where(explored, _robust(completed.guess, table, table.success)[rows, columns], success)
    spent = _robust(completed.average, table, np.where(np.isnan(table.dollars), completed.average, table.dollars))
    auctions = table.overhead if auctioned is None else np.where(auctioned, table.overhead, 0.0)
    dollars = np.where(explored, spent[rows, columns], completed.dollars[rows, columns]) + auctions
    likely = np.where(np.isnan(table.success), completed.guess, table.success)[rows, columns]
    return Consequences(
        success=success, dollars=dollars, modelled=np.where(np.isnan(success), likely, success), robust=explored
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomeEstimate:
    """A figure, its 95 % interval over tasks, and where it comes from."""

    value: float | None
    """`None` where only bounds are known."""
    low: float
    high: float
    how: How
    unknown: float = 0.0
    """Share of auctions it is not known for."""


def estimate_success(found: Consequences, groups: Ints) -> OutcomeEstimate:
    """pass@1, or what bounds it: as if all that is not known failed, and as if it all succeeded."""
    unknown = np.isnan(found.success)
    if not unknown.any():
        plain = not found.robust.any()
        value, low, high = mean_interval(found.success, groups, proportion=plain)
        return OutcomeEstimate(value=value, low=low, high=high, how="exact" if plain else "doubly robust")
    plain = not found.robust.any()
    _, low, _ = mean_interval(np.where(unknown, 0.0, found.success), groups, proportion=plain)
    _, _, high = mean_interval(np.where(unknown, 1.0, found.success), groups, proportion=plain)
    return OutcomeEstimate(value=None, low=low, high=high, how="bounds", unknown=float(unknown.mean()))


def estimate_dollars(found: Consequences, groups: Ints) -> OutcomeEstimate:
    """Dollars a task, auction included; `modelled` where some work was never done and averages stand in."""
    value, low, high = mean_interval(found.dollars, groups)
    unknown = float(np.isnan(found.success).mean())
    how: How = "modelled" if unknown else "doubly robust" if found.robust.any() else "exact"
    return OutcomeEstimate(value=value, low=low, high=high, how=how, unknown=unknown)
