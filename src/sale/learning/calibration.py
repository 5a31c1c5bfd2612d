"""Calibration of P̂ on executions the model has not seen."""

from __future__ import annotations

import numpy as np

from sale.auction.difficulty import logistic
from sale.learning.dataset import Floats, Ints, Table
from sale.learning.intervals import mean_interval
from sale.learning.logistic import fit_logistic, information

HELD = 1e-3
"""Ridge that holds the slope to 1 where outcomes are all alike and say nothing of it."""


def judged_predictions(table: Table, chance: Floats) -> tuple[Floats, Floats, Ints]:
    """P̂ and outcome of every judged execution, and the number of its task's text; (n,) each."""
    known = table.present & table.known
    groups = np.broadcast_to(table.group[:, None], known.shape)[known]
    return chance[known], table.success[known], groups.astype(np.intp)


def slope(chance: Floats, y: Floats, groups: Ints) -> tuple[float, float, float]:
    """Of outcomes on predicted log-odds, with its 95 % interval over tasks: 1 where P̂ is calibrated.

    Below 1 the model is too sure of itself, above 1 too timid.
    """
    bounded = np.clip(chance, 1e-9, 1.0 - 1e-9)
    x = np.column_stack([np.ones_like(bounded), np.log(bounded / (1.0 - bounded))])
    same = np.array([0.0, 1.0])
    at = fit_logistic(x, y, np.full(2, HELD), centre=same, start=same)
    _, places = np.unique(groups, return_inverse=True)
    count = int(places.max()) + 1
    scores = np.zeros((count, 2))
    np.add.at(scores, places, x * (y - logistic(x @ at))[:, None])
    bread = np.linalg.inv(information(x, at) + HELD * np.eye(2))
    error = float(np.sqrt(count / max(1, count - 1) * (bread @ (scores.T @ scores) @ bread)[1, 1]))
    return float(at[1]), float(at[1] - 1.96 * error), float(at[1] + 1.96 * error)


def bias(chance: Floats, y: Floats, groups: Ints) -> tuple[float, float, float]:
    """Mean of P̂ − outcome, with its interval: 0 where P̂ is right on average."""
    return mean_interval(chance - y, groups)
