"""Who tries first, and who next, where whatever fails is found out: pure functions.

With a verifier and leave for several attempts, an award is the beginning of a plan: a cheap agent may try first though
another is better by itself, because only its failures have to be paid for twice. The plan that is expected to be worth
most is found by going through all of them; the search problem is Weitzman's (Optimal Search for the Best Alternative,
Econometrica 1979), but chances fall with every failure of another agent, so his index does not apply.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from sale.auction import scoring
from sale.auction.chances import logistic
from sale.types import Bid, SuccessModel, Weights

MOST = 5
"""Agents gone through: those best by themselves. Their orders are at most a few hundred."""


def first_to_try(bids: Iterable[Bid], model: SuccessModel, attempts: int) -> Bid:
    """The first bid of the plan that is expected to be worth most: somebody has to try.

    Args:
        bids: With a chance of success each.
        model: Says what a solved task is worth, and what failures of others do to chances.
        attempts: How many agents may try.

    Raises:
        ValueError: There is no bid.
    """
    best = _best_of_each(bids)
    if not best:
        raise ValueError("nobody bids")
    # The first of equals: the one that is better by itself.
    return max(best, key=lambda bid: _worth(bid, best, model, 0, attempts))


def next_to_try(contenders: Iterable[Bid], failed: Collection[str], weights: Weights, attempts: int) -> Bid | None:
    """Who is awarded a task that others have failed at: an agent that has not tried yet.

    With a success model it begins the best plan of what is left, with its chance after the failures; where no plan is
    expected to be worth what it costs any more, nobody tries. Without one it is the next best bid.

    Args:
        contenders: All bids.
        failed: Who has tried, by name.
        weights: Of the auction.
        attempts: How many more agents may try.
    """
    model = weights.model
    if model is None:
        return scoring.next_best(contenders, failed)
    left = _best_of_each(bid for bid in contenders if bid.agent not in failed and scoring.is_judged(bid))
    worth = {bid.agent: _worth(bid, left, model, len(failed), attempts) for bid in left}
    best = max(left, key=lambda bid: worth[bid.agent], default=None)
    return after_failures(best, len(failed), model) if best is not None and worth[best.agent] > 0.0 else None


def after_failures(bid: Bid, failures: int, model: SuccessModel) -> Bid:
    """A bid as it looks after so many others have failed at the task."""
    if bid.chance is None or not 0.0 < bid.chance < 1.0:
        return bid
    left = logistic(math.log(bid.chance / (1.0 - bid.chance)) + failures * model.after_failure)
    return replace(bid, chance=left, value=model.worth * left)


def _best_of_each(bids: Iterable[Bid]) -> list[Bid]:
    """The best bid of each agent, which may have bid twice; the best agents by themselves, best first."""
    found: dict[str, Bid] = {}
    for bid in scoring.rank(bids):
        found.setdefault(bid.agent, bid)
    return list(found.values())[:MOST]


def _worth(bid: Bid, among: Sequence[Bid], model: SuccessModel, failures: int, attempts: int) -> float:
    """Micro-dollars expected of having this agent try now, and the best others after it, as long as that pays."""
    now = after_failures(bid, failures, model)
    if now.chance is None:
        return -now.net_cost
    others = [one for one in among if one.agent != bid.agent]
    later = 0.0
    if attempts > 1 and others:
        later = max(0.0, *(_worth(one, others, model, failures + 1, attempts - 1) for one in others))
    return -now.net_cost + (1.0 - now.chance) * later
