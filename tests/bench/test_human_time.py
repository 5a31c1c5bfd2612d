"""Success against human time: fits against scikit-learn's, tables by hand, and the committed aggregates."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from benchmarks.published.horizon import fit_logistic, horizon
from benchmarks.published.human_time import (
    PAIRS,
    MetrRun,
    SweRow,
    human_time,
    main,
    metr,
    read_rows,
    swe_models,
    swe_ratios,
    swe_table,
    write,
)
from sale.bench.stats import Resampling
from sale.errors import InputError, OutputError

FAST = Resampling(seed=1, resamples=300)
DATA = os.environ.get("SALE_BENCH_DATA")
COMMITTED = Path(__file__).parents[2] / "benchmarks" / "records" / "human_time.json"


def synthetic(tasks: int, slope: float, at: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minutes, successes and runs of an agent with a horizon of `at` minutes."""
    rng = np.random.default_rng(seed)
    minutes = np.exp2(rng.uniform(0, 10, tasks))
    chance = 1 / (1 + np.exp(-slope * (np.log2(minutes) - np.log2(at))))
    return minutes, rng.binomial(8, chance).astype(float), np.full(tasks, 8.0)


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 1.0])
def test_the_fit_is_scikit_learns(penalty: float) -> None:
    minutes, solved, tried = synthetic(40, -0.6, 20)
    x = np.log2(minutes)
    intercept, slope = fit_logistic(x, solved[None], tried[None], penalty)
    weights = np.concatenate([solved, tried - solved]) / tried.sum()
    theirs = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=1000).fit(
        np.concatenate([x, x])[:, None], np.repeat([1, 0], len(x)), sample_weight=weights
    )
    assert intercept[0] == pytest.approx(theirs.intercept_[0], abs=1e-4)
    assert slope[0] == pytest.approx(theirs.coef_[0][0], abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_fit_is_the_optimum_whatever_the_data(data: st.DataObject) -> None:
    """Separable and lopsided data too: the gradient vanishes."""
    x = np.array(data.draw(st.lists(st.floats(-3, 10), min_size=2, max_size=8)))
    solved = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(x), max_size=len(x))), dtype=float)
    intercept, slope = fit_logistic(x, solved[None], np.full((1, len(x)), 3.0))
    if solved.sum() in {0, 3 * len(x)}:
        assert np.isnan(slope[0])
        return
    left = solved - 3 / (1 + np.exp(-intercept[0] - slope[0] * x))
    assert left.sum() / (3 * len(x)) == pytest.approx(0, abs=1e-6)
    assert (left * x).sum() / (3 * len(x)) - 0.1 * slope[0] == pytest.approx(0, abs=1e-5)


def test_the_horizon_is_found_again() -> None:
    minutes, solved, tried = synthetic(400, -0.6, 20)
    found = horizon(minutes, solved, tried, FAST)
    assert found is not None
    assert found.minutes is not None
    assert found.minutes.value == pytest.approx(20, rel=0.2)
    assert found.minutes.low is not None
    assert found.minutes.high is not None
    assert found.minutes.low < found.minutes.value < found.minutes.high


def test_alike_tasks_are_one_piece_of_evidence() -> None:
    minutes, solved, tried = synthetic(20, -0.6, 20)
    times, right, all_ = (np.repeat(one, 4) for one in (minutes, solved, tried))
    plain = horizon(times, right, all_, FAST)
    family = horizon(times, right, all_, FAST, families=np.repeat(np.arange(20), 4).tolist())
    alone = horizon(minutes, solved, tried, FAST)
    assert plain is not None
    assert family is not None
    assert alone is not None
    assert family.minutes is not None
    assert plain.minutes is not None
    assert alone.minutes is not None
    assert family.minutes.tasks == 20
    assert (family.minutes.low, family.minutes.high) == pytest.approx((alone.minutes.low, alone.minutes.high))
    assert plain.minutes.low is not None
    assert family.minutes.low is not None
    assert plain.minutes.low > family.minutes.low


def test_no_horizon_is_made_up() -> None:
    minutes = np.array([1.0, 2.0, 4.0, 8.0])
    ones = np.ones(4)
    assert horizon(minutes, np.zeros(4), ones, FAST) is None
    assert horizon(minutes, ones, ones, FAST) is None
    rising = horizon(minutes, np.array([0.0, 0.0, 1.0, 1.0]), ones, FAST)
    assert rising is not None
    assert rising.minutes is None
    beyond = horizon(minutes, np.array([1.0, 0.9, 0.9, 0.9]), ones, FAST)
    assert beyond is not None
    assert beyond.minutes is None
    with pytest.raises(ValueError, match="above 0"):
        horizon(np.array([0.0]), ones[:1], ones[:1], FAST)
    with pytest.raises(ValueError, match="tried"):
        horizon(minutes, 2 * ones, ones, FAST)


def run(task: str, minutes: float, score: int, alias: str = "o1") -> MetrRun:
    return MetrRun.model_validate(
        {
            "task_id": task,
            "task_family": task[0],
            "alias": alias,
            "human_minutes": minutes,
            "score_binarized": score,
            "invsqrt_task_weight": 0.1,
        }
    )


def test_runs_of_a_task_are_averaged_before_tasks_are() -> None:
    runs = [run("a", 2, 1), run("a", 2, 1), run("a", 2, 0), run("a", 2, 1), run("b", 100, 0), run("c", 5, 1, "human")]
    (found,) = metr(runs, FAST)
    assert (found["model"], found["tasks"], found["runs"]) == ("o1", 2, 5)
    assert found["pass_at_1"].value == pytest.approx(0.375)
    assert [(row["bin"], row["pass_at_1"].value) for row in found["by_bin"]] == [
        ("≤ 2.5 min", 0.75),
        ("60–300 min", 0.0),
    ]


def swe(model: str, task: str, resolved: bool, cost: float, time: str = "<15 min fix", ok: bool = True) -> SweRow:
    return SweRow.model_validate(
        {
            "instance_id": task,
            "model": model,
            "resolved": resolved,
            "cost_usd": cost,
            "api_calls": 10,
            "human_time_estimate": time,
            "headline_consistent": ok,
        }
    )


SMALL, LARGE = PAIRS[0]
ROWS = [
    swe(LARGE, "x", True, 4.0),
    swe(LARGE, "y", True, 6.0, ">4 hours"),
    swe(LARGE, "z", True, 2.0, "1-4 hours"),
    swe(SMALL, "y", False, 1.0, ">4 hours"),
    swe(SMALL, "x", True, 1.0),
    swe(SMALL, "z", True, 1.0, "1-4 hours"),
    swe("broken", "x", True, 0.0, ok=False),
]


def test_the_table_leaves_out_models_that_contradict_themselves() -> None:
    table = swe_table(ROWS)
    assert table.models == (SMALL, LARGE)
    assert table.left_out == ("broken",)
    assert table.bins == ("≤ 15 min", "> 60 min", "> 60 min")
    assert table.dollars.tolist() == [[1, 4], [1, 6], [1, 2]]


def test_ratios_by_hand() -> None:
    (found,) = swe_ratios(swe_table(ROWS), FAST)
    assert (found["small"], found["large"]) == (SMALL, LARGE)
    assert [(row["bin"], row["success"].value, row["dollars"].value) for row in found["by_bin"]] == [
        ("≤ 15 min", 1.0, 0.25),
        ("> 60 min", 0.5, 0.25),
    ]


def test_figures_of_a_model_by_hand() -> None:
    small, _ = swe_models(swe_table(ROWS), FAST)
    assert small["pass_at_1"].value == pytest.approx(2 / 3)
    assert small["dollars_per_solved"].value == pytest.approx(1.5)
    assert [row["tasks"] for row in small["by_bin"]] == [1, 2]


def test_a_model_that_solves_nothing_has_no_price_of_success() -> None:
    (found,) = swe_models(swe_table([swe("m", "x", False, 1.0), swe("m", "y", False, 2.0)]), FAST)
    assert found["dollars_per_solved"] is None
    assert found["pass_at_1"].how == "wilson"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([swe("m", "x", True, 1), swe("m", "x", True, 1)], "twice"),
        ([swe("m", "x", True, 1), swe("n", "y", True, 1)], "same tasks"),
        ([swe("m", "x", True, 1, ok=False)], "no model"),
    ],
)
def test_a_table_with_holes_is_refused(rows: list[SweRow], said: str) -> None:
    with pytest.raises(InputError, match=said):
        swe_table(rows)


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(run("a", 1, 1).model_dump_json() + "\n" + '{"task_id": "a"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="MetrRun") as caught:
        read_rows(path, MetrRun)
    assert caught.value.where == f"{path}:2"
    path.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="no records"):
        read_rows(path, MetrRun)


def test_missing_records_end_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "routers" / "swebench_bash_only").mkdir(parents=True)
    result = CliRunner().invoke(main, ["--data", str(tmp_path), "--out", str(tmp_path / "out.json")])
    assert result.exit_code == 1
    assert "METR" in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out.json").exists()


def test_small_records_give_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "metr_human_time").mkdir()
    (tmp_path / "routers" / "swebench_bash_only").mkdir(parents=True)
    runs = [run(f"{number % 3}{number}", 2.0**number, int(number < 5)) for number in range(10)]
    lines = "\n".join(one.model_dump_json() for one in runs)
    (tmp_path / "metr_human_time" / "all_runs.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "routers" / "swebench_bash_only" / "per_instance.jsonl").write_text(
        "\n".join(row.model_dump_json() for row in ROWS), encoding="utf-8"
    )
    found = human_time(tmp_path, FAST)
    write(found, tmp_path / "one.json")
    write(human_time(tmp_path, FAST), tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    read = json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))
    assert read["swebench"]["left_out"] == ["broken"]
    assert 8 < read["metr"]["models"][0]["horizon"]["value"] < 32
    with pytest.raises(OutputError, match="cannot be written"):
        write(found, tmp_path / "nowhere" / "out.json")


def test_the_committed_aggregates_agree_with_the_published_horizons() -> None:
    models = {row["model"]: row for row in json.loads(COMMITTED.read_text(encoding="utf-8"))["metr"]["models"]}
    compared = [row for row in models.values() if row["horizon"] is not None]
    assert len(compared) == 8
    assert all(row["published_in_ours"] for row in compared)
    assert sum(row["ours_in_published"] for row in compared) >= 7


@pytest.mark.skipif(DATA is None, reason="needs the public records: set SALE_BENCH_DATA")
def test_the_committed_aggregates_come_from_the_records(tmp_path: Path) -> None:
    assert DATA is not None
    write(human_time(Path(DATA)), tmp_path / "again.json")
    committed, again = (json.loads(path.read_text(encoding="utf-8")) for path in (COMMITTED, tmp_path / "again.json"))
    _same(again, committed, "")


def _same(one: Any, other: Any, at: str) -> None:
    """Equal but for the last digits of numbers, which are the machine's."""
    assert type(one) is type(other), at
    if isinstance(one, dict):
        assert list(one) == list(other), at
        for key in one:
            _same(one[key], other[key], f"{at}/{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), at
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            _same(left, right, f"{at}/{place}")
    else:
        assert one == (pytest.approx(other, rel=1e-4) if isinstance(one, float) else other), at
