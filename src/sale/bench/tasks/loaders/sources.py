"""Every source of the bench: what makes its tasks, which files it is known by, and where it is on the hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from sale.bench.tasks.loaders import choice, code, gated, search
from sale.bench.tasks.loaders.hub import HubSet, hotpotqa_row, mmlu_row
from sale.bench.tasks.loaders.rows import Row
from sale.bench.tasks.schema import BenchTask, Split

MMLU_SUBJECTS = ("college_computer_science", "high_school_computer_science", "machine_learning", "computer_security")
MBPP_TEST = range(11, 511)
"""MBPP's own test tasks, by number; up to 10 they are examples for prompts, above 510 for training and validation."""


class TaskMaker(Protocol):
    """A row to a task; see the functions of the loaders."""

    def __call__(self, row: Row, *, split: Split) -> BenchTask:
        """The task."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSource:
    """One source."""

    name: str
    """The source its tasks carry."""
    make: TaskMaker
    folder: str
    """Its folder where several sources lie side by side."""
    files: Mapping[Split, tuple[str, ...]]
    """The files it is known by, the fullest first. A source without a dev split of its own names none for it."""
    hub: HubSet | None = None
    belongs: Callable[[Row, Split], bool] | None = None
    """Returns whether a row is of a split, where one file holds both."""


def _mmlu_belongs(row: Row, split: Split) -> bool:
    return (row.get("split", "test") == "test") == (split == "test")


def _mbpp_belongs(row: Row, split: Split) -> bool:
    number = row.get("task_id")
    if not isinstance(number, int):
        return True  # a fault, which the loader names
    return number in MBPP_TEST if split == "test" else number >= MBPP_TEST.stop


_TEST_ONLY: Mapping[Split, tuple[str, ...]] = MappingProxyType({"test": ("test",)})

_MMLU = TaskSource(
    name="mmlu",
    make=choice.mmlu,
    folder="mcq",
    files={"test": ("mmlu_cs.jsonl",), "dev": ("mmlu_cs.jsonl",)},
    belongs=_mmlu_belongs,
    hub=HubSet(
        repository="cais/mmlu",
        configs=MMLU_SUBJECTS,
        splits={"test": ("test",), "dev": ("dev", "validation")},
        columns=("question", "subject", "choices", "answer"),
        adapt=mmlu_row,
    ),
)
_JAVASCRIPT = TaskSource(
    name="javascript", make=choice.javascript, folder="mcq", files={"test": ("javascript_questions.jsonl",)}
)
_MBPP = TaskSource(
    name="mbpp",
    make=code.mbpp,
    folder="mbpp",
    files={"test": ("sanitized-mbpp.json",), "dev": ("sanitized-mbpp.json",)},
    belongs=_mbpp_belongs,
    hub=HubSet(
        repository="google-research-datasets/mbpp",
        configs=("sanitized",),
        splits={"test": ("test",), "dev": ("train", "validation")},
        columns=("task_id", "prompt", "test_imports", "test_list"),
    ),
)
_HUMANEVAL = TaskSource(
    name="humaneval",
    make=code.humaneval,
    folder="humaneval",
    files={"test": ("HumanEval.jsonl",)},
    hub=HubSet(
        repository="openai/openai_humaneval",
        splits=_TEST_ONLY,
        columns=("task_id", "prompt", "entry_point", "test"),
    ),
)
_LEETCODE_HUB = HubSet(
    repository="newfacade/LeetCodeDataset",
    splits={"test": ("test",), "dev": ("train",)},
    columns=("task_id", "difficulty", "problem_description", "starter_code", "prompt", "entry_point", "test"),
)
_SIMPLEQA = TaskSource(
    name="simpleqa",
    make=search.simpleqa,
    folder="simpleqa",
    files={"test": ("simple_qa_test_set.csv",)},
    hub=HubSet(repository="basicv8vc/SimpleQA", splits=_TEST_ONLY, columns=("problem", "answer")),
)
_POPQA = TaskSource(
    name="popqa",
    make=search.popqa,
    folder="popqa",
    files={"test": ("popQA.tsv", "test.tsv", "popqa_merged.jsonl", "popqa_hipporag2_1000_with_paragraphs.json")},
    hub=HubSet(repository="akariasai/PopQA", splits=_TEST_ONLY, columns=("question", "obj", "possible_answers")),
)
_HOTPOTQA = TaskSource(
    name="hotpotqa",
    make=search.hotpotqa,
    folder="hotpotqa",
    files={
        "test": ("hotpot_dev_distractor_v1.json", "hotpot_dev_distractor_first300.jsonl"),
        "dev": ("hotpot_train_v1.1.json", "hotpotqa_train100_distractor.json"),
    },
    hub=HubSet(
        repository="hotpotqa/hotpot_qa",
        configs=("distractor",),
        splits={"test": ("validation",), "dev": ("train",)},
        columns=("id", "question", "answer", "supporting_facts"),
        adapt=hotpotqa_row,
    ),
)
_GAIA = TaskSource(
    name="gaia",
    make=gated.gaia,
    folder="gaia",
    files={"test": ("2023/validation/metadata.parquet", "2023/validation/metadata.jsonl", "metadata.jsonl")},
    hub=HubSet(
        repository="gaia-benchmark/GAIA",
        configs=("2023_all",),
        splits={"test": ("validation",)},
        columns=("task_id", "Question", "Final answer", "file_name", gated.METADATA),
        gated=True,
    ),
)
_HLE = TaskSource(
    name="hle",
    make=gated.hle,
    folder="hle",
    files={"test": ("data/test-00000-of-00001.parquet", "test.parquet", "test.jsonl")},
    hub=HubSet(
        repository="cais/hle",
        splits=_TEST_ONLY,
        columns=("id", "question", "image", "answer", "answer_type", "category"),
        gated=True,
    ),
)


def _leetcode(difficulty: str) -> TaskSource:
    tests = ("LeetCodeDataset-test.jsonl", "LeetCodeDataset-v0.3.1-test.jsonl")
    return TaskSource(
        name=f"leetcode-{difficulty}",
        make=code.leetcode,
        folder="leetcode",
        files={"test": tests, "dev": tuple(name.replace("-test", "-train") for name in tests)},
        hub=_LEETCODE_HUB,
    )


SOURCES: Mapping[str, tuple[TaskSource, ...]] = MappingProxyType(
    {
        "simpleqa": (_SIMPLEQA,),
        "popqa": (_POPQA,),
        "hotpotqa": (_HOTPOTQA,),
        "gaia": (_GAIA,),
        "hle": (_HLE,),
        "coding-mcq": (_MMLU, _JAVASCRIPT),
        "mmlu": (_MMLU,),
        "javascript": (_JAVASCRIPT,),
        "mbpp": (_MBPP,),
        "leetcode-medium": (_leetcode("medium"),),
        "leetcode-hard": (_leetcode("hard"),),
        "humaneval": (_HUMANEVAL,),
    }
)
"""The sources that can be loaded, by name. `coding-mcq` stands for two sets, which can be loaded apart."""
