"""Weights from past auctions: fit on all of them, and say how the same procedure did on tasks it had not seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sale.auction.attempt_order import PERFECT
from sale.errors import InputError
from sale.learning.dataset import Table
from sale.learning.heldout import HeldOut, measures
from sale.learning.objectives import BaseObjective, WeightCandidate, name_of, objective_of
from sale.learning.prepared_data import PreparedData, prepare_data
from sale.learning.spending import (
    MATCH,
    MatchBestAgent,
    SpendShare,
    Wanted,
    best_agent_cost,
    best_agent_price,
    contests,
    worth_of,
)
from sale.learning.utility import with_worth
from sale.types import Example, Holding, Training, Weights
from sale.wording import quantity

FEW_TASKS = 100
"""Below this the notes say that intervals are wide."""
FEW_OUTCOMES = 10
"""An agent with fewer outcomes is named in the notes."""
SOLVED_GAP = 1e-2
"""A larger optimality gap is worth a note."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitResult:
    """Weights and what is known of them."""

    weights: Weights
    training: Training
    gap: float | None
    """Optimality gap of the final program, relative; `None` where the objective is none."""
    worth: float | None
    """Dollars a solved task was taken to be worth; `None` for an objective that knows no such thing."""


def fit(
    examples: Sequence[Example],
    objective: BaseObjective | str,
    *,
    worth: Wanted = MATCH,
    folds: int = 5,
    seed: int = 0,
    since: str | None = None,
    options: Mapping[str, object] | None = None,
    seconds: float = 20.0,
) -> FitResult:
    """Fit weights to past auctions.

    Args:
        examples: The auctions. Outcomes of the winners are enough; everybody's are better.
        objective: What weights are to achieve: `minmax`, `margin` or `utility` (method, section 3), the name or dotted
            path of another, or an objective itself.
        worth: What a solved task is worth, in dollars, or what is to come of it; for objectives that know of it. The
            held-out figures hold auctions when the goal says, and for every task where the worth is in dollars.
        folds: Of the cross-validation, by task text.
        seed: Draws the folds.
        since: Start of the records, for the record alone.
        options: Settings of the objective, where it is named: `{"alpha": 0.5}` of `margin`.
        seconds: What the exact solvers may take in all. Where that is too little the gap says so.

    Raises:
        InputError: Too few tasks or outcomes to fit anything, or an argument out of range.
        ConfigError: There is no such objective, or it is told what it does not take.
    """
    how = objective_of(objective, options)
    ready = prepare_data(examples, folds=folds, seed=seed)
    return fit_to(ready, how, worth=worth, since=since, seconds=seconds)


def fit_to(
    ready: PreparedData,
    objective: BaseObjective | str,
    *,
    worth: Wanted = MATCH,
    since: str | None = None,
    seconds: float = 20.0,
) -> FitResult:
    """Fit weights to what `prepare_data` made ready, as `fit` does; another price of the same models is next to free.

    Raises:
        InputError: An argument is out of range.
    """
    _check(worth, seconds)
    how = objective_of(objective)
    hold = worth.hold if how.predicts and isinstance(worth, SpendShare | MatchBestAgent) else "always"
    value = _value(ready, worth, hold) if how.knows_worth else None
    how = how if value is None else how.with_worth(value)
    held, final = ready.solve(how, seconds)
    if value is not None and final.weights.model is not None:
        held = held.at(value, hold)
        final = replace(final, weights=replace(final.weights, model=with_worth(final.weights.model, value)))
    table, completed = ready.table, ready.completed
    figures, remarks = measures(table, held, completed)
    notes = [*_data_notes(ready), *completed.notes, *remarks, *_fit_notes(how, held, final, table)]
    settings: dict[str, float | str] = dict(zip(how.tuned, held.setting, strict=True))
    settings |= {"folds": float(ready.folds), "seed": float(ready.seed)}
    if value is not None:
        settings["worth"] = value
        if isinstance(worth, SpendShare | MatchBestAgent):
            wanted = worth.share if isinstance(worth, SpendShare) else "match"
            settings |= {"spend": wanted, "attempts": float(worth.attempts)}
            if isinstance(worth, MatchBestAgent):
                settings["beyond"] = worth.beyond
            if worth.check != PERFECT:
                settings |= {"false_pass": worth.check.false_pass, "false_fail": worth.check.false_fail}
            notes.append(_worth_note(table, value, worth))
    settings |= how.parameters
    if final.gap is not None:
        settings["gap"] = final.gap
    training = Training(
        objective=name_of(how),
        auctions=len(table),
        judged=ready.judged,
        since=since,
        settings=settings,
        held_out=figures,
        notes=tuple(notes),
    )
    return FitResult(weights=final.weights, training=training, gap=final.gap, worth=value)


def _value(ready: PreparedData, worth: Wanted, hold: Holding) -> float:
    """Return the worth of a solved task in dollars, for `margin`, too: from the spending curve of success models."""
    if not isinstance(worth, SpendShare | MatchBestAgent):
        return worth
    return worth_of(worth, ready.curve(worth.attempts, hold, worth.check))


def _worth_note(table: Table, worth: float, wanted: SpendShare | MatchBestAgent) -> str:
    best = f"the best agent alone would (${best_agent_cost(table):.3g} a task)"
    if isinstance(wanted, SpendShare):
        why = f"work is to cost {wanted.share:.0%} of what {best}"
    elif not contests(table).any():
        why = (
            f"{wanted.beyond:g} times what the best agent alone pays for one (${best_agent_price(table):.3g}); what it "
            "takes to solve as many as that agent cannot be found, as no task on record has bids of several agents"
        )
    elif worth > wanted.beyond * best_agent_price(table):
        why = f"as many tasks are to be solved as {best}, for as little as that takes"
    else:
        price = best_agent_price(table)
        why = (
            f"{wanted.beyond:g} times what the best agent alone pays for one (${price:.3g}), which buys more than it "
            "takes to solve as many as that agent"
        )
    return f"a solved task is taken to be worth ${worth:.3g}: {why}"


def _check(worth: Wanted, seconds: float) -> None:
    if not isinstance(worth, SpendShare | MatchBestAgent) and not (math.isfinite(worth) and worth > 0.0):
        raise InputError(f"worth must be a number of dollars above 0, got {worth!r}")
    if not seconds > 0.0:
        raise InputError(f"seconds must be above 0, got {seconds!r}")


def _data_notes(ready: PreparedData) -> list[str]:
    """Return notes on the limits of the records."""
    notes: list[str] = []
    table = ready.table
    if ready.tasks < FEW_TASKS:
        notes.append(
            f"{quantity(ready.tasks, 'different task')} only: "
            "intervals are wide, and weights may change with more records"
        )
    known = table.known & table.present
    counts = np.bincount(table.author[known], minlength=len(table.agents))
    few = [f"{agent} ({count})" for agent, count in zip(table.agents, counts, strict=True) if count < FEW_OUTCOMES]
    if few:
        notes.append(f"agents with fewer than {FEW_OUTCOMES} outcomes: {', '.join(few)}")
    if len(np.unique(table.success[known])) < 2:
        notes.append("all outcomes are alike: nothing can be learnt about which bids succeed")
    return notes


def _fit_notes(how: BaseObjective, held: HeldOut, final: WeightCandidate, table: Table) -> list[str]:
    """Return notes on the limits of the fitted weights."""
    notes: list[str] = []
    if final.gap is not None and max(held.gap, final.gap) > SOLVED_GAP:
        on_folds = f", {held.gap:.1%} on folds" if held.gap > SOLVED_GAP else ""
        notes.append(f"the program was left within {final.gap:.1%} of a bound on the optimum{on_folds}")
    model = final.weights.model
    if model is not None:
        notes.append(
            f"an agent not seen here is taken to succeed at {model.newcomer_rate:.0%} "
            f"and to need {model.newcomer_tokens:.0f} tokens"
        )
        return [*notes, *how.notes(held.setting, table)]
    notes += how.notes(held.setting, table)
    silent = [juror for juror in table.jurors if final.weights.jurors.get(juror, 0.0) == 0.0]
    if silent:
        notes.append(f"jurors that weigh nothing: {', '.join(silent)}")
    return notes
