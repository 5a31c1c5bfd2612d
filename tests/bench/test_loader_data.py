"""The real sources, whole: how many tasks each gives, and that reference solutions pass their tests.

SALE_BENCH_DATA names the directory that holds a folder for each source.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sale.agents.tools.bubblewrap import find_bwrap
from sale.agents.tools.sandbox import find_sandbox
from sale.bench.judging import options_of, verifier_of
from sale.bench.tasks.load import AGAIN, load
from sale.bench.tasks.loaders import code
from sale.bench.tasks.schema import BenchTask, Split

# Read before the environment is changed; the path may be relative to where the tests were started.
DATA = Path(os.environ["SALE_BENCH_DATA"]).absolute() if "SALE_BENCH_DATA" in os.environ else None
pytestmark = pytest.mark.skipif(DATA is None, reason="SALE_BENCH_DATA is not set: no directory with the real sources")
SAMPLE = 10


@pytest.fixture
def data() -> Path:
    assert DATA is not None
    return DATA


@pytest.mark.parametrize(
    ("source", "split", "count", "dropped"),
    [
        ("simpleqa", "test", 4326, 0),
        ("popqa", "test", 3557, 0),
        ("hotpotqa", "test", 300, 0),
        ("hotpotqa", "dev", 100, 0),
        ("coding-mcq", "test", 412 + 155, 0),
        ("coding-mcq", "dev", 20, 0),
        ("mbpp", "test", 257, 0),
        ("mbpp", "dev", 163, 0),
        ("humaneval", "test", 164, 0),
        ("leetcode-medium", "test", 101, 48 + 79),
        ("leetcode-hard", "test", 79, 48 + 101),
    ],
)
def test_a_source_is_read_whole(data: Path, source: str, split: Split, count: int, dropped: int) -> None:
    loaded = load(source, path=data, split=split)
    assert len(loaded.tasks) == count
    assert sum(loaded.dropped.values()) == dropped
    assert len({task.id for task in loaded.tasks}) == count
    assert all(task.prompt.strip() and task.split == split for task in loaded.tasks)
    assert len({task.digest for task in loaded.tasks}) == count


def test_the_forms_of_popqa_agree_on_ids_and_the_fuller_has_evidence(data: Path) -> None:
    merged = {task.id: task for task in load("popqa", path=data).tasks}
    loaded = load("popqa", path=data / "popqa" / "popqa_hipporag2_1000_with_paragraphs.json")
    assert loaded.dropped == {AGAIN: 1}  # two people called Will Smith
    assert len(loaded.tasks) == 999
    for task in loaded.tasks:
        assert task.evidence
        assert merged[task.id].evidence
        assert {task.reference, *task.aliases} <= {merged[task.id].reference, *merged[task.id].aliases}


def test_the_form_of_hotpotqa_with_supporting_facts_names_its_evidence(data: Path) -> None:
    assert all(len(task.evidence) >= 2 for task in load("hotpotqa", path=data, split="dev").tasks)


def test_every_question_shows_its_options_and_no_others(data: Path) -> None:
    """What the judge reads off the prompt is what the source lists."""
    listed: dict[str, int] = {}
    for name, prefix in (("mmlu_cs.jsonl", "mmlu/"), ("javascript_questions.jsonl", "js/")):
        for line in (data / "mcq" / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            listed[row["id"].removeprefix(prefix)] = len(row["choices"])
    for task in load("coding-mcq", path=data).tasks:
        options = options_of(task)
        assert len(options) == listed[task.id.partition("/")[2]], task.id
        assert task.reference in options
        assert "".join(options) == "ABCDEFGH"[: len(options)]


def sampled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows[:: len(rows) // SAMPLE][:SAMPLE]


@pytest.mark.skipif(find_bwrap() is None, reason="bubblewrap is not installed")
class TestReferenceSolutions:
    async def judged(self, task: BenchTask, answer: str) -> tuple[str, str]:
        outcome = await verifier_of(task, sandbox=find_sandbox()).verify(task.task, answer)
        return outcome.verdict, f"{task.id}: {outcome.detail}"

    async def test_mbpp(self, data: Path) -> None:
        rows = json.loads((data / "mbpp" / "sanitized-mbpp.json").read_text(encoding="utf-8"))
        for row in sampled(rows):
            task = code.mbpp(row, split="test")
            verdict, detail = await self.judged(task, row["code"])
            assert verdict == "success", detail

    async def test_humaneval_whole_and_as_a_body(self, data: Path) -> None:
        text = (data / "humaneval" / "HumanEval.jsonl").read_text(encoding="utf-8")
        for row in sampled([json.loads(line) for line in text.splitlines()]):
            task = code.humaneval(row, split="test")
            for answer in (row["prompt"] + row["canonical_solution"], row["canonical_solution"]):
                verdict, detail = await self.judged(task, answer)
                assert verdict == "success", detail

    async def test_leetcode(self, data: Path) -> None:
        text = (data / "leetcode" / "LeetCodeDataset-v0.3.1-test.jsonl").read_text(encoding="utf-8")
        rows = [row for row in map(json.loads, text.split("\n")[:-1]) if row["difficulty"] != "Easy"]
        for row in sampled(rows):
            task = code.leetcode(row, split="test")
            verdict, detail = await self.judged(task, row["completion"])
            assert verdict == "success", detail

    async def test_an_answer_that_does_nothing_fails(self, data: Path) -> None:
        for source in ("mbpp", "humaneval", "leetcode-medium", "leetcode-hard"):
            verdict, detail = await self.judged(load(source, path=data, limit=1).tasks[0], "class Solution: pass")
            assert verdict == "failure", detail
