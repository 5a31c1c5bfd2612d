"""Functions and classes to write, judged by running tests: MBPP, HumanEval, LeetCode."""

from __future__ import annotations

from sale.bench.tasks.loaders.rows import Row, UnusableRowError, field, place, required_text, text, texts
from sale.bench.tasks.loaders.times import by_source
from sale.bench.tasks.schema import BenchTask, HumanTime, Split
from sale.errors import InputError

NOT_IN_HST_BENCH = "HST-Bench has no tasks of this source, and nobody has timed it: not binned"
LEETCODE_LICENCE = "MIT and Apache-2.0 (LeetCodeDataset); the statements are LeetCode's: for research and evaluation"


def mbpp(row: Row, *, split: Split) -> BenchTask:
    """A task of MBPP, sanitized (Austin et al. 2021).

    As is usual, the prompt shows the first test, which gives away name and signature, and the answer is judged by all.

    Args:
        row: `task_id`, `prompt`, `test_imports`, `test_list`.
        split: What the task is for.

    Raises:
        InputError: A field is missing or of the wrong kind; the message names it.
        UnusableRowError: There is no prompt, or no test.
    """
    where = place("mbpp", row, "task_id")
    tests = texts(row, "test_list", where)
    if not tests or not all(test.strip() for test in tests):
        raise UnusableRowError("it has no tests, or an empty one", where=where)
    asked = required_text(row, "prompt", where).strip()
    example = tests[0].strip()
    return BenchTask(
        id=f"mbpp/{_own_id(row, where)}",
        domain="coding",
        source="mbpp",
        split=split,
        kind="tests",
        prompt=f"{asked}\n\nWrite it in Python. It must pass this test, among others:\n\n```python\n{example}\n```",
        tests="\n".join([*texts(row, "test_imports", where), *tests]) + "\n",
        time=by_source("mbpp"),
        licence="CC BY 4.0",
    )


def humaneval(row: Row, *, split: Split) -> BenchTask:
    """A task of HumanEval (Chen et al. 2021), which HST-Bench does not use.

    The whole beginning is the prelude, too: an answer may leave out its imports and helper functions, or be the body
    alone.

    Args:
        row: `task_id` (`HumanEval/0`), `prompt`, `entry_point`, `test`.
        split: What the task is for.

    Raises:
        InputError: A field is missing or of the wrong kind; the message names it.
        UnusableRowError: One of them is empty.
    """
    where = place("humaneval", row, "task_id")
    begun = required_text(row, "prompt", where).rstrip()
    shown = begun.lstrip("\n")
    test = required_text(row, "test", where).strip("\n")
    return BenchTask(
        id=f"humaneval/{required_text(row, 'task_id', where).removeprefix('HumanEval/')}",
        domain="coding",
        source="humaneval",
        split=split,
        kind="tests",
        prompt=f"Complete this Python function. Hand in the whole function:\n\n```python\n{shown}\n```",
        tests=f"{test}\n\ncheck({required_text(row, 'entry_point', where)})\n",
        prelude=f"{begun}\n",
        time=HumanTime(provenance=NOT_IN_HST_BENCH),
        licence="MIT",
    )


def leetcode(row: Row, *, split: Split) -> BenchTask:
    """A problem of LeetCodeDataset (Xia et al. 2025): `leetcode-medium` or `leetcode-hard`, by its difficulty.

    Args:
        row: `task_id`, `difficulty`, `problem_description`, `starter_code`, `prompt` (imports and helper classes, not
            what is asked), `entry_point`, `test`.
        split: What the task is for.

    Raises:
        InputError: A field is missing or of the wrong kind; the message names it.
        UnusableRowError: It is easy, which HST-Bench does not use, or lacks statement or tests.
    """
    where = place("leetcode", row, "task_id")
    difficulty = text(row, "difficulty", where)
    if difficulty == "Easy":
        raise UnusableRowError("it is easy: HST-Bench has medium and hard problems only", where=where)
    if difficulty not in {"Medium", "Hard"}:
        raise InputError(f"the field 'difficulty' must be Easy, Medium or Hard, got {difficulty!r}", where=where)
    source = f"leetcode-{difficulty.lower()}"
    statement = required_text(row, "problem_description", where).strip()
    starter = required_text(row, "starter_code", where).rstrip()
    test = required_text(row, "test", where).strip("\n")
    return BenchTask(
        id=f"{source}/{required_text(row, 'task_id', where)}",
        domain="coding",
        source=source,
        split=split,
        kind="tests",
        prompt=f"{statement}\n\nWrite it in Python. Hand in the whole class. It begins:\n\n```python\n{starter}\n```",
        tests=f"{test}\n\ncheck({required_text(row, 'entry_point', where)})\n",
        prelude=text(row, "prompt", where),
        time=by_source(source),
        licence=LEETCODE_LICENCE,
    )


def _own_id(row: Row, where: str) -> int:
    number = field(row, "task_id", where)
    if not isinstance(number, int):
        raise InputError(f"the field 'task_id' must be a whole number, got {number!r:.80}", where=where)
    return number
