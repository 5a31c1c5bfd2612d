"""What a solved task is worth, said by what is wanted: as many tasks solved as the best agent would, or so much spent.

The worth decides where on its curve of success against cost a market stands. Few people can say it in dollars. Made
from differences of success rates between agents it varies threefold between training sets (docs/decisions.md); what the
whole market does on tasks its models had not seen, and what that costs, is known better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special as scipy_special

from sale.errors import InputError
from sale.learning.attempts import ends
from sale.learning.choosing import Prospects
from sale.learning.dataset import MICRO, Floats, Table
from sale.learning.intervals import standard_error
from sale.learning.unknowns import Completed
from sale.learning.utility import rate_posteriors, work_costs

_special: Any = scipy_special  # scipy is untyped

GRID = 4001
"""Places in (0, 1) that the chance to be the best agent is summed over."""
RANGE = 1e4
"""A solved task is worth at most this many times what the dearest work of a task costs, and at least the inverse."""
STEPS = 60
"""Halvings of that range's logarithm: more than the choices of a few thousand tasks can tell apart."""


LEAST, TRIED = 0.1, 150
"""Worths that are tried for a match: from such a part of what the cheapest work costs, and how many."""


@dataclass(frozen=True, slots=True)
class Spend:
    """As much as a share of the money buys."""

    share: float
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


@dataclass(frozen=True, slots=True)
class Match:
    """As little as solves as many tasks as the best agent alone.

    Where the market is not sure to, as little as solves as many as it would if it spent what that agent costs.
    """

    attempts: int = 1
    """How many agents may try a task whose failures are found out."""


Wanted = float | Spend | Match
"""What a solved task is worth: dollars, or what is to come of it."""
MATCH = Match()


def worth_of(wanted: Spend | Match, table: Table, prospects: Prospects, completed: Completed) -> float:
    """What a solved task is worth, in dollars, so that what is wanted comes of it.

    Awards are those of models that had not seen the task, and so is who follows after a failure. Auctions come on top.

    Args:
        wanted: What.
        table: All auctions.
        prospects: Of their bids.
        completed: What came of each bid's work, or would.
    """
    if isinstance(wanted, Spend):
        return _worth_of_share(wanted, table, prospects, completed)
    full = _worth_of_share(Spend(1.0, attempts=wanted.attempts), table, prospects, completed)
    best = _best_agents_success(table, completed)
    cheapest = float(np.min(prospects.works[prospects.works > 0.0], initial=np.inf)) / MICRO
    tried: Floats = np.geomspace(min(LEAST * cheapest, full), full, TRIED)
    solved = [ends(prospects, completed, table.checked, float(worth), wanted.attempts).success for worth in tried]
    gained = [float((one - best).mean()) - standard_error(one - best, table.group) for one in solved]
    if gained[-1] < 0.0:  # it is not sure to match: then as little as does what that spending would
        gained = [float((one - solved[-1]).mean()) for one in solved]
    # From where on nothing larger falls short: where success goes up and down with the worth, that is chance.
    return float(tried[max((place + 1 for place, one in enumerate(gained) if one < 0.0), default=0)])


def _best_agents_success(table: Table, completed: Completed) -> Floats:
    """(T,) of the agent that solves most tasks; one that has no bid there fails."""
    each = [
        np.where(table.present & (table.author == agent), completed.success, 0.0).max(axis=1)
        for agent in range(len(table.agents))
    ]
    return max(each, key=lambda one: float(one.mean()))


def _worth_of_share(spend: Spend, table: Table, prospects: Prospects, completed: Completed) -> float:
    """The largest worth under which work costs no more than the share.

    Where the likeliest agents cost less than the share altogether, it is the smallest worth under which they are hired:
    more would only pay for auctions.
    """

    def spent(log_worth: float) -> float:
        return float(ends(prospects, completed, table.checked, math.exp(log_worth), spend.attempts).dollars.mean())

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
