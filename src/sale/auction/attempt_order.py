"""The order in which agents try a task when failures are detected; pure functions.

With a verifier and leave for several attempts, an award is the beginning of a plan: a cheap agent may try first though
another is better by itself, because only its failures have to be paid for twice. The plan that is expected to be worth
most is found by going through all of them; the search problem is Weitzman's (Optimal Search for the Best Alternative,
Econometrica 1979), but chances fall with every failure of another agent, so that index does not apply.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sale.auction import scoring
from sale.auction.difficulty import EDGE, SHARES, Floats, spread_by_difficulty, update_by_failures
from sale.types import Bid, SuccessModel, Weights

MAX_AGENTS = 5
"""Agents gone through: those best by themselves. Who of them has failed is one of at most 32 sets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptPlans:
    """The best plan of T tasks after each set of K agents has failed: the first axis is the set, as bits."""

    value: Floats
    """(2^K, T) expected micro-dollars of one more try now, followed by the best others as long as that pays."""
    first: NDArray[np.intp]
    """(2^K, T) who begins it."""


def best_plans(
    chance: Floats, works: Floats, spread: Floats, worth: float, attempts: int, known: Floats = SHARES
) -> AttemptPlans:
    """Go through all plans of several tasks at once.

    Args:
        chance: (T, K) of each agent that may try, before any has.
        works: (T, K) what its work is expected to cost, micro-dollars; infinite where it cannot try.
        spread: (T,) of the difficulty of tasks, in log-odds.
        worth: What a solved task is worth, micro-dollars.
        attempts: How many may try, at least one.
        known: (T, Z) or (Z,) how likely each difficulty is, after what has happened so far.
    """
    tasks, agents = chance.shape
    good = spread_by_difficulty(chance, spread[:, None])
    value, first = np.zeros((2**agents, tasks)), np.zeros((2**agents, tasks), np.intp)
    tries = min(attempts, agents)
    for failures in reversed(range(tries)):
        for members in combinations(range(agents), failures):
            failed = sum(1 << one for one in members)
            left = known * (1.0 - good[:, members]).prod(axis=1)
            now = (good * left[:, None]).sum(axis=2) / np.maximum(left.sum(axis=1, keepdims=True), EDGE**2)
            plans = worth * now - works
            for one in range(agents):
                if failed >> one & 1:
                    plans[:, one] = -np.inf
                elif failures + 1 < tries:
                    plans[:, one] += (1.0 - now[:, one]) * np.maximum(0.0, value[failed | 1 << one])
            first[failed] = plans.argmax(axis=1)
            value[failed] = plans.max(axis=1)
    return AttemptPlans(value=value, first=first)


def first_to_try(bids: Iterable[Bid], model: SuccessModel, attempts: int) -> Bid:
    """Return the first bid of the plan that is expected to be worth most; one agent always tries.

    Args:
        bids: With a chance of success each.
        model: Says what a solved task is worth, and what failures of others do to chances.
        attempts: How many agents may try.

    Raises:
        ValueError: `bids` is empty.
    """
    best = _best_of_each(bids)
    if not best:
        raise ValueError("nobody bids")
    return best[int(_plans(best, model, attempts, SHARES).first[0, 0])]


def next_to_try(contenders: Iterable[Bid], failed: Collection[str], weights: Weights, attempts: int) -> Bid | None:
    """Return the next bid for a task that others have failed at: of an agent that has not tried yet.

    With a success model it begins the best plan of what is left, with its chance after the failures; where no plan is
    expected to be worth what it costs any more, the result is `None`. Without one it is the next best bid.

    Args:
        contenders: All bids.
        failed: Who has tried, by name.
        weights: Of the auction.
        attempts: How many more agents may try.
    """
    model, given = weights.model, list(contenders)
    if model is None:
        return scoring.next_best(given, failed)
    lost = [bid.chance for bid in _ranked(bid for bid in given if bid.agent in failed) if bid.chance is not None]
    judged = [bid for bid in given if bid.agent not in failed and scoring.is_judged(bid)]
    left = _best_of_each(judged)
    if not left or attempts < 1:
        return None
    known = update_by_failures(lost, model.difficulty)
    plans = _plans(left, model, attempts, known)
    return update_bid(left[int(plans.first[0, 0])], known, model) if plans.value[0, 0] > 0.0 else None


def update_bid(bid: Bid, known: Floats, model: SuccessModel) -> Bid:
    """A bid as it looks with so much known of the difficulty of the task: (Z,)."""
    chance = float(spread_by_difficulty(np.array(bid.chance or 0.0), np.array(model.difficulty)) @ known)
    return replace(bid, chance=chance, value=model.worth * chance)


def _best_of_each(bids: Iterable[Bid]) -> list[Bid]:
    """The best bid of each agent, which may have bid twice; the best agents by themselves, best first."""
    return _ranked(bids)[:MAX_AGENTS]


def _ranked(bids: Iterable[Bid]) -> list[Bid]:
    found: dict[str, Bid] = {}
    for bid in scoring.rank(bids):
        found.setdefault(bid.agent, bid)
    return list(found.values())


def _plans(bids: Sequence[Bid], model: SuccessModel, attempts: int, known: Floats) -> AttemptPlans:
    return best_plans(
        np.array([[bid.chance or 0.0 for bid in bids]]),
        np.array([[bid.cost for bid in bids]]),
        np.array([model.difficulty]),
        model.worth,
        attempts,
        known,
    )
