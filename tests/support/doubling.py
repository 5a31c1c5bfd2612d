"""What two models say that double numbers: the large one any, the small one even numbers only."""

from __future__ import annotations

import re

from tests.support.replies import Ask

PRICES = {"small": 1.0, "large": 20.0}


def says(ask: Ask) -> str | None:
    """The large one doubles any number, the small one even numbers only; plans and ballots are the usual ones."""
    found = re.search(r"Double (\d+)", ask.prompt)
    if found is None or ask.judging or "numbered steps" in ask.prompt:
        return None
    number = int(found[1])
    return str(2 * number) if "large" in str(ask.body.get("model")) or number % 2 == 0 else "no idea"
