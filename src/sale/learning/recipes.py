"""The three objectives behind one shape: settings to try, how to fit them, and how held-out folds choose among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sale.learning import margin, minmax, utility
from sale.learning.dataset import MICRO, Bools, Floats, Ints, Table
from sale.learning.intervals import standard_error
from sale.learning.linear import scale
from sale.learning.missing_outcomes import CompletedOutcomes
from sale.types import Objective, Weights

TRADES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Factors of the values of `margin` against cost, chosen on folds. Where outcomes are noisy a program of margins finds
the direction of the weights but shrinks their length, and with it the worth of a success."""
MAX_OUTCOMES = 10_000
"""Judged executions that models of `utility` on folds are fitted on, at most; the final one is fitted on all."""


Setting = tuple[float, ...]
"""Values of what is tuned, one for each name in `Recipe.settings`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightCandidate:
    """Weights of one setting."""

    weights: Weights
    gap: float | None
    """Optimality gap, relative; `None` where the objective has no such program, or no bound was sought."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutTrial:
    """The results of each of S settings on folds they were not fitted on."""

    success: Floats
    """(S, T)"""
    dollars: Floats
    """(S, T) of work."""
    log_loss: Floats
    """(S, T) summed over the auction's judged executions; 0 for weights without a model."""
    group: Ints
    """(T,)"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One objective."""

    settings: tuple[str, ...]
    """Names of the settings that are tuned."""
    tried: tuple[Setting, ...]
    solve: Callable[[Table, CompletedOutcomes, Sequence[Setting], float, bool], list[WeightCandidate]]
    """Table, outcomes, settings, seconds for all of them, whether it is the final fit."""
    pick: Callable[[HeldOutTrial, Bools], int]
    """The place of the best setting, judged by some auctions."""


def recipe(objective: Objective, worth: float | None, alpha: float) -> Recipe:
    """The recipe of an objective.

    Args:
        objective: Which.
        worth: What a solved task is worth, in dollars, for `margin`: its program weighs cost by it.
        alpha: Of CVaR, for `margin`.
    """
    if objective == "minmax":
        return Recipe(settings=("B",), tried=tuple((b,) for b in minmax.BUDGETS), solve=_minmax, pick=_most_solved)
    if objective == "margin":
        if worth is None:
            raise ValueError("margin needs to know what a solved task is worth")

        def solve(
            table: Table, completed: CompletedOutcomes, settings: Sequence[Setting], seconds: float, _: bool, /
        ) -> list[WeightCandidate]:
            return _margin(table, completed, settings, seconds, worth, alpha)

        def pick(trial: HeldOutTrial, among: Bools, /) -> int:
            return _least_loss((1.0 - trial.success + trial.dollars / worth)[:, among], trial.group[among])

        grid = tuple((rho, trade) for rho in margin.STRENGTHS for trade in TRADES)
        return Recipe(settings=("rho", "trade"), tried=grid, solve=solve, pick=pick)
    return Recipe(
        settings=("lasso",),
        tried=tuple((s,) for s in utility.STRENGTHS),
        solve=_utility,
        pick=_least_surprised,
    )


def _minmax(
    table: Table, _: CompletedOutcomes, settings: Sequence[Setting], seconds: float, final: bool, /
) -> list[WeightCandidate]:
    """Outcomes do not enter the program: they choose B. On folds local search does, in the end the bound is sought."""
    scaled = scale(table)
    effort = minmax.SolverLimits(seconds=seconds / len(settings), rounds=minmax.SolverLimits().rounds if final else 0)
    found: list[WeightCandidate] = []
    for (budget,) in settings:
        solution = minmax.solve_minmax(scaled.costs, scaled.features, budget, effort)
        found.append(WeightCandidate(weights=scaled.weights(solution.values), gap=solution.gap if final else None))
    return found


def _most_solved(trial: HeldOutTrial, among: Bools) -> int:
    """pass@1 first, cost second, the smaller B of what is equal."""
    solved, spent = trial.success[:, among].mean(axis=1), trial.dollars[:, among].mean(axis=1)
    best = np.flatnonzero(solved >= solved.max() - 1e-9)
    return int(best[np.argmin(spent[best])])


def _margin(
    table: Table, completed: CompletedOutcomes, settings: Sequence[Setting], seconds: float, worth: float, alpha: float
) -> list[WeightCandidate]:
    """The program for each strength once; a trade only rescales its solution."""
    scaled = scale(table)
    losses = np.where(table.present, 1.0 - completed.success + completed.dollars / worth, np.inf)
    spent, planned = float(completed.dollars.sum()), float(table.outlay.sum()) / MICRO
    ratio = spent / planned if planned > 0 and spent > 0 else 1.0
    plan_costs = table.outlay / MICRO * ratio / worth
    data = margin.margins(losses, plan_costs, scaled.features, scaled.signed)
    strengths = tuple(dict.fromkeys(rho for rho, _ in settings))
    solutions = margin.solve_margin(data, alpha, strengths, seconds=seconds / len(strengths))
    by_strength = dict(zip(strengths, solutions, strict=True))
    found: list[WeightCandidate] = []
    for rho, trade in settings:
        solution = by_strength[rho]
        # With w_c = 1 a score of 1 is worth · plan per work, over u, in micro-dollars.
        unit = trade * worth * MICRO / ratio / float(solution.values[0])
        found.append(WeightCandidate(weights=scaled.weights(solution.values[1:], unit=unit), gap=solution.gap))
    return found


def _least_loss(losses: Floats, group: Ints) -> int:
    """The best trade for each strength; then the strongest that is within half a standard error of the best.

    Half, and of the paired difference: a whole one would give real success away for a sparser jury.
    """
    mean = losses.mean(axis=1).reshape(len(margin.STRENGTHS), len(TRADES))
    places = np.arange(len(mean)) * len(TRADES) + mean.argmin(axis=1)
    best = losses[int(losses.mean(axis=1).argmin())]
    near = [float((losses[at] - best).mean()) <= 0.5 * standard_error(losses[at] - best, group) for at in places]
    return int(places[near.index(True)])


def _utility(
    table: Table, _: CompletedOutcomes, settings: Sequence[Setting], __: float, final: bool
) -> list[WeightCandidate]:
    strengths = [strength for (strength,) in settings]
    models = utility.success_models(table, strengths, most=None if final else MAX_OUTCOMES)
    blank = Weights(cost=1.0, entropy=0.0, jurors={}, source="fitted")
    return [WeightCandidate(weights=replace(blank, model=model), gap=None) for model in models]


def _least_surprised(trial: HeldOutTrial, among: Bools) -> int:
    """The sparsest model whose log-loss is within one standard error (of the paired difference) of the best."""
    losses = trial.log_loss[:, among]
    best = losses[int(np.argmin(losses.sum(axis=1)))]
    near = [
        float((loss - best).sum()) <= standard_error(loss - best, trial.group[among]) * losses.shape[1]
        for loss in losses
    ]
    return near.index(True)
