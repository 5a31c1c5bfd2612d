"""The glossary has every term that the pages and the command use as if it were known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "glossary.md").read_text(encoding="utf-8")
TERMS = {one.lower() for one in re.findall(r"\*\*([^*]+)\*\*", PAGE)}
METHOD = """
    agent, allowance, area, attempt, award, ballot, base rate, bid, break-even, canary, caps, chance,
    contrastive pair, cost, entropy, evidence, execution, exploration, incumbent, juror, jury, look, net,
    oracle gap, outcome, over-escalation, overhead, pass@1, pool, price, provisional winner, recall,
    refinement, reliance, settlement, shadow, shortlist, strategy, success model, task, track record,
    under-escalation, value, verifier, weights, worth, $/mt, $/task
"""


@pytest.mark.parametrize("term", [" ".join(one.split()) for one in METHOD.split(",")])
def test_a_term_of_the_method_is_there(term: str) -> None:
    assert any(one.partition(" (")[0] == term for one in TERMS)


def test_no_term_is_there_twice() -> None:
    lines = re.findall(r"^\*\*([^*]+)\*\*", PAGE, re.MULTILINE)
    assert len(lines) == len({one.lower() for one in lines})
