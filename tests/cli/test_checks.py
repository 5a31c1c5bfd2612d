"""What `sale weights checks` says of a check's worth is what the market goes by."""

from __future__ import annotations

from dataclasses import replace

from sale.cli.checks import estimate_checks
from sale.types import AuctionRules, CheckedAnswer, Example, SuccessModel, Weights
from tests.learning.pools import bid

MODEL = SuccessModel(
    worth=100.0,
    intercepts={"small": 0.0, "large": 1.0},
    newcomer=0.0,
    rates={"small": 0.5, "large": 0.7},
    newcomer_rate=0.5,
    coefficients={},
    means={},
    work={"small": 8.0, "large": 30.0},
    newcomer_tokens=1.0,
)
WEIGHTS = Weights(cost=1.0, entropy=0.0, jurors={}, model=MODEL)
ANSWERS = [CheckedAnswer(check="tests", passed=True)]
RULES = AuctionRules(attempts=2)
HELD = Example(auction_id="held", task="t", bids=(bid("small", 0.1), bid("large", 1.0)), winner="small", work={})


def pays(rules: AuctionRules, weights: Weights, *examples: Example) -> float | None:
    (one,) = estimate_checks(ANSWERS, rules, weights, examples)
    return one.pays


def test_work_that_was_imported_is_no_task_a_check_could_be_used_on() -> None:
    imported = [replace(HELD, bids=(bid("small", 0.1),)) for _ in range(300)]
    assert pays(RULES, WEIGHTS, HELD) == 1.0
    assert pays(RULES, WEIGHTS, HELD, *imported) == 1.0
    assert pays(RULES, WEIGHTS, *imported) is None


def test_what_a_failure_costs_counts_as_in_the_market() -> None:
    cheap = replace(WEIGHTS, model=replace(MODEL, worth=1e-6))
    assert pays(RULES, cheap, HELD) == 0.0
    assert pays(replace(RULES, failure_dollars=1e-4), cheap, HELD) == 1.0
