"""Verification of code: right answers pass, wrong ones fail and say why, and nobody talks the verdict round."""

from __future__ import annotations

import ast
import json
import textwrap
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sale.agents.code_tests import RunTests, run_tests
from sale.agents.tools.bubblewrap import BubblewrapSandbox
from sale.agents.tools.plain_process import SubprocessSandbox
from sale.agents.tools.runs import RunLimits
from sale.types import Task


class CodeTask(TypedDict):
    id: str
    prelude: str
    solution: str
    tests: str


DATA = Path(__file__).parent / "data"
TASKS: list[CodeTask] = [json.loads(line) for line in (DATA / "code_tasks.jsonl").read_text().splitlines()]
BODIES = [task for task in TASKS if task["prelude"]]
every_task = pytest.mark.parametrize("task", TASKS, ids=[task["id"] for task in TASKS])
every_body = pytest.mark.parametrize("task", BODIES, ids=[task["id"] for task in BODIES])


def answers(file: str) -> dict[str, str]:
    """Answers by name, from a file that gives each name on a line of its own."""
    sections = (DATA / file).read_text().split("### ")[1:]
    return {name: code for name, _, code in (section.partition("\n") for section in sections)}


HONEST = answers("answers_that_are_honest.txt")
CHEATS = answers("answers_that_cheat.txt")
QUICK = RunLimits(cpu_seconds=5, wall_seconds=8)


@every_task
async def test_reference_solution_passes(sandbox: BubblewrapSandbox, task: CodeTask) -> None:
    report = await run_tests(task["solution"], task["tests"], sandbox=sandbox, prelude=task["prelude"])
    assert report.passed, report.detail
    assert report.detail == ""


@every_body
async def test_so_it_does_in_other_dress(sandbox: BubblewrapSandbox, task: CodeTask) -> None:
    prelude, body = task["prelude"], task["solution"]
    last = ast.parse(prelude + body).body[-1]
    dresses = [
        body.strip(),
        f"```python\n{textwrap.dedent(body)}```",
        f"Here:\n```python\n{prelude}{body}```\nUse it like this:\n```python\nraise SystemExit\n```",
        f"The function again, without its imports:\n\n{ast.unparse(last)}\n\nThat's it.",
    ]
    for answer in dresses:
        report = await run_tests(answer, task["tests"], sandbox=sandbox, prelude=prelude)
        assert report.passed, (answer, report.detail)


@every_task
async def test_wrong_solution_fails(sandbox: BubblewrapSandbox, task: CodeTask) -> None:
    if task["prelude"]:
        wrong = "    return None\n"
    else:
        tree = ast.parse(task["solution"])
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                node.body = [ast.Return(ast.Constant(None))]
        wrong = ast.unparse(tree)
    report = await run_tests(wrong, task["tests"], sandbox=sandbox, prelude=task["prelude"])
    assert not report.passed
    assert report.detail


TESTS = "assert f(1) == 2\nassert f(2) == 3, 'two'\n"


@pytest.mark.parametrize(
    ("answer", "tests", "detail"),
    [
        ("def f(x): return 2", TESTS, "AssertionError: two (tests line 2: assert f(2) == 3, 'two')"),
        ("def f(x): return x.y", TESTS, "AttributeError: 'int' object has no attribute 'y' (tests line 1: "),
        ("def g(x): return 2", TESTS, "NameError: name 'f' is not defined (tests line 1: assert f(1) == 2)"),
        ("import nothing", TESTS, "ModuleNotFoundError: No module named 'nothing' (answer line 1: import nothing)"),
        ("def f(x):\nreturn 2", TESTS, "(answer line 2: return 2)"),
        ("I will not.", TESTS, "SyntaxError: invalid syntax (answer line 1: I will not.)"),
        ("", TESTS, "NameError: name 'f' is not defined (tests line 1: assert f(1) == 2)"),
        ("def f(x): return f(x)", TESTS, "RecursionError: maximum recursion depth exceeded"),
        ("def f(x): return bytearray(10**10)", TESTS, "MemoryError (tests line 1: assert f(1) == 2)"),
        ("def f(x):\n  while True: pass", TESTS, "stopped at the time limit after "),
        ("def f(x):\n  import time; time.sleep(60)", TESTS, "stopped at the time limit after "),
        ("def f(x): return x + 1", "assert f(1) ==", "SyntaxError: invalid syntax (tests line 1: assert f(1) ==)"),
        ("def f(x): raise ValueError('x' * 10000)", TESTS, "ValueError: xxxx"),
    ],
)  # fmt: skip
async def test_says_why(sandbox: BubblewrapSandbox, answer: str, tests: str, detail: str) -> None:
    report = await run_tests(answer, tests, sandbox=sandbox, limits=RunLimits(cpu_seconds=1, wall_seconds=3))
    assert not report.passed
    assert detail in report.detail
    assert len(report.detail) < 800


@pytest.mark.parametrize("answer", HONEST.values(), ids=HONEST.keys())
async def test_honest_answers_are_not_disturbed(sandbox: BubblewrapSandbox, answer: str) -> None:
    report = await run_tests(answer, TESTS, sandbox=sandbox, limits=QUICK)
    assert report.passed, report.detail


@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS.keys())
async def test_nobody_fakes_a_pass(sandbox: BubblewrapSandbox, cheat: str) -> None:
    tests = "def check(candidate):\n    assert candidate(1) == 2\n\n\ncheck(f)\n"
    report = await run_tests(cheat, tests, sandbox=sandbox, limits=RunLimits(cpu_seconds=1, wall_seconds=2))
    assert not report.passed
    assert report.detail


@pytest.mark.parametrize(
    "way",
    ["sys._getframe()", "inspect.currentframe()", "error().__traceback__.tb_frame", "generator()"],
)
async def test_the_stack_ends_at_the_tests(sandbox: BubblewrapSandbox, way: str) -> None:
    # It passes only if the outermost frame it can find is the tests' own and the secret is in none.
    answer = f"""
import inspect, re, sys
def error():
    try:
        raise ValueError
    except ValueError as caught:
        return caught
def generator():
    g = (g.gi_frame for _ in "x")
    return next(g)
def f(x):
    frame, texts = {way}, []
    while frame:
        texts.append(repr(frame.f_locals) + repr([v for k, v in frame.f_globals.items() if k != "texts"]))
        outermost, frame = frame, frame.f_back
    if outermost.f_code.co_filename not in ("tests", "answer") or re.search("[0-9a-f]{{32}}", "".join(texts)):
        raise LookupError(texts)
    return x + 1
"""
    report = await run_tests(answer, TESTS, sandbox=sandbox)
    assert report.passed, report.detail


async def test_tampering_is_named(sandbox: BubblewrapSandbox) -> None:
    report = await run_tests("import gc; gc.get_objects()", TESTS, sandbox=sandbox)
    assert report.detail == "tampering: gc.get_objects"
    assert report.run.exit_code == 86


async def test_changed_built_ins_are_back_for_the_tests(sandbox: BubblewrapSandbox) -> None:
    answer = "import builtins; builtins.len = builtins.isinstance = builtins.all = lambda *a: True\ndef f(x): return x"
    for tests in ("assert len([]) == 1", "assert isinstance(1, str)", "assert all([False])"):
        assert not (await run_tests(answer, tests, sandbox=sandbox)).passed
    assert (await run_tests(answer, "assert len([]) == 0 and f(1) == 1", sandbox=sandbox)).passed


async def test_the_secret_differs_from_run_to_run(sandbox: BubblewrapSandbox) -> None:
    reports = [await run_tests("x = 1", "assert x", sandbox=sandbox) for _ in range(2)]
    assert reports[0].run.stdout != reports[1].run.stdout


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200) | st.sampled_from(["```", "```python\n", "\0", "\ud800", "(" * 300]))
async def test_no_answer_breaks_it(sandbox: BubblewrapSandbox, answer: str) -> None:
    assert not (await run_tests(answer, "assert nobody_defined_this", sandbox=sandbox)).passed


async def test_little_memory_is_enough(sandbox: BubblewrapSandbox) -> None:
    limits = RunLimits(memory_bytes=48 * 2**20)
    assert (await run_tests("def f(x): return x + 1", TESTS, sandbox=sandbox, limits=limits)).passed


async def test_works_in_a_plain_process_too() -> None:
    for body, passed in (("x + 1", True), ("x", False), ("exit(0)", False)):
        report = await run_tests(f"def f(x): return {body}", TESTS, sandbox=SubprocessSandbox(), limits=QUICK)
        assert report.passed is passed, report.detail


async def test_as_a_verifier(sandbox: BubblewrapSandbox) -> None:
    verifier = RunTests(tests=TESTS, sandbox=sandbox)
    task = Task(text="Write f.")
    good = await verifier.verify(task, "```python\ndef f(x): return x + 1\n```")
    assert (good.verdict, good.judged_by, good.detail) == ("success", "tests", "")
    bad = await verifier.verify(task, "def f(x): return x")
    assert (bad.verdict, bad.judged_by) == ("failure", "tests")
    assert bad.detail == "AssertionError (tests line 1: assert f(1) == 2)"


async def test_a_verifier_without_a_sandbox_does_not_know(tmp_path: Path) -> None:
    broken = BubblewrapSandbox(bwrap=tmp_path / "missing")
    outcome = await RunTests(tests=TESTS, sandbox=broken).verify(Task(text="Write f."), "def f(x): return x + 1")
    assert outcome.verdict == "unknown"
    assert "execution.sandbox" in outcome.detail
