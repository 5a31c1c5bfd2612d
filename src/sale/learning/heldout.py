"""Held-out results of weights: folds by task text, settings chosen without the fold they serve.

Each setting is fitted once per fold. The setting used on a fold is the one that did best on the others, so that the
figures count the choice of setting too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sale.learning import calibration
from sale.learning.dataset import Bools, CompletedOutcomes, Ints, Table, agent_prices
from sale.learning.decision import BidPredictions, choose_bids, predict_bids
from sale.learning.intervals import mean_interval
from sale.learning.logistic import log_losses
from sale.learning.missing_outcomes import complete, consequences, estimate_success
from sale.learning.objectives import BaseObjective, Setting, Trial
from sale.types import Holding


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """Choices on tasks not seen, and the setting to fit on all of them."""

    setting: Setting
    columns: Ints
    """(T,)"""
    prospects: BidPredictions | None
    """Of models that had not seen the task, where the objective has such."""
    gap: float
    """Largest optimality gap among the fits on folds."""
    auctioned: Bools
    """(T,) where an auction is held; the other awards go by track records."""

    def at(self, worth: float, hold: Holding = "always") -> HeldOut:
        """The same models, if a solved task is worth so many dollars; without models nothing changes.

        Args:
            worth: Dollars.
            hold: When an auction is held.
        """
        if self.prospects is None:
            return self
        held = np.ones(len(self.columns), np.bool_) if hold == "always" else self.prospects.pays(worth)
        return replace(self, columns=self.prospects.without_auctions(~held).columns(worth), auctioned=held)


def hold_out(
    table: Table,
    completed: CompletedOutcomes,
    fold: Ints,
    objective: BaseObjective,
    seconds: float,
    *,
    without: dict[int, CompletedOutcomes] | None = None,
) -> HeldOut:
    """Fit every setting without each fold, and see what it does there. Models have no price yet: see `HeldOut.at`.

    Args:
        table: All auctions.
        completed: Their outcomes, observed or estimated.
        fold: (T,).
        objective: What is fitted.
        seconds: For all solvers together.
        without: Takes the outcomes as they are completed without each fold, by its number, for another objective on
            the same auctions and folds.
    """
    without = {} if without is None else without
    rows, numbers, grid = np.arange(len(table)), np.unique(fold), objective.grid
    shape = (len(grid), len(table))
    columns, losses = np.zeros(shape, np.intp), np.zeros(shape)
    predictions = [BidPredictions.blank(table.author.shape) for _ in grid]
    gap, modelled = 0.0, False
    for number in numbers:
        own = fold == number
        test = table.take(own)
        if int(number) not in without:
            without[int(number)] = training(table, fold, own)
        candidates = objective.path(
            table.take(~own), without[int(number)], grid, seconds=seconds / len(numbers), final=False
        )
        for place, candidate in enumerate(candidates):
            gap = max(gap, candidate.gap or 0.0)
            columns[place, own] = choose_bids(test, candidate.weights)
            if candidate.weights.model is None:
                continue
            modelled, expected = True, predict_bids(test, candidate.weights.model)
            predictions[place].enter(own, expected)
            judged = log_losses(expected.chance, np.nan_to_num(test.success)) * (test.known & test.present)
            losses[place, own] = judged.sum(axis=1)
    trial = Trial(
        success=completed.success[rows, columns],
        dollars=completed.dollars[rows, columns],
        log_loss=losses,
        group=table.group,
    )
    picks = np.zeros(len(table), np.intp)
    for number in numbers:
        picks[fold == number] = objective.pick(trial, fold != number)
    picked = BidPredictions.blank(table.author.shape)
    for place, predicted in enumerate(predictions):
        picked.enter(picks == place, predicted.take(picks == place))
    return HeldOut(
        setting=grid[objective.pick(trial, np.ones(len(table), np.bool_))],
        columns=columns[picks, rows],
        prospects=picked if modelled else None,
        gap=gap,
        auctioned=np.ones(len(table), np.bool_),
    )


def training(table: Table, fold: Ints, own: Bools) -> CompletedOutcomes:
    """Outcomes of the auctions outside one fold, completed from these alone: no estimate has seen the fold's outcomes.

    Args:
        table: All auctions.
        fold: (T,).
        own: (T,) of the fold that is held out.
    """
    return complete(table.take(~own), fold[~own])


def measures(
    table: Table, held: HeldOut, completed: CompletedOutcomes
) -> tuple[dict[str, tuple[float, float, float]], list[str]]:
    """Held-out figures with intervals, and what to know about them.

    `pass@1`, `dollars` (a task, auction included), `reliance` on the dearest agent; where everybody's outcome is known
    also `regret` (share of tasks that some agent solves but the award did not) and `gain` in pass@1 over the dearest
    agent alone; with a model `slope` and `bias` of its calibration.
    """
    found: dict[str, tuple[float, float, float]] = {}
    notes: list[str] = []
    rows, group = np.arange(len(table)), table.group
    effect = consequences(table, held.columns, completed, held.auctioned)
    solved = estimate_success(effect, group)
    if solved.value is not None:
        found["pass@1"] = (solved.value, solved.low, solved.high)
    else:
        found["pass@1 (modelled)"] = (float(effect.modelled.mean()), solved.low, solved.high)
        notes.append(
            f"held-out pass@1 is not known for {solved.unknown:.0%} of auctions: the mean is modelled, "
            "its interval supposes that all of them fail, or succeed"
        )
    found["dollars"] = mean_interval(effect.dollars, group)
    dearest = agent_prices(table) >= agent_prices(table).max()
    relied = dearest[table.author[rows, held.columns]].astype(np.float64)
    found["reliance"] = mean_interval(relied, group, proportion=True)
    if table.complete.all():
        found |= _against_others(table, held.columns, np.flatnonzero(dearest))
    if held.prospects is not None:
        seen = calibration.judged_predictions(table, held.prospects.chance)
        found["slope"], found["bias"] = calibration.slope(*seen), calibration.bias(*seen)
        if not found["slope"][1] <= 1.0 <= found["slope"][2]:
            kind = "too sure of itself" if found["slope"][0] < 1.0 else "too timid"
            notes.append(f"P̂ is {kind}: calibration slope {found['slope'][0]:.2f} on held-out folds")
    return found, notes


def _against_others(table: Table, columns: Ints, dearest: Ints) -> dict[str, tuple[float, float, float]]:
    """Regret, and gain over the dearest agent alone: of several at that price the one that solves most."""
    rows = np.arange(len(table))
    success = np.nan_to_num(table.success) * table.present
    ours = success[rows, columns]
    found = {"regret": mean_interval(success.max(axis=1) - ours, table.group, proportion=True)}
    solved = [success[table.author == agent].sum() for agent in dearest]
    of_dearest = (table.author == dearest[int(np.argmax(solved))]) & table.present
    both = of_dearest.any(axis=1)
    theirs = np.where(of_dearest, success, 0.0).max(axis=1)
    found["gain"] = mean_interval((ours - theirs)[both], table.group[both])
    return found
