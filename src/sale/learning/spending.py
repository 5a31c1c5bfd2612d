"""What a solved task is worth, said as a share of the money: so much of what the best agent alone would cost.

The worth decides where on its curve of success against cost a market stands. Few people can say it in dollars; what
share of their present bill they want to pay they can. Costs are known well from few tasks, differences of success rates
are not: a worth made from those varied threefold between training sets (docs/decisions.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special as scipy_special

from sale.errors import InputError
from sale.learning.choosing import Prospects
from sale.learning.dataset import MICRO, Floats, Table
from sale.learning.utility import rate_posteriors, work_costs

_special: Any = scipy_special  # scipy is untyped

GRID = 4001
"""Places in (0, 1) that the chance to be the best agent is summed over."""
RANGE = 1e4
"""A solved task is worth at most this many times what the dearest work of a task costs, and at least the inverse."""
STEPS = 60
"""Halvings of that range's logarithm: more than the choices of a few thousand tasks can tell apart."""


@dataclass(frozen=True, slots=True)
class Spend:
    """What a solved task is worth, left to be found: as much as makes first awards cost so much."""

    share: float = 0.5
    """Of what the best agent alone would cost."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.share) and self.share > 0.0):
            raise InputError(
                f"the share of the money must be above 0, got {self.share!r}",
                hint="0.5 is half of what the best agent alone would cost.",
            )


HALF = Spend()


def worth_of_share(table: Table, prospects: Prospects, dollars: Floats, share: float) -> float:
    """The largest worth of a solved task, in dollars, under which awards cost no more than a share of the best agent's.

    Awards are those of models that had not seen the task. What a task costs when it fails and goes on to another agent
    comes on top; so do auctions.

    Args:
        table: All auctions.
        prospects: Of their bids.
        dollars: (T, N) what the work of each bid cost, or would.
        share: Of `best_agent_cost`. Where the likeliest agents cost less than that altogether, the smallest worth under
            which they are chosen: more would only pay for auctions.
    """
    rows, most = np.arange(len(table)), share * best_agent_cost(table)
    top = float(np.max(prospects.works[table.present], initial=0.0)) / MICRO or 1.0
    low, high = math.log(top / RANGE), math.log(top * RANGE)
    likeliest = prospects.columns(math.exp(high))
    sated = float(dollars[rows, likeliest].mean()) <= most

    def too_much(worth: float) -> bool:
        columns = prospects.columns(worth)
        return bool((columns == likeliest).all()) if sated else float(dollars[rows, columns].mean()) > most

    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if too_much(math.exp(middle)) else (middle, high)
    return math.exp(high if sated else low)


def best_agent_cost(table: Table) -> float:
    """What one task costs if the best agent does everything, in dollars.

    Which one that is, a few outcomes do not say: every agent's mean cost counts as much as the agent is likely to be
    the best, each rate being known as far as its own outcomes tell (`rate_posteriors`).
    """
    successes, failures = rate_posteriors(table)
    a, b = successes[:, None], failures[:, None]
    at: Floats = (np.arange(GRID) + 0.5) / GRID
    density: Floats = np.exp((a - 1.0) * np.log(at) + (b - 1.0) * np.log1p(-at) - _special.betaln(a, b))
    log_below: Floats = np.log(np.maximum(_special.betainc(a, b, at), np.finfo(np.float64).tiny))
    others: Floats = np.exp(log_below.sum(axis=0) - log_below)
    likely: Floats = (density * others).sum(axis=1)
    return float(likely @ work_costs(table)[0] / likely.sum() / MICRO)
