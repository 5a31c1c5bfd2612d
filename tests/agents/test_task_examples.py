"""Examples in a task's text: which are found, what counts as holding, and what a failure says."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.agents.task_examples import (
    MAX_CHARACTERS,
    TaskExamples,
    examples_of,
    functions_asked,
    prelude_of,
    run_examples,
)
from sale.agents.tools.bubblewrap import BubblewrapSandbox
from sale.agents.tools.runs import RunLimits
from sale.bench.tasks.hst_open import hst_open
from sale.types import Task

QUICK = RunLimits(cpu_seconds=2, wall_seconds=5)

MBPP = """Write a function to add one.

Write it in Python. It must pass this test, among others:

```python
assert f(1) == 2
```"""

HUMANEVAL = '''Complete this Python function. Hand in the whole function:

```python
from typing import List


def f(xs: List[int]) -> List[int]:
    """ Add one to each.
    >>> f([1, 2])
    [2, 3]
    >>> f([])
    []
    """
```'''


def found(text: str) -> list[tuple[str, str, str]]:
    examples = examples_of(text)
    return [] if examples is None else [(item.way, item.code, item.expected) for item in examples.items]


@pytest.mark.parametrize(
    ("text", "examples"),
    [
        (MBPP, [("equals", "f(1)", "2")]),
        (HUMANEVAL, [("shows", "f([1, 2])", "[2, 3]"), ("shows", "f([])", "[]")]),
        ("It must hold that:\nassert not f('a'), 'why'\n", [("true", "not f('a')", "f('a')")]),
        ("- `assert f(1)`", [("true", "f(1)", "f(1)")]),
        ("assert f(\n    1,\n    2,\n) == [\n    3,\n]\n", [("equals", "f(1, 2)", "[3]")]),
        (">>> f(1) == 2\n>>> f(3)\n4", [("equals", "f(1)", "2"), ("shows", "f(3)", "4")]),
        (">>> x = f(1)\n>>> x\n2", [("runs", "x = f(1)", ""), ("shows", "x", "2")]),
        (">>> for x in f(2):\n...     print(x)\n1\n2\n\nSo on.", [("shows", "for x in f(2):\n    print(x)", "1\n2")]),
        (">>> f(-1)\nTraceback (most recent call last):\n  ...\nKeyError: no", [("raises", "f(-1)", "KeyError: no")]),
        ('def f(x):\n    """One more.\n\n    >>> f(1)\n    2"""\n', [("shows", "f(1)", "2")]),
        ("def f(x):\n    '''\n    f(1) => 2\n    * f(2) ➞ 3\n    f(3) should return 4.\n    f(4) == 5\n    '''\n",
         [("shows", f"f({n})", str(n + 1)) for n in (1, 2, 3, 4)]),
        (">>> f(1)  # which is 2", []),
        (">>> print(f(1))\n2\n<BLANKLINE>\n3", [("shows", "print(f(1))", "2\n\n3")]),
    ],
)  # fmt: skip
def test_what_is_found(text: str, examples: list[tuple[str, str, str]]) -> None:
    assert found(text) == examples


@pytest.mark.parametrize(
    "text",
    [
        "Write a function that adds one.",
        ">>> 1 + 1\n2",  # nothing of the answer's is called
        ">>> x = [1]\n>>> x.append(2)\n>>> x\n[1, 2]",
        ">>> def f(x): return x\n>>> f(1)\n1",  # it brings its own function
        ">>> f(a)\n2",  # nobody says what a is
        "assert is_sorted(arr)",
        "```javascript\nassert f(1) == 2\n```",
        "f(2) = 4. What is f(3)?\nf(1) = 2",  # a sum, not a program
        ">>> f(1\n2",
        "The assert statement: assert that it is so.",
        "assert",
        ">>>",
    ],
)
def test_what_is_no_example(text: str) -> None:
    assert examples_of(text) is None


def test_the_function_to_complete_and_modules_are_found() -> None:
    examples = examples_of(HUMANEVAL)
    assert examples is not None
    assert examples.prelude.startswith("from typing import List")
    assert functions_asked(HUMANEVAL) == ("f",)
    assert examples_of(MBPP) is not None
    assert prelude_of(MBPP) == ""
    close = examples_of("assert math.isclose(f(1), 2.0)\n")
    assert close is not None
    assert close.modules == ("math",)
    assert functions_asked("Write a Python function double(x) that doubles.") == ("double",)
    assert functions_asked("Implement a function called `twice`.") == ("twice",)
    assert functions_asked("Write a function (in Python) that doubles.") == ()
    # Code that is whole is to be mended, not completed.
    assert prelude_of("Fix this:\n```python\ndef f(x):\n    return x\n```") == ""


def test_no_question_of_the_bench_passes_for_a_task_with_examples() -> None:
    with_examples = {task.kind for task in hst_open() if examples_of(task.prompt) is not None}
    assert with_examples == {"tests"}
    coding = [task for task in hst_open(domain="coding") if task.kind == "tests"]
    assert sum(examples_of(task.prompt) is not None for task in coding) == 104
    assert len(coding) == 111


@given(st.text(max_size=300) | st.lists(st.sampled_from(
    [">>> f(1)", "2", "assert f(1)", "```python", "```", '"""', "def f(x):", "   ", "f(1) => 2", "...", "(" * 200, "\0"]
)).map("\n".join))  # fmt: skip
def test_any_text_is_read(text: str) -> None:
    examples = examples_of(text)
    assert examples is None or len(examples.items) >= len(examples) > 0
    functions_asked(text)


def work_of_reading(text: str) -> int:
    """The work of reading a text: the lines that are run, and the characters that are parsed."""
    done, parse, before = 0, ast.parse, sys.gettrace()

    def count(_: FrameType, event: str, __: object) -> Any:
        nonlocal done
        done += event == "line"
        return count

    def parse_counted(source: str, *more: Any, **options: Any) -> Any:
        nonlocal done
        done += len(source)
        return parse(source, *more, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ast, "parse", parse_counted)
        sys.settrace(count)
        try:
            examples_of(text)
        finally:
            sys.settrace(before)
    return done


@pytest.mark.parametrize(
    ("start", "piece"),
    [("", "assert f(1"), ("", "assert f(\n"), ("f(", "=)"), ("", " "), ("", ">>> f(1)\n"), ("", "def f():\n")],
)
def test_reading_a_text_of_twice_the_length_is_twice_the_work(start: str, piece: str) -> None:
    count = MAX_CHARACTERS // len(piece) // 16
    once, twice = (work_of_reading(start + piece * times * count) for times in (1, 2))
    assert twice <= 2.5 * once, f"{once:,} and {twice:,}"


def test_what_is_beyond_the_limit_is_not_read() -> None:
    line = "def f():\n"
    whole = MAX_CHARACTERS // len(line)
    assert work_of_reading(line * whole * 10) <= 1.1 * work_of_reading(line * whole)


def shows(call: str, value: str) -> str:
    return f">>> {call}\n{value}\n"


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (shows("f(1)", "2"), "return 2"),
        (shows("f(1)", "0.3"), "return 0.1 + 0.2"),
        (shows("f(1)", "[0.3, {'a': 1}]"), "return [0.1 + 0.2, {'a': 1.0000000001}]"),
        (shows("f(1)", '"21"'), "return '21'"),
        (shows("f(1)", "{3, 1, 2}"), "return {1, 2, 3}"),
        (shows("f(1)", "{'b': 1, 'a': 2}"), "return {'a': 2, 'b': 1}"),
        (shows("f(1)", "None"), "return None"),
        (shows("f(1)", ""), "return None"),
        (shows("f(1)", "5"), "print('working'); return 5"),
        (shows("f(1)", "hello\nworld"), "print('hello'); print('world')"),
        (shows("f(1)", "Counter({'a': 2})"), "from collections import Counter; return Counter('aa')"),
        (shows("f(1)", "[1, ..., 9]"), "return list(range(1, 10))"),
        (shows("f(1)", "[1,   2,\n 3]"), "return [1, 2, 3]"),
        (shows("f(1)", "Traceback (most recent call last):\n  ...\nValueError: not 1"), "raise ValueError('not 1')"),
        (shows("f(1)", "Traceback (most recent call last):\n  ...\nValueError"), "raise ValueError('not 1')"),
        (">>> x = f(1)\n>>> x.append(2)\n>>> x\n[1, 2]\n", "return [1]"),
        ("assert f(1) == {'a': [1, 2]}", "return {'a': [1, 2]}"),
        ("assert math.isclose(f(1), 2.0)", "return 2.0"),
        ("assert all(math.isclose(a, 2.0) for a in f(1))", "return [2.0, 2.0]"),
        ("assert f(1)", "return 'yes'"),
    ],
)
async def test_what_holds(sandbox: BubblewrapSandbox, text: str, body: str) -> None:
    outcome = await TaskExamples(sandbox=sandbox, limits=QUICK).verify(Task(text=text), f"def f(x):\n    {body}")
    assert (outcome.verdict, outcome.judged_by, outcome.detail) == ("success", "the task's examples", "")


@pytest.mark.parametrize(
    ("text", "body", "detail"),
    [
        (shows("f(1)", "2"), "return 3", "f(1): expected 2, but got 3"),
        (shows("f(1)", "0.33"), "return 1 / 3", "f(1): expected 0.33, but got 0.3333333333333333"),
        (shows("f(1)", "(1, 2)"), "return [1, 2]", "f(1): expected (1, 2), but got [1, 2]"),
        (shows("f(1)", "'2'"), "return 2", "f(1): expected '2', but got 2"),
        (shows("f(1)", "None"), "print(None); return 5", "f(1): expected None, but got 5"),
        (shows("f(1)", ""), "return 5", "f(1): expected None, but got 5"),
        (shows("f(1)", "5"), "print('five')", "f(1): expected 5, but printed 'five\\n'"),
        (shows("f(1)", "hello"), "return 'hello'", "f(1): expected hello, but got 'hello'"),
        (shows("f(1)", "2"), "return x.y", "f(1): expected 2, but raised AttributeError: 'int' object has no"),
        (shows("f(1)", "2"), "raise SystemExit", "f(1): expected 2, but raised SystemExit"),
        (shows("f(1)", "2"), "return f(x)", "f(1): expected 2, but raised RecursionError: maximum recursion depth"),
        (shows("f(1)", "Traceback (most recent call last):\nValueError: a"), "raise ValueError('b')",
         "f(1): expected ValueError: a to be raised, but raised ValueError: b"),
        (shows("f(1)", "Traceback (most recent call last):\nKeyError"), "return 1",
         "f(1): expected KeyError to be raised, but got 1"),
        (shows("f(1)", "2") + shows("f(2)", "3") + shows("f(4)", "9"), "return x + 1",
         "f(4): expected 9, but got 5 (2 of 3 examples hold)"),
        (">>> x = f(1)[0]\n>>> x\n2", "return []", "x = f(1)[0]: it raised IndexError: list index out of range"),
        ("assert f(1) == 2, 'say'", "return 3", "f(1): expected 2, but got 3"),
        ("assert math.isclose(f(1), 2.0)", "return 3.5",
         "math.isclose(f(1), 2.0): expected this to hold, but f(1) gave 3.5"),
        (shows("f(1)", "2"), "return 'a' * 10**6", "…"),
        (shows("f(1)", "2"), "while True: pass", "stopped at the time limit"),
        (shows("f(1)", "2"), "return bytearray(10**10)", "f(1): expected 2, but raised MemoryError"),
        (shows("f(1)", "2"), "return (", "SyntaxError: '(' was never closed (answer line 2: return ()"),
        (shows("g(1)", "2"), "return 2", "g(1): expected 2, but raised NameError: name 'g' is not defined"),
    ],
)  # fmt: skip
async def test_what_fails_says_why(sandbox: BubblewrapSandbox, text: str, body: str, detail: str) -> None:
    limits = RunLimits(cpu_seconds=1, wall_seconds=4)
    outcome = await TaskExamples(sandbox=sandbox, limits=limits).verify(Task(text=text), f"def f(x):\n    {body}")
    assert outcome.verdict == "failure"
    assert detail in outcome.detail
    assert len(outcome.detail) < 700


async def test_the_prelude_of_the_task_goes_before_the_answer(sandbox: BubblewrapSandbox) -> None:
    verifier = TaskExamples(sandbox=sandbox)
    task = Task(text=HUMANEVAL)
    for answer in (
        "def f(xs: List[int]) -> List[int]:\n    return [x + 1 for x in xs]",  # the import is the task's
        "    return [x + 1 for x in xs]",
        "```python\nreturn [x + 1 for x in xs]\n```",
    ):
        assert (await verifier.verify(task, answer)).verdict == "success", answer
    assert (await verifier.verify(task, "    return xs")).verdict == "failure"


async def test_names_of_the_answer_do_not_get_in_the_way(sandbox: BubblewrapSandbox) -> None:
    answer = """
import builtins
def same(*a): return True
def eval(*a): raise KeyError
exec = compile = globals = repr = len = map = all = isinstance = python = program = eval
builtins.bool = lambda x: True
def f(x): return x
"""
    task = Task(text=shows("f(1)", "1") + shows("f(2)", "3"))
    outcome = await TaskExamples(sandbox=sandbox).verify(task, answer)
    assert (outcome.verdict, outcome.detail) == ("failure", "f(2): expected 3, but got 2 (1 of 2 examples hold)")


@pytest.mark.parametrize(
    "answer",
    [
        "import os; os._exit(0)",
        "raise AssertionError('1 0 fine')",
        "def f(x): raise AssertionError('7 0 fine')",
        "exec(compile('raise AssertionError(\"99 99 fine\")', 'tests', 'exec'))",
        "import sys; sys.exit(0)",
        "I will not.",
        "",
    ],
)
async def test_nobody_fakes_a_pass(sandbox: BubblewrapSandbox, answer: str) -> None:
    task = Task(text=shows("f(1)", "2"))
    outcome = await TaskExamples(sandbox=sandbox, limits=QUICK).verify(task, answer)
    assert outcome.verdict == "failure"
    assert outcome.detail
    examples = examples_of(task.text)
    assert examples is not None
    report = await run_examples(answer, examples, sandbox=sandbox, limits=QUICK)
    assert report.passed == 0


async def test_it_does_not_know_without_examples_or_a_sandbox(sandbox: BubblewrapSandbox, tmp_path: Path) -> None:
    outcome = await TaskExamples(sandbox=sandbox).verify(Task(text="Write f."), "def f(x): return x")
    assert (outcome.verdict, outcome.detail) == ("unknown", "there is no example in the task")
    broken = BubblewrapSandbox(bwrap=tmp_path / "missing")
    outcome = await TaskExamples(sandbox=broken).verify(Task(text=MBPP), "def f(x): return x + 1")
    assert outcome.verdict == "unknown"
    assert "execution.sandbox" in outcome.detail
