"""The order in which agents try a task when failures are detected; pure functions.

With a verifier and leave for several attempts, an award is the beginning of a plan: a cheap agent may try first though
another is better by itself, because only its failures have to be paid for twice. The plan that is expected to be worth
most is found by going through all of them; the search problem is Weitzman's (Optimal Search for the Best Alternative,
Econometrica 1979), but chances fall with every failure of another agent, so that index does not apply.

A check may be wrong. Work that it passes is handed in, right or not; work that it fails may be right, and is handed in
where no agent follows. So another attempt has to be worth more than its cost and what the refused work is still worth,
and where a check is too weak for that the plan is the agent that is best by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sale.auction import scoring
from sale.auction.difficulty import EDGE, SHARES, Floats, chance_of_refusal, spread_by_difficulty, update_by_failures
from sale.types import MICRO, Bid, CheckErrors, SuccessModel, Weights

PERFECT = CheckErrors()
"""A check that is never wrong."""
MAX_AGENTS = 5
"""Agents gone through: those best by themselves. Who of them has failed is one of at most 32 sets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptPlans:
    """The best plan of T tasks after each set of K agents has failed: the first axis is the set, as bits."""

    value: Floats
    """(2^K, T) expected micro-dollars of one more try now, followed by the best others as long as that pays."""
    first: NDArray[np.intp]
    """(2^K, T) who begins it."""
    again: NDArray[np.bool_]
    """(2^K, T) whether its work is to be checked, and another agent to follow where the check fails it."""


def best_plans(
    chance: Floats,
    works: Floats,
    spread: Floats,
    worth: float,
    attempts: int,
    known: Floats = SHARES,
    check: CheckErrors = PERFECT,
) -> AttemptPlans:
    """Go through all plans of several tasks at once.

    Args:
        chance: (T, K) of each agent that may try, before any has.
        works: (T, K) what its work is expected to cost, micro-dollars; infinite where it cannot try.
        spread: (T,) of the difficulty of tasks, in log-odds.
        worth: What a solved task is worth, micro-dollars.
        attempts: How many may try, at least one.
        known: (T, Z) or (Z,) how likely each difficulty is, after what has happened so far.
        check: How often it is wrong, and what it costs.
    """
    tasks, agents = chance.shape
    good = spread_by_difficulty(chance, spread[:, None])
    fails = chance_of_refusal(good, check)
    value, first = np.zeros((2**agents, tasks)), np.zeros((2**agents, tasks), np.intp)
    again = np.zeros((2**agents, tasks), np.bool_)
    tries = min(attempts, agents)
    for failures in reversed(range(tries)):
        for members in combinations(range(agents), failures):
            failed = sum(1 << one for one in members)
            left = known * fails[:, members].prod(axis=1)
            now = (good * left[:, None]).sum(axis=2) / np.maximum(left.sum(axis=1, keepdims=True), EDGE**2)
            plans, gains = worth * now - works, np.zeros_like(now)
            likely = chance_of_refusal(now, check)
            for one in range(agents):
                if failed >> one & 1:
                    plans[:, one] = -np.inf
                elif failures + 1 < tries:
                    gains[:, one] = _gain_of_check(now[:, one], likely[:, one], value[failed | 1 << one], worth, check)
            plans += np.maximum(0.0, gains)
            first[failed] = plans.argmax(axis=1)
            value[failed] = plans.max(axis=1)
            again[failed] = np.take_along_axis(gains, first[failed][:, None], axis=1)[:, 0] > 0.0
    return AttemptPlans(value=value, first=first, again=again)


def _gain_of_check(now: Floats, likely: Floats, following: Floats, worth: float, check: CheckErrors) -> Floats:
    """(T,) micro-dollars that a check is worth: whoever follows refused work, less the good work it throws away.

    Args:
        now: (T,) chance that the work is right.
        likely: (T,) that the check fails it.
        following: (T,) what the best plan after that is worth.
        worth: What a solved task is worth.
        check: How often it is wrong, and what it costs.
    """
    return likely * following - worth * now * check.false_fail - MICRO * check.dollars


def first_to_try(bids: Iterable[Bid], model: SuccessModel, attempts: int, check: CheckErrors = PERFECT) -> Bid:
    """Return the first bid of the plan that is expected to be worth most: some agent has to try.

    Args:
        bids: With a chance of success each.
        model: Says what a solved task is worth, and what failures of others do to chances.
        attempts: How many agents may try.
        check: How often failures are found out.

    Raises:
        ValueError: `bids` is empty.
    """
    best = _best_of_each(bids)
    if not best:
        raise ValueError("nobody bids")
    return best[int(_plans(best, model, attempts, SHARES, check).first[0, 0])]


def check_pays(bids: Iterable[Bid], model: SuccessModel, attempts: int, check: CheckErrors) -> bool:
    """Return `True` where the plan that is expected to be worth most has its first work checked.

    Where it has not, the check is too weak to pay: no agent would follow, or it would throw away too much good work.
    """
    best = _best_of_each(bids)
    return bool(best) and bool(_plans(best, model, attempts, SHARES, check).again[0, 0])


def next_to_try(
    contenders: Iterable[Bid],
    failed: Collection[str],
    weights: Weights,
    attempts: int,
    check: CheckErrors = PERFECT,
    last: str | None = None,
    *,
    broken: Collection[str] = (),
    failure: float = 0.0,
) -> Bid | None:
    """Return the bid that is awarded a task after the work of others was refused: of an agent that has not tried yet.

    With a success model it begins the best plan of what is left, with its chance after the failures; where no plan is
    expected to be worth what it costs any more, and what the refused work may yet be worth, no agent tries. Where
    there is no answer a plan must be worth what it costs to hand in a failure, too: not to try costs nothing. Without
    a model it is the next best bid.

    Args:
        contenders: All bids.
        failed: Who has tried, by name.
        weights: Of the auction.
        attempts: How many more agents may try.
        check: How often a refusal is wrong, and a pass.
        last: The agent whose refused answer is handed in if no other tries; `None`: there is no answer.
        broken: Who of those that have tried broke off: an endpoint that is down says nothing of the task.
        failure: What a failure that is handed in costs, micro-dollars: as much as the model's worth holds of it.
    """
    model, given = weights.model, list(contenders)
    if model is None:
        return scoring.next_best(given, failed)
    tried = {bid.agent: bid.chance for bid in _ranked(bid for bid in given if bid.agent in failed)}
    lost = [chance for agent, chance in tried.items() if chance is not None and agent not in broken]
    judged = [bid for bid in given if bid.agent not in failed and scoring.is_judged(bid)]
    left = _best_of_each(judged)
    if not left or attempts < 1:
        return None
    known = update_by_failures(lost, model.difficulty, check)
    plans = _plans(left, model, attempts, known, check)
    kept = failure if last is None else _worth_of_refused(tried.get(last) or 0.0, known, model, check)
    return update_bid(left[int(plans.first[0, 0])], known, model) if plans.value[0, 0] > kept else None


def _worth_of_refused(chance: float, known: Floats, model: SuccessModel, check: CheckErrors) -> float:
    """Return the micro-dollars that refused work is still worth, by the chance that the check was wrong.

    Args:
        chance: Of the work, before it was checked.
        known: (Z,) how likely each difficulty is after all refusals, this one included.
        model: Says what a solved task is worth.
        check: How often a refusal is wrong, and a pass.
    """
    good = spread_by_difficulty(np.array(chance), np.array(model.difficulty))
    right = good * check.false_fail / np.maximum(chance_of_refusal(good, check), EDGE**2)
    return model.worth * float(right @ known)


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


def _plans(bids: Sequence[Bid], model: SuccessModel, attempts: int, known: Floats, check: CheckErrors) -> AttemptPlans:
    return best_plans(
        np.array([[bid.chance or 0.0 for bid in bids]]),
        np.array([[bid.cost for bid in bids]]),
        np.array([model.difficulty]),
        model.worth,
        attempts,
        known,
        check,
    )
