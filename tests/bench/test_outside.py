"""Outside tables: folds by repository, checks on the same luck, mixtures by hand, and a page like its CSV files."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.outside.__main__ import END, OUT, PAGE, main, write
from benchmarks.outside.contenders import (
    PASSES,
    REFUSALS,
    STATED,
    WEAKER,
    WORTHS,
    afterwards,
    entry_of,
    learnt_entries,
    reference_lines,
    surface,
    verdicts,
    with_check,
    without_check,
)
from benchmarks.outside.measures import above_mixtures, accounts, measured, reaches
from benchmarks.outside.report import (
    afterwards_table,
    answer_line,
    check_table,
    loss_table,
    orders_line,
    reach_table,
    router_table,
)
from benchmarks.outside.tables import SOURCES, group_folds, right_or_wrong, without_cheapest
from sale.bench.routers.attempts import CheckTerms
from sale.bench.routers.fixed import SingleAgent
from sale.bench.routers.protocol import OutcomeTable
from tests.bench.routers.tables import FEATURES, separable, table_of

HEADS = ("routers", "checks", "attempts", "losses", "afterwards")


def pool(tasks: int = 300, seed: int = 0) -> OutcomeTable:
    """A cheap agent that solves six of ten, and one eight times as dear that solves eight; twelve repositories."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=(tasks, 1))
    chance = 1.0 / (1.0 + np.exp(hard - np.array([0.5, 1.7, 1.0])))
    good = (rng.random((tasks, 3)) < chance).astype(float)
    dollars = np.array([0.1, 0.8, 0.9]) * rng.uniform(0.5, 1.5, (tasks, 3))
    return replace(table_of(good), dollars=dollars, groups=tuple(f"repository {task % 12}" for task in range(tasks)))


def test_repositories_stay_whole_and_folds_even() -> None:
    groups = ["large"] * 40 + ["a"] * 20 + ["b"] * 20 + ["c"] * 19 + ["d"] * 10 + ["e"]
    parts = group_folds(groups)
    assert sorted(len(held) for _, held in parts) == [10 + 1, 19, 20, 20, 40]
    names = np.array(groups)
    for train, held in parts:
        assert set(names[train]).isdisjoint(names[held])
        assert len(train) + len(held) == len(groups)
    assert len(group_folds(["one", "two"])) == 2


def test_graded_outcomes_become_yes_or_no() -> None:
    assert right_or_wrong(table_of([[0.5, 0.49]])).success.tolist() == [[1, 0]]
    assert without_cheapest(table_of([[0.0, 1.0, 0.0]])).agents == ("agent-1", "agent-2")


def test_a_worse_check_is_wrong_wherever_a_better_one_is() -> None:
    right = np.random.default_rng(0).random((4000, 5)) < 0.6
    truth = np.where(right, 1.0, -1.0)
    wrong = [verdicts(right, CheckTerms(false_pass=p, false_fail=f), 3) != truth for p, f in ((0.1, 0.1), (0.3, 0.2))]
    assert not wrong[0][~wrong[1]].any()
    assert wrong[1][~right].mean() == pytest.approx(0.3, abs=0.02)
    assert wrong[1][right].mean() == pytest.approx(0.2, abs=0.02)
    assert not (verdicts(right, CheckTerms(), 3) != truth).any()
    assert (verdicts(right, STATED, 3) != verdicts(right, STATED, 4)).any()


def test_a_mixture_lies_on_the_line_of_mixtures_and_what_knows_more_above() -> None:
    table = pool()
    alone = [entry_of("a", [(table, SingleAgent(place).route(table))]) for place in (0, 1)]
    half = replace(
        alone[0],
        success=(alone[0].success + alone[1].success) / 2,
        dollars=(alone[0].dollars + alone[1].dollars) / 2,
    )
    for one in (*alone, half):
        found = above_mixtures(one, table)
        assert found is not None
        assert found.difference.value == pytest.approx(0.0, abs=1e-9)
    oracle = above_mixtures(reference_lines(table)[-1], table)
    assert oracle is not None
    assert oracle.difference.low is not None
    assert oracle.difference.low > 0.1
    wasted = above_mixtures(replace(alone[0], dollars=alone[1].dollars), table)
    assert wasted is not None
    assert wasted.difference.high is not None
    assert wasted.difference.high < 0.0


def test_a_good_check_lets_the_cheap_agent_try_first() -> None:
    table = pool()
    sure = with_check(table, CheckTerms(price=0.02), seeds=2)
    one = measured(sure.entry, table)
    assert one.as_good
    assert one.cheaper
    assert one.gained.difference.value > 0.0
    assert all(order[0] == "agent-0" for order in sure.orders)
    assert len(sure.orders) == 2 * 5
    # With the price at which all costs as much as the best agent, it does.
    dearer = replace(sure.entry, dollars=sure.entry.dollars + (one.then - 0.02) * sure.entry.looked)
    assert dearer.dollars.sum() == pytest.approx(table.dollars[:, 1].sum())
    assert measured(without_check(table), table).entry.looked.sum() == 0.0


def test_who_does_what_the_best_agent_does_does_not_pay() -> None:
    table = pool()
    same = with_check(table, CheckTerms(false_pass=1.0, false_fail=0.5, price=0.02), seeds=3)
    assert set(same.orders) == {("agent-1",)}
    one = measured(replace(same.entry, dollars=same.entry.dollars * (1.0 - 1e-15)), table)
    assert one.as_good
    assert not one.cheaper


def test_every_task_lost_is_accounted_for() -> None:
    table = pool()
    found = with_check(table, STATED, seeds=3)
    kept = accounts(found, table)
    assert next(iter(kept)) == "all"
    assert len(kept) == 13
    for one in kept.values():
        assert one.market == pytest.approx(one.best - one.passed_wrong - one.refused_right - one.unsolved + one.won)
    assert kept["all"].passed_wrong > 0.0
    whole, parts = kept.pop("all"), kept.values()
    assert sum(one.market_dollars for one in parts) == pytest.approx(whole.market_dollars)
    sure = accounts(with_check(table, CheckTerms(price=0.02), seeds=1), table)["all"]
    assert (sure.passed_wrong, sure.refused_right) == (0.0, 0.0)


def test_how_far_tasks_went_adds_up() -> None:
    table = pool()
    found = with_check(table, STATED, seeds=3)
    parts = reaches(found, table)
    assert [(one.called, one.solved) for one in parts] == sorted(
        ((one.called, one.solved) for one in parts), key=lambda part: (part[0], not part[1])
    )
    assert {one.called for one in parts} == {1, 2, 3}
    assert sum(one.tasks for one in parts) == pytest.approx(len(table))
    assert sum(one.tasks for one in parts if one.solved) == pytest.approx(found.entry.success.sum())
    assert sum(one.market_dollars for one in parts) == pytest.approx(found.entry.dollars.sum())
    assert sum(one.best for one in parts) == pytest.approx(table.success[:, 1].sum())
    assert sum(one.best_dollars for one in parts) == pytest.approx(table.dollars[:, 1].sum())
    sheet = reach_table("x", SOURCES["swe-bench"], table, found)
    assert sum(float(row[5]) for row in sheet.rows) == pytest.approx(100.0, abs=3.0)
    assert sheet.rows[0][0] == "1, solved"


def test_tables_and_the_line_that_answers() -> None:
    table, source = pool(), SOURCES["swe-bench"]
    checked = surface(table, seeds=1)
    assert len(checked) == len(PASSES) * len(REFUSALS)
    stated = next(one for one in checked if one.check == STATED)
    sheet = check_table("x", source, table, checked)
    assert len(sheet.rows) == len(checked)
    assert all(len(row) == len(sheet.head) for row in sheet.rows)
    assert answer_line(measured(stated.entry, table)).startswith(("**Yes.**", "**No.**"))
    assert "agent-0" in orders_line(stated)
    entries = [*reference_lines(table), without_check(table), stated.entry]
    assert len(router_table("x", source, table, entries).rows) == 6
    later = afterwards_table("x", source, table, afterwards(table, seeds=1))
    assert [row[0] for row in later.rows[1:4]] == [
        "match, without its margin",
        "match, two attempts",
        "match, judged on whole repositories",
    ]
    spent = [float(row[2].split()[0]) for row in later.rows[4 : 4 + len(WORTHS)]]
    assert spent == sorted(spent), "the more a solved task is worth, the more is spent"
    weaker = [row[0] for row in later.rows[4 + len(WORTHS) :]]
    assert weaker == [f"match, check {100 * passes:.0f}/{100 * refuses:.0f}" for passes, refuses in WEAKER]
    assert loss_table("x", source, table, stated).rows[0][0] == "all"


def test_routers_are_kept_by_table(tmp_path: Path) -> None:
    table = replace(separable(60, 1), groups=tuple(f"r{task % 6}" for task in range(60)), answers=None)
    said: list[str] = []
    first = list(learnt_entries(table, FEATURES, ["wtp-knn"], tmp_path, said.append))
    again = list(learnt_entries(table, FEATURES, ["wtp-knn"], tmp_path, said.append))
    assert said == ["WTP k-NN …"], "the second time it is read"
    assert np.array_equal(first[0].success, again[0].success)
    other = replace(table, success=1.0 - table.success)
    list(learnt_entries(other, FEATURES, ["wtp-knn"], tmp_path, said.append))
    assert len(said) == 2


def test_without_a_folder_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SALE_BENCH_DATA", raising=False)
    assert main(["swe-bench"]) == 1
    assert "set SALE_BENCH_DATA" in capsys.readouterr().err
    assert main(["swe-bench", "--data", "/nowhere"]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_the_page_says_what_its_tables_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for key in SOURCES:
        part = page.split(f"<!-- {key} -->\n")[1].split(END)[0]
        cells = {tuple(cell.strip() for cell in line.strip("|").split("|")) for line in part.splitlines()}
        for head in HEADS:
            with (OUT / f"{key}-{head}.csv").open(encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))
            assert len(rows) > 3
            assert {tuple(row) for row in rows} <= cells, f"python -m benchmarks.outside {key}"


def test_a_part_of_the_page_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.outside.__main__.OUT", tmp_path)
    with pytest.raises(Exception, match="there is no '<!-- nothing -->'"):
        write("nothing", "text", {})
