"""Penalised logistic regression by Newton's method: a ridge for each coefficient, and a lasso that selects.

Our own because of the penalties: one ridge for features and another for agents, around a stated centre, with warm
starts along a path. Tests hold it to scikit-learn where that can say the same.
"""

from __future__ import annotations

import math

import numpy as np

from sale.auction.difficulty import logistic
from sale.learning.dataset import Bools, Floats, Ints

STEPS = 50
SWEEPS = 200
SMALL = 1e-8
ENOUGH = 1e-5
"""Coordinates that move less than this have settled: Newton's next step corrects what is left."""


def fit_logistic(
    x: Floats, y: Floats, ridge: Floats, *, centre: Floats | None = None, lasso: Floats | None = None, start: Floats
) -> Floats:
    """Minimise Σ log-loss + ½ Σ ridge·(b − centre)² + Σ lasso·|b|.

    Args:
        x: (n, D) with the constant among its columns.
        y: (n,) in [0, 1].
        ridge: (D,) at least 0, and above 0 for anything the data may not determine.
        centre: (D,) of the ridge; 0 unless given.
        lasso: (D,) at least 0; none unless given.
        start: (D,).

    Returns:
        (D,) coefficients.
    """
    middle = np.zeros_like(start) if centre is None else centre
    sparse = np.zeros_like(start) if lasso is None else lasso
    found, height = start, _objective(x, y, start, ridge, middle, sparse)
    for _ in range(STEPS):
        gradient, curvature = _slopes(x, y, found)
        target = _quadratic(curvature, gradient - curvature @ found - ridge * middle, ridge, sparse, found)
        step = target - found
        size = 1.0
        while True:
            tried = found + size * step
            lower = _objective(x, y, tried, ridge, middle, sparse)
            if lower <= height or size < SMALL:
                break
            size /= 2
        gained = height - lower
        if gained <= 0:
            return found
        found, height = tried, lower
        if gained <= SMALL * (1.0 + abs(height)):
            return found
    return found


def information(x: Floats, at: Floats) -> Floats:
    """(D, D) the curvature of the log-loss at some coefficients."""
    chance = logistic(x @ at)
    return (x * (chance * (1.0 - chance))[:, None]).T @ x


def _slopes(x: Floats, y: Floats, at: Floats) -> tuple[Floats, Floats]:
    return x.T @ (logistic(x @ at) - y), information(x, at)


def log_losses(chance: Floats, y: Floats) -> Floats:
    """−log of the probability given to what happened, element by element."""
    bounded = np.clip(chance, 1e-12, 1.0 - 1e-12)
    return -(y * np.log(bounded) + (1.0 - y) * np.log1p(-bounded))


def _objective(x: Floats, y: Floats, at: Floats, ridge: Floats, centre: Floats, lasso: Floats) -> float:
    odds = x @ at
    loss = np.logaddexp(0.0, odds).sum() - y @ odds
    return float(loss + 0.5 * (ridge * (at - centre) ** 2).sum() + (lasso * np.abs(at)).sum())


def _quadratic(curvature: Floats, linear: Floats, ridge: Floats, lasso: Floats, start: Floats) -> Floats:
    """Minimise ½ b·(G + diag ridge)·b + linear·b + Σ lasso·|b|, exactly without a lasso, else by coordinates."""
    full = curvature + np.diag(ridge)
    if not lasso.any():
        return np.asarray(np.linalg.solve(full, -linear), np.float64)
    found, slope = start.copy(), full @ start + linear
    diagonal = np.maximum(np.diag(full), SMALL)
    for _ in range(SWEEPS):
        if _sweep(found, slope, full, diagonal, lasso, np.arange(len(found))) < ENOUGH:
            break
        active = np.flatnonzero((found != 0.0) | (lasso == 0.0))
        for _ in range(SWEEPS):
            if _sweep(found, slope, full, diagonal, lasso, active) < ENOUGH:
                break
    return found


def _sweep(found: Floats, slope: Floats, full: Floats, diagonal: Floats, lasso: Floats, places: Ints) -> float:
    """Minimise over some coordinates in turn, in place; the largest change."""
    largest = 0.0
    for place in places.tolist():
        old, room = float(found[place]), float(lasso[place])
        bare = float(diagonal[place]) * old - float(slope[place])
        new = math.copysign(max(0.0, abs(bare) - room), bare) / float(diagonal[place])
        if abs(new - old) > 0.0:
            slope += full[:, place] * (new - old)
            found[place] = new
            largest = max(largest, abs(new - old))
    return largest


def strongest_lasso(x: Floats, y: Floats, at: Floats, penalised: Bools) -> float:
    """The smallest lasso under which no penalised coefficient enters, at coefficients fitted without them."""
    gradient = np.abs(x.T @ (logistic(x @ at) - y))
    return float(gradient[penalised].max(initial=0.0))
