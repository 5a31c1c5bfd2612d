"""The shipped set: what it holds, that it is what the manifest says, and that its tasks can be solved."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from sale.bench.tasks import hst_open as shipped
from sale.bench.tasks.files import parse_tasks, read_tasks, write_tasks
from sale.bench.tasks.hst_open import hst_open, manifest
from sale.bench.tasks.schema import BIN_EDGES, BenchTask, HumanTime, bin_of
from sale.errors import InputError, ModelFileError


def test_it_has_enough_of_each() -> None:
    counts = Counter((task.domain, task.split) for task in hst_open())
    assert counts["coding", "test"] >= 120
    assert counts["search", "test"] >= 100
    assert min(counts["coding", "dev"], counts["search", "dev"]) >= 40


def test_manifest_and_tasks_agree() -> None:
    for key, part in manifest()["tasks"].items():
        domain, split = key.split()
        assert Counter(task.source for task in hst_open(domain=domain, split=split)) == part
    named = set(manifest()["sources"])
    assert {task.source for task in hst_open()} <= named
    assert all(one["licence"] and one["attribution"] for one in manifest()["sources"].values())


def test_no_question_is_in_two_splits() -> None:
    prompts = Counter(task.prompt for task in hst_open())
    assert set(prompts.values()) == {1}
    assert len({task.id for task in hst_open()}) == len(hst_open())


def test_no_time_is_invented() -> None:
    for task in hst_open():
        assert task.time.minutes is None
        assert "by source" in task.time.label or task.time.label == "not binned"


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (shipped.TASKS, shipped.CORPUS, shipped.MANIFEST):
        (tmp_path / name).write_bytes((shipped.folder() / name).read_bytes())
    with (tmp_path / shipped.TASKS).open("a") as file:
        file.write("\n")
    monkeypatch.setattr(shipped, "folder", lambda: tmp_path)
    with pytest.raises(ModelFileError, match="manifest"):
        hst_open()


@pytest.mark.parametrize(("minutes", "place"), [(0.05, 0), (0.1, 0), (0.11, 1), (2.5, 2), (12.5, 3), (60.0, 4)])
def test_bins(minutes: float, place: int) -> None:
    assert bin_of(minutes) == place
    assert HumanTime(minutes=minutes, people=3, bins=(place,), provenance="x").label == f"≤ {BIN_EDGES[place]:g}"


@pytest.mark.parametrize("minutes", [0, -1, 60.01, float("nan"), float("inf")])
def test_times_outside_the_bins(minutes: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        bin_of(minutes)


def test_task_files(tmp_path: Path) -> None:
    tasks = hst_open(domain="search", split="dev")
    write_tasks(tasks, tmp_path / "tasks.jsonl")
    assert read_tasks(tmp_path / "tasks.jsonl") == tasks
    line = tasks[0].model_dump_json()
    with pytest.raises(InputError, match="twice") as caught:
        parse_tasks(f"{line}\n{line}\n", "f")
    assert caught.value.where == "f:2"
    broken = json.dumps(json.loads(line) | {"kind": "tests"})
    with pytest.raises(InputError, match="needs tests"):
        parse_tasks(broken, "f")
    with pytest.raises(InputError, match="no tasks"):
        parse_tasks("\n", "f")


def test_a_question_about_code_asks_for_no_code() -> None:
    for task in hst_open(domain="coding"):
        assert isinstance(task, BenchTask)
        assert (task.task.domain == "coding") == (task.kind == "tests")
