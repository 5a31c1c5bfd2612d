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
from sale.learning.attempts import dollars_spent
from sale.learning.choosing import Prospects
from sale.learning.dataset import MICRO, Floats, Table
from sale.learning.unknowns import Completed
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
    """What a solved task is worth, left to be found: as much as makes work cost so much."""

    share: float = 0.5
    """Of what the best agent alone would cost."""
    attempts: int = 1
    """How many agents may try a task whose failures are found out: what they cost is in the share."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.share) and self.share > 0.0):
            raise InputError(
                f"the share of the money must be above 0, got {self.share!r}",
                hint="0.5 is half of what the best agent alone would cost.",
            )
        if self.attempts < 1:
            raise InputError(f"attempts must be at least 1, got {self.attempts!r}")


HALF = Spend()


def worth_of(spend: Spend, table: Table, prospects: Prospects, completed: Completed) -> float:
    """The largest worth of a solved task, in dollars, under which work costs no more than that share.

    Where the likeliest agents cost less than the share altogether, it is the smallest worth under which they are hired:
    more would only pay for auctions. Awards are those of models that had not seen the task, and so is who follows after
    a failure. Auctions come on top.

    Args:
        spend: How much, of `best_agent_cost`.
        table: All auctions.
        prospects: Of their bids.
        completed: What came of each bid's work, or would.
    """

    def spent(log_worth: float) -> float:
        return float(dollars_spent(prospects, completed, table.checked, math.exp(log_worth), spend.attempts).mean())

    top = float(np.max(prospects.works[table.present], initial=0.0)) / MICRO or 1.0
    low, high = math.log(top / RANGE), math.log(top * RANGE)
    most, all_there_is = spend.share * best_agent_cost(table), spent(high)
    sated = all_there_is <= most
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        cost = spent(middle)
        too_much = cost >= all_there_is if sated else cost > most
        low, high = (low, middle) if too_much else (middle, high)
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
