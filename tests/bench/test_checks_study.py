"""What it is worth to know the errors of a check, on the recorded pools: never less than nothing."""

from __future__ import annotations

from functools import cache

from benchmarks.checks import BEGIN, END, ERRORS, PAGE, WORTHS, Compared, rows, study

NOTHING = 1.0
"""Hundredths of the best agent's work a task: a hundredth of what a task costs is no loss on 220 tasks."""


@cache
def found() -> list[Compared]:
    return study()


def test_the_knowledge_is_never_worth_less_than_nothing() -> None:
    assert len(found()) == 2 * len(ERRORS) * len(WORTHS)
    for one in found():
        assert one.gain[0] > -NOTHING, one
        assert one.gain[2] >= 0.0, one
        if one.false_pass == one.false_fail == 0.0:
            assert one.gain == (0.0, 0.0, 0.0)


def test_with_a_weak_check_and_tasks_that_are_worth_something_it_is_worth_much() -> None:
    weak = [one for one in found() if one.false_pass >= 0.5 and one.worth == max(WORTHS)]
    assert all(one.gain[1] > 10.0 for one in weak)


def test_the_page_shows_it() -> None:
    """Figures may differ in the last digits between processors; rows and columns may not."""
    shown = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].splitlines()
    made = rows(found())
    assert len(shown) == len(made) + 1
    for line, row in zip([shown[0], *shown[2:]], made, strict=True):
        assert [cell.strip() for cell in line.strip("|").split("|")][:4] == list(row[:4])
