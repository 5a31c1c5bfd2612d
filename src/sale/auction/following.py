"""The choice of the next agent once the work on a task is known: the market's step from one attempt to another."""

from __future__ import annotations

from collections.abc import Sequence

from sale.auction.attempt_order import next_to_try
from sale.types import Attempt, Auction, Bid, CheckErrors


def following(auction: Auction, attempts: Sequence[Attempt], most: int, check: CheckErrors) -> Bid | None:
    """The bid that is awarded the task after some attempts; `None` where the last answer stands.

    Args:
        auction: Of the task.
        attempts: So far, at least one.
        most: How many the rules allow.
        check: How often a check of answers is wrong.
    """
    last, left = attempts[-1], most - len(attempts)
    if last.outcome.verdict != "failure" or left < 1:
        return None
    tried = [one.execution.agent for one in attempts]
    # Work that broke off has no answer that could be right after all.
    kept = None if last.outcome.judged_by == "execution" else tried[-1]
    return next_to_try(auction.contenders, tried, auction.weights, left, check, kept)
