"""Who tries first, where whatever fails is found out and goes to the next: pure functions.

With a verifier and leave for several attempts, an award is the beginning of a plan: a cheap agent may try first though
another is better by itself, because only its failures have to be paid for twice. The plan that is expected to be worth
most is found by going through all of them; the search problem is Weitzman's (Optimal Search for the Best Alternative,
Econometrica 1979), but chances fall with every failure of another agent, so his index does not apply.
"""

from __future__ import annotations

from collections.abc import Sequence

from sale.auction import scoring
from sale.types import Bid, SuccessModel

MOST = 5
"""Agents gone through: those best by themselves. Their orders are at most a few hundred."""


def first_to_try(bids: Sequence[Bid], model: SuccessModel, attempts: int) -> Bid:
    """The first bid of the plan that is expected to be worth most.

    Args:
        bids: With a chance of success each.
        model: Says what a solved task is worth, and what failures of others do to chances.
        attempts: How many agents may try.

    Raises:
        ValueError: There is no bid.
    """
    ranked = scoring.rank(bids)
    if not ranked:
        raise ValueError("nobody bids")
    # The best of each agent: it may have bid twice.
    best = list({bid.agent: bid for bid in reversed(ranked)}.values())[::-1][:MOST]
    # The first of equals: the one that is better by itself.
    return max(best, key=lambda bid: _worth(bid, best, model, 0, attempts))


def _worth(bid: Bid, among: Sequence[Bid], model: SuccessModel, failures: int, attempts: int) -> float:
    """Micro-dollars expected of having this agent try now, and the best others after it, as long as that pays."""
    now = scoring.after_failures(bid, failures, model)
    if now.chance is None:
        return -now.net_cost
    others = [one for one in among if one.agent != bid.agent]
    later = 0.0
    if attempts > 1 and others:
        later = max(0.0, *(_worth(one, others, model, failures + 1, attempts - 1) for one in others))
    return -now.net_cost + (1.0 - now.chance) * later
