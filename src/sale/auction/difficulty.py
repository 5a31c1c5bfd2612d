"""The effect of one agent's failure on the chances of others: a task may be harder or easier for all than it looks.

An agent's log-odds on a task are a − spread · z, with z standard normal and the same for all agents, and a such that
its chance, with nothing known of z, is what the success model says. A failure moves z, the more the likelier success
had been. What several agents achieve together does not depend on the order in which they try, as it must not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sale.auction.success_model import STEEPEST
from sale.types import CheckErrors

Floats = NDArray[np.float64]

EDGE = 1e-9
ROUNDS = 4
"""Newton steps for a; from the start below two are enough."""
_hermite: Any = np.polynomial.hermite_e
_PLACES, _SHARES = _hermite.hermegauss(11)
PLACES: Floats = np.asarray(_PLACES, np.float64)
"""(Z,) difficulties that the mean is taken over."""
SHARES: Floats = np.asarray(_SHARES / _SHARES.sum(), np.float64)
"""(Z,) how likely each is where nothing is known of the task."""


def spread_by_difficulty(chance: Floats, spread: Floats) -> Floats:
    """(…, Z) chances at each difficulty; their mean by `SHARES` is the chance given.

    Args:
        chance: (…) with nothing known of the difficulty.
        spread: (…) standard deviation of the log-odds, or of a shape that broadcasts.
    """
    p = np.clip(chance, EDGE, 1.0 - EDGE)
    moved = np.asarray(spread)[..., None] * -PLACES
    # The logistic is nearly a normal distribution of variance 8 / π (MacKay, Neural Computation 1992).
    at = np.log(p / (1.0 - p)) * np.sqrt(1.0 + np.square(spread) * np.pi / 8.0)
    for _ in range(ROUNDS):
        found = logistic(at[..., None] + moved)
        slope = (found * (1.0 - found)) @ SHARES
        at = at - np.clip((found @ SHARES - p) / np.maximum(slope, EDGE), -4.0, 4.0)
    return logistic(at[..., None] + moved)


def update_by_failures(failed: Sequence[float], spread: float, check: CheckErrors | None = None) -> Floats:
    """(Z,) how likely each difficulty is after the work of agents who had these chances was refused.

    Args:
        failed: Their chances.
        spread: Of the difficulty, in log-odds.
        check: How often a refusal is wrong, and a pass; never unless given.
    """
    good = spread_by_difficulty(np.array(failed, np.float64), np.array(spread))
    left: Floats = SHARES * chance_of_refusal(good, check or CheckErrors()).prod(axis=0)
    return left / max(float(left.sum()), EDGE**2)


def chance_of_refusal(good: Floats, check: CheckErrors) -> Floats:
    """Return the probability that a check fails work that is right with these chances."""
    return good * check.false_fail + (1.0 - good) * (1.0 - check.false_pass)


def logistic(log_odds: Floats) -> Floats:
    """1 / (1 + e^−x), element by element."""
    return 1.0 / (1.0 + np.exp(-np.clip(log_odds, -STEEPEST, STEEPEST)))
