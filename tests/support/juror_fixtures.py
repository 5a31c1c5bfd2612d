"""Three kinds of plan, a taste for them, and a cheap and a dear agent that share it."""

from __future__ import annotations

from sale.agents.contractor import Contractor
from sale.types import JuryMode
from tests.support.scripted import Opinion, acts, contractor

BOTH: list[JuryMode] = ["panel", "per-bid"]
GOOD = "1. Add them up.\n2. Check with n(n+1)/2."
POOR = "1. Guess."
BETTER = "1. Use n(n+1)/2.\n2. Check by adding them up."


def likes(**points: int) -> Opinion:
    """An opinion: the points of the kind of plan, one for a kind that is not named."""
    kinds = {GOOD: "good", BETTER: "better", POOR: "poor"}

    def opinion(plan: str) -> int:
        return points.get(kinds.get(plan, ""), 1)

    return opinion


OPINION = likes(good=4, better=5, poor=0)


def pool(cheap: str = POOR, dear: str = GOOD, *, refined: str | None = None) -> list[Contractor]:
    """A cheap agent and a dear one, with the same taste."""
    return [
        contractor("cheap", acts(bid=cheap, refine=refined, judge=OPINION), price=0.1),
        contractor("dear", acts(bid=dear, judge=OPINION), price=1.0),
    ]
