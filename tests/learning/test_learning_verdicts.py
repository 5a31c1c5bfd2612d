"""What is learnt from a check that passes wrong answers."""

from __future__ import annotations

import numpy as np
import pytest

from sale.learning.drift import drift
from sale.learning.fit import fit
from sale.learning.verdicts import weigh_verdicts
from sale.types import CheckedAnswer, CheckErrors, Example, Worked
from tests.learning.pools import bid

TRUE = {"cheap": 0.2, "dear": 0.9}
DOLLARS = {"cheap": 0.001, "dear": 0.01}
WEAK = CheckErrors(false_pass=0.5, false_fail=0.05)


def judged(count: int, told: float, seed: int = 0) -> tuple[list[Example], list[CheckedAnswer]]:
    """Work judged by a weak check, and by users where they say what became of it: on such a share of what passed."""
    rng = np.random.default_rng(seed)
    examples: list[Example] = []
    answers: list[CheckedAnswer] = []
    for number in range(count):
        work: dict[str, Worked] = {}
        for agent, rate in TRUE.items():
            right = bool(rng.random() < rate)
            passed = bool(rng.random() < (1.0 - WEAK.false_fail if right else WEAK.false_pass))
            known = passed and rng.random() < told
            work[agent] = Worked(
                success=right if known else passed, dollars=DOLLARS[agent], check=None if known else "tests"
            )
            answers.append(CheckedAnswer(check="tests", passed=passed, right=right if known else None))
        bids = tuple(bid(agent, 1000.0 * DOLLARS[agent], entropy=None) for agent in TRUE)
        examples.append(Example(auction_id=f"{number}", task=f"t{number}", bids=bids, winner="cheap", work=work))
    return examples, answers


@pytest.mark.parametrize(("told", "stated"), [(0.0, WEAK), (0.3, CheckErrors()), (1.0, CheckErrors())])
def test_an_agent_is_rated_by_what_is_right_and_not_by_what_passes(told: float, stated: CheckErrors) -> None:
    """The cheap agent passes six times in ten, and is right twice."""
    examples, answers = judged(800, told)
    model = fit(weigh_verdicts(examples, answers, stated), "utility", worth=0.01).weights.model
    assert model is not None
    assert {agent: model.rates[agent] for agent in TRUE} == pytest.approx(TRUE, abs=0.07)
    if told < 0.5:
        blind = fit(examples, "utility", worth=0.01).weights.model
        assert blind is not None
        assert blind.rates["cheap"] > 0.4


def test_what_passes_more_often_than_it_is_right_is_no_drift() -> None:
    model = fit(weigh_verdicts(judged(800, 0.0)[0], (), WEAK), "utility", worth=0.01).weights.model
    assert model is not None
    later, _ = judged(600, 0.0, seed=1)
    assert drift(weigh_verdicts(later, (), WEAK), model) == ()
    assert [finding.name for finding in drift(later, model)] == ["cheap"]


def test_verdicts_stand_where_no_check_is_known_to_be_wrong() -> None:
    examples, _ = judged(20, 0.5)
    assert weigh_verdicts(examples, (), CheckErrors()) == tuple(examples)
    for example in weigh_verdicts(examples, (), WEAK):
        for work in example.work.values():
            assert work.right is not None
            assert (work.right in {0.0, 1.0}) == (work.check is None)
            assert (work.right > 0.0) or not work.success
