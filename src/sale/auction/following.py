"""The choice of the next agent once the work on a task is known: the market's step from one attempt to another."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sale.auction.attempt_order import next_to_try
from sale.types import BROKE_OFF, MICRO, Attempt, Auction, AuctionRules, Bid, CheckErrors


def is_answered(attempt: Attempt) -> bool:
    """Return whether the work gave an answer, good or bad."""
    return attempt.outcome.judged_by != BROKE_OFF


def find_handed_in(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt whose answer is handed in if no agent follows: the latest that has one; `None`: none has."""
    return next((one for one in reversed(attempts) if is_answered(one)), None)


def following(
    auction: Auction,
    attempts: Sequence[Attempt],
    rules: AuctionRules,
    check: CheckErrors,
    able: Collection[Bid] | None = None,
) -> Bid | None:
    """The bid that is awarded the task after some attempts; `None` where what there is stands.

    Args:
        auction: Of the task.
        attempts: So far, at least one.
        rules: Say how many there may be, and what a failure costs.
        check: How often a check of answers is wrong.
        able: Bids that the allowance lets be awarded while there is an answer to hand in; all unless given.
    """
    last, left = attempts[-1], rules.attempts - len(attempts)
    if last.outcome.verdict != "failure" or left < 1:
        return None
    tried = [one.execution.agent for one in attempts]
    kept = find_handed_in(attempts)
    broken = [one.execution.agent for one in attempts if not is_answered(one)]
    bids = auction.contenders
    if kept is not None and able is not None:
        bids = tuple(bid for bid in bids if bid.agent in tried or bid in able)
    return next_to_try(
        bids,
        tried,
        auction.weights,
        left,
        check,
        kept and kept.execution.agent,
        broken=broken,
        failure=rules.failure_dollars * MICRO,
    )
