"""The report on crossed cells, over small made-up cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import crossed
from sale.bench.crossed_cells import Cell, CrossedTask, CrossedTasks
from sale.bench.routers.features import Embeddings
from sale.bench.routers.tuning import outcome
from sale.bench.tasks.schema import BenchTask, HumanTime
from sale.models.embedding import MiniLMEmbedder
from tests.bench.routers.tables import FEATURES

TIME = HumanTime(provenance="nobody has timed it")


def cell(success: bool, dollars: float, check: float = 0.0) -> Cell:
    answer = "right" if success else "wrong"
    return Cell(success=success, dollars=dollars, tokens=1, answer=answer, check=check)


def one(number: int, *, again: bool = False) -> CrossedTask:
    """Every second task is solved without a plan, three of four with the dear agent's; that one solves all alone."""
    alone = cell(number % 2 == 0, 1.0)
    return CrossedTask(
        task=BenchTask(
            id=f"t/{number}",
            domain="search",
            source="even" if number % 2 == 0 else "odd",
            split="test",
            kind="short",
            prompt=f"Question {number}?",
            reference="right",
            time=TIME,
            licence="MIT",
        ),
        planned=True,
        alone=alone,
        own=cell(False, 2.0),
        crossed=cell(number % 4 != 3, 3.0),
        planner_alone=cell(True, 4.0),
        planner_own=cell(True, 6.0),
        plan_dollars=2.0,
        again=alone if again else None,
    )


def tasks(count: int, wanted: int, *, anew: int = 5) -> CrossedTasks:
    return CrossedTasks(
        planner="dear",
        executor="cheap",
        prices=(1.0, 4.0),
        tasks=tuple(one(number, again=number < anew) for number in range(count)),
        wanted=wanted,
    )


def test_before_it_is_whole_only_the_interim_is_said() -> None:
    said = crossed.interim(tasks(8, 100), "search")
    assert said.startswith("Search, interim: 8 of 100 tasks. Solved with the plan 75.0 (")
    assert "without 50.0 (" in said
    assert "difference 25.0 (" in said
    assert "done anew: 5 tasks, 5 with the recorded outcome, 5 with" in said


def test_calls_of_the_model_and_equal_answers_are_counted_where_there_is_a_plan() -> None:
    found = tasks(8, 8)
    asked = [
        replace(task, crossed=replace(task.crossed, calls=3), alone=replace(task.alone, calls=2))
        for task in found.tasks
    ]
    asked[0] = replace(asked[0], crossed=asked[0].alone)
    asked[1] = replace(asked[1], planned=False)
    said = crossed.alike(replace(found, tasks=tuple(asked)))
    assert said.startswith("On the 7 tasks with a plan the executor calls its model 2.86 times with it and 2.00 times")
    assert "as often both ways on 1; on 6 both" in said


def test_when_it_is_whole_every_cell_and_baseline_has_its_row() -> None:
    found = crossed.table(tasks(40, 40), "search", FEATURES)
    rows = {row[0]: row for row in found.rows}
    assert list(rows)[:2] == ["cheap on the plan of dear", "cheap without a plan"]
    first = rows["cheap on the plan of dear"]
    assert first[1].startswith("75.0 (")
    assert first[3].startswith("25.0 (")
    # Half the money between the cheap agent's 1 and the dear one's 4 dollars buys 83 of 100 by tossing a coin.
    assert first[5].startswith("−8.3 (")
    assert rows["by kind: the best agent for the source, cross-fitted"][1].startswith("100.0")
    assert {"FrugalGPT, cross-fitted", "COPE, cross-fitted"} <= rows.keys()
    assert rows["cheap on its own plan"][1].startswith("0.0 (")
    assert "Within one build" not in found.note
    assert crossed.within_build(tasks(40, 40, anew=40)).startswith(" Within one build the plan is worth 25.0 (")


def test_the_rule_by_kind_and_the_plain_cascade_pay_for_whom_they_call() -> None:
    table = tasks(20, 20).direct()
    success, dollars = outcome(crossed.by_kind(table), table)
    assert success.tolist() == [1.0] * 20
    assert dollars.tolist() == [1.0, 4.0] * 10, "even ones are solved by both: the cheaper"
    checks = np.array([[1.0, 1.0], [-1.0, 1.0]] * 10)
    success, dollars = outcome(crossed.by_examples(replace(table, checks=checks)), table)
    assert success.tolist() == [1.0] * 20
    assert dollars.tolist() == [1.0, 5.0] * 10


def test_what_is_not_recorded_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert crossed.report(tmp_path, FEATURES) == (
        "Search: nothing is recorded yet.\n\nCoding: nothing is recorded yet."
    )

    def load(domain: str, records: Path) -> CrossedTasks:
        assert records == tmp_path
        return tasks(8, 8 if domain == "search" else 9)

    monkeypatch.setattr(crossed, "load", load)
    said = crossed.report(tmp_path, FEATURES)
    assert "**Search: 8 tasks**" in said
    assert "Coding, interim: 8 of 9 tasks." in said


def test_the_page_says_what_is_recorded() -> None:
    text = crossed.PAGE.read_text(encoding="utf-8")
    assert text.count(crossed.BEGIN) == text.count(crossed.END) == 1
    said = crossed.report(crossed.RECORDS, Embeddings(MiniLMEmbedder()))
    assert crossed.page(text, said) == text, "python -m benchmarks.crossed"
