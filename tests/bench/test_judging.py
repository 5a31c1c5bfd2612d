"""Judging: what counts as the right option, and as naming the answer."""

from __future__ import annotations

import pytest

from sale.agents.tools.sandbox import find_sandbox
from sale.bench.judging import MAX_WORDS, NamesReference, options_of, verifier_of
from sale.bench.tasks.hst_open import hst_open
from sale.types import Task

TASK = Task(text="Who?")


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        ("Gotham City", True),
        ("gotham city.", True),
        ("Batman was born in Gotham City.", True),
        ("Gotham", True),
        ("Metropolis", False),
        ("Gothamburg", False),
        ("", False),
        ("Gotham City " + "or another city " * MAX_WORDS, False),
    ],
)
async def test_a_short_answer_may_name_the_reference(answer: str, good: bool) -> None:
    outcome = await NamesReference("Gotham City", ("Gotham",)).verify(TASK, answer)
    assert (outcome.verdict == "success") == good


@pytest.mark.parametrize(
    ("answer", "good"),
    [("yes", True), ("Yes, both are.", True), ("no", False), ("yes and no", False), ("They are, yes", False)],
)
async def test_yes_is_said_at_once_and_not_taken_back(answer: str, good: bool) -> None:
    outcome = await NamesReference("yes").verify(TASK, answer)
    assert (outcome.verdict == "success") == good


def test_every_question_of_the_set_shows_the_option_that_is_right() -> None:
    for task in hst_open():
        if task.kind == "choice":
            assert task.reference in options_of(task)


async def test_the_reference_of_every_question_is_judged_right() -> None:
    for task in hst_open():
        if task.kind == "tests":
            continue
        outcome = await verifier_of(task, sandbox=None).verify(task.task, task.reference or "")
        assert outcome.verdict == "success", task.id


def test_code_needs_a_sandbox() -> None:
    coded = next(task for task in hst_open() if task.kind == "tests")
    with pytest.raises(ValueError, match="sandbox"):
        verifier_of(coded, sandbox=None)
    assert verifier_of(coded, sandbox=find_sandbox())
