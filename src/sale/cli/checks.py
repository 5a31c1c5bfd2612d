"""The screen of `sale weights checks`: how often checks are wrong, and whether they pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from sale.auction import scoring
from sale.auction.attempt_order import check_pays
from sale.auction.failure_cost import with_failure_cost
from sale.cli.tables import make_table
from sale.learning.check_errors import CheckHistory, estimate_errors
from sale.learning.check_intervals import error_intervals
from sale.learning.intervals import Interval
from sale.types import AuctionRules, CheckedAnswer, Example, Weights

LATEST = 200
"""Auctions that a check is tried on, the latest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownCheck:
    """One check of answers."""

    check: str
    judged: int
    """Answers it has passed or failed."""
    feedback: int
    """Of those, with later feedback."""
    false_pass: Interval
    """Share of wrong answers that it passes."""
    false_fail: Interval
    """Share of right answers that it fails."""
    pays: float | None
    """Share of the latest tasks on which the plan of attempts would use it; 0: it is too weak to pay. `None`: the
    weights hold no success model, one attempt is all that the rules allow, or no auction had several bidders."""


def estimate_checks(
    answers: Sequence[CheckedAnswer], rules: AuctionRules, weights: Weights | None, examples: Sequence[Example]
) -> tuple[KnownCheck, ...]:
    """Every check on record, by name.

    Args:
        answers: What checks said of them.
        rules: The prior, and how many may try.
        weights: In use; those with a success model say whether a check pays.
        examples: Past auctions, whose bids are weighed again; those with one bidder, as of imported work, tell nothing.
    """
    tried = [one for one in examples if len({bid.agent for bid in one.bids}) > 1][-LATEST:]
    weights = weights and with_failure_cost(weights, rules.failure_dollars)  # as the market counts
    found: list[KnownCheck] = []
    for name in sorted({one.check for one in answers}):
        history = CheckHistory.of(answers, name)
        errors = estimate_errors(history, rules.check)
        false_pass, false_fail = error_intervals(history, rules.check)
        pays = None
        if weights is not None and (model := weights.model) is not None and rules.attempts > 1 and tried:
            bids = [
                [scoring.weigh(bid.strategy, bid.price, bid.scores, weights, bid.track) for bid in example.bids]
                for example in tried
            ]
            used = [check_pays(own, model, rules.attempts, errors) for own in bids]
            pays = sum(used) / len(used)
        found.append(
            KnownCheck(
                check=name,
                judged=sum(one.check == name for one in answers),
                feedback=history.feedback,
                false_pass=false_pass,
                false_fail=false_fail,
                pays=pays,
            )
        )
    return tuple(found)


SAYS = "How often each check of answers is wrong, by later feedback, and whether work checked by it pays."


def check_table(found: Sequence[KnownCheck]) -> Table:
    """For people."""
    figures = ("judged", "with feedback", "wrong answers passed", "right answers failed")
    table = make_table("check", *figures, "does it pay?", right=figures)
    for one in found:
        says = (
            "not known: it takes several attempts, a success model, and auctions of several agents"
            if one.pays is None
            else "too weak to pay"
            if one.pays == 0.0
            else f"on {one.pays:.0%} of tasks"
        )
        rates = (_rate(one.false_pass), _rate(one.false_fail))
        table.add_row(one.check, str(one.judged), str(one.feedback), *rates, says)
    return table


def _rate(found: Interval) -> str:
    return f"{found[0]:.0%} ({found[1]:.0%} to {found[2]:.0%})"
