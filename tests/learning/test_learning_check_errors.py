"""How often a check is wrong, from feedback: against checks whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest

from sale.learning.check_errors import CheckHistory, estimate_errors, usual_errors
from sale.learning.check_intervals import error_intervals
from sale.types import CheckedAnswer, CheckErrors


def judged(
    count: int, *, false_pass: float, false_fail: float, right: float = 0.6, told: float = 1.0, failed_told: float = 1.0
) -> list[CheckedAnswer]:
    """Answers that a check of known errors has judged; feedback comes on a share of passes, and another of fails."""
    draw = np.random.default_rng(0)
    found: list[CheckedAnswer] = []
    for _ in range(count):
        good = bool(draw.random() < right)
        passed = bool(draw.random() < (1.0 - false_fail if good else false_pass))
        known = draw.random() < (told if passed else failed_told)
        found.append(CheckedAnswer(check="tests", passed=passed, right=good if known else None))
    return found


def test_without_feedback_the_prior_stands() -> None:
    prior = CheckErrors(false_pass=0.2, false_fail=0.1, evidence=5.0)
    silent = [CheckedAnswer(check="tests", passed=True)] * 50
    assert estimate_errors(CheckHistory.of(silent), prior) is prior
    assert estimate_errors(CheckHistory(), prior) is prior


def test_with_all_answers_known_it_is_the_share_with_the_prior_in_it() -> None:
    """Six of ten wrong answers passed, and the prior's ten had none; two of thirty right ones failed."""
    known = CheckHistory(passed_wrong=6, failed_wrong=4, failed_right=2, passed_right=28)
    found = estimate_errors(known, CheckErrors())
    assert found.false_pass == pytest.approx(6 / 20)
    assert found.false_fail == pytest.approx(2 / 40)
    assert found.evidence == CheckErrors().evidence


def test_other_checks_are_not_counted() -> None:
    answers = [CheckedAnswer(check="tests", passed=True, right=False)] * 5
    assert CheckHistory.of(answers, "exact match").feedback == 0
    assert CheckHistory.of(answers, "tests") == CheckHistory.of(answers)


@pytest.mark.parametrize(("false_pass", "false_fail"), [(0.5, 0.0), (0.3, 0.2), (0.05, 0.1)])
def test_feedback_on_everything_finds_both_rates(false_pass: float, false_fail: float) -> None:
    found = estimate_errors(CheckHistory.of(judged(4000, false_pass=false_pass, false_fail=false_fail)), CheckErrors())
    assert found.false_pass == pytest.approx(false_pass, abs=0.04)
    assert found.false_fail == pytest.approx(false_fail, abs=0.04)


def test_feedback_on_what_passed_alone_does_not_make_every_check_weak() -> None:
    """Of wrong answers with feedback all have passed: counted plainly the check would pass every wrong answer."""
    answers = judged(2000, false_pass=0.5, false_fail=0.0, failed_told=0.0)
    found = estimate_errors(CheckHistory.of(answers), CheckErrors())
    assert found.false_pass == pytest.approx(0.5, abs=0.06)
    good = estimate_errors(
        CheckHistory.of(judged(2000, false_pass=0.05, false_fail=0.0, failed_told=0.0)), CheckErrors()
    )
    assert good.false_pass < 0.12


@pytest.mark.parametrize("failed_told", [0.0, 0.3])
def test_feedback_on_some_of_what_passed_stands_for_the_rest(failed_told: float) -> None:
    """Wrong answers that passed without feedback were passed all the same."""
    answers = judged(4000, false_pass=0.5, false_fail=0.0, told=0.3, failed_told=failed_told)
    found = estimate_errors(CheckHistory.of(answers), CheckErrors())
    assert found.false_pass == pytest.approx(0.5, abs=0.06)
    assert found.false_fail < 0.03


def test_intervals_hold_the_rate_and_narrow_with_feedback() -> None:
    few, many = (CheckHistory.of(judged(count, false_pass=0.5, false_fail=0.1)) for count in (40, 800))
    for number, true in ((0, 0.5), (1, 0.1)):
        near, far = (error_intervals(history, CheckErrors())[number] for history in (many, few))
        assert near[1] <= near[0] <= near[2]
        assert near[2] - near[1] < far[2] - far[1]
        assert near[1] - 0.02 < true < near[2] + 0.02
    none = error_intervals(CheckHistory(), CheckErrors())[0]
    assert none[0] == none[1] == 0.0
    assert none[2] < 0.3


def test_what_cannot_happen_divides_by_nothing() -> None:
    """A check that was never wrong, so it is said, has failed a right answer."""
    odd = CheckHistory(failed=3, failed_right=1)
    found = estimate_errors(odd, CheckErrors(false_pass=1.0, false_fail=0.0))
    assert 0.0 < found.false_fail < 1.0
    assert 0.0 <= found.false_pass <= 1.0


def test_a_goal_counts_with_the_check_that_judged_most() -> None:
    stated = CheckErrors(false_pass=0.1)
    assert usual_errors((), stated) == stated
    most, few = judged(400, false_pass=0.5, false_fail=0.0), [CheckedAnswer(check="other", passed=True, right=True)]
    assert usual_errors([*few, *most], stated) == estimate_errors(CheckHistory.of(most), stated)


@pytest.mark.parametrize(
    "wrong",
    [
        {"false_pass": 1.2},
        {"false_fail": -0.1},
        {"evidence": 0.0},
        {"evidence": float("inf")},
        {"dollars": float("inf")},
    ],
)
def test_rates_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CheckErrors(**wrong)
