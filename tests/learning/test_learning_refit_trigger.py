"""When new weights are asked for, and when they are not."""

from __future__ import annotations

from dataclasses import replace

from sale.learning.fit import fit
from sale.learning.refit_trigger import MIN_NEW_OUTCOMES, check_refit
from sale.types import Example, WeightSet, Worked
from tests.learning.pools import auctions


def fitted(examples: list[Example]) -> WeightSet:
    found = fit(examples, "utility")
    return WeightSet(version=3, weights=found.weights, training=found.training, made_at="2026-01-01T00:00:00+00:00")


def test_too_little_on_record_asks_for_nothing() -> None:
    found = check_refit(auctions(3), None)
    assert not found.due
    assert "3 tasks, 9 outcomes" in found.reasons[0]


def test_the_default_weights_are_to_be_replaced_once_there_is_enough() -> None:
    found = check_refit(auctions(20), None)
    assert found.due
    assert "60 outcomes" in found.reasons[0]


def test_many_outcomes_of_few_tasks_are_too_little_and_so_are_many_tasks_without_outcomes() -> None:
    again, idle = auctions(60, repeats=60), [replace(one, work={}) for one in auctions(60)]
    assert not check_refit(again, None).due
    assert "1 task, 180 outcomes" in check_refit(again, None).reasons[0]
    assert not check_refit(idle, None).due
    assert "60 tasks, 0 outcomes" in check_refit(idle, None).reasons[0]


def test_weights_that_were_fitted_on_little_are_not_fitted_anew_at_every_outcome() -> None:
    old, few = auctions(60), auctions(MIN_NEW_OUTCOMES // 3 - 1, seed=1)
    used = fitted(old)
    used = replace(used, training=replace(used.training, judged=1))
    assert not check_refit([*old, *few], used, few).due


def test_weights_hold_while_nothing_happens_and_are_due_once_enough_has_come_in() -> None:
    old = auctions(60)
    used = fitted(old)
    few, many = auctions(MIN_NEW_OUTCOMES // 3 - 1, seed=1), auctions(40, seed=1)
    assert not check_refit([*old, *few], used, few).due
    found = check_refit([*old, *many], used, many)
    assert found.due
    assert "120 outcomes since weights 3 were fitted on 180" in found.reasons[-1]


def test_drift_is_a_reason_long_before_that() -> None:
    old = auctions(400)
    used = fitted(old)
    broken = [
        replace(one, work={**one.work, "large": Worked(success=False, dollars=0.001)}) for one in auctions(40, seed=4)
    ]
    found = check_refit([*old, *broken], used, broken)
    assert found.due
    assert any("large does worse" in reason for reason in found.reasons)
