"""One interpreter for the calls of an execution: what stays, what is lost, and that nothing outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from sale import Contractor, Price, Task
from sale.agents.protocol import Tool
from sale.agents.tools.bubblewrap import BubblewrapSandbox, find_bwrap
from sale.agents.tools.interpreter import this_interpreter
from sale.agents.tools.plain_process import SubprocessSandbox
from sale.agents.tools.processes import children
from sale.agents.tools.python import PythonTool
from sale.agents.tools.runs import RunLimits
from sale.agents.tools.sandbox import Sandbox, find_sandbox
from sale.config import AgentSettings
from sale.errors import SandboxError
from sale.models.scripted import ScriptedModel
from sale.types import Prompt

LIMITS = RunLimits(wall_seconds=8.0, cpu_seconds=4)
LOST = "The interpreter is gone"


@pytest.fixture(params=["bubblewrap", "plain"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    return find_sandbox() if request.param == "bubblewrap" else SubprocessSandbox()


@pytest.fixture
async def python(sandbox: Sandbox) -> AsyncIterator[Tool]:
    async with PythonTool(sandbox, limits=LIMITS, lasting=True).opened() as tool:
        yield tool


def tool(**limits: float) -> PythonTool:
    given = {"wall_seconds": 8.0, "cpu_seconds": 4, **limits}
    return PythonTool(find_sandbox(), limits=RunLimits(**given), lasting=True)  # pyright: ignore[reportArgumentType]


async def called(python: Tool, code: str) -> str:
    return await python.run(code)


class TestState:
    async def test_stays_from_call_to_call(self, python: Tool) -> None:
        assert "exit status 0" in await python.run("import math\nx = 41\ndef up(n):\n    return n + 1")
        assert "42" in await python.run("up(x)")
        assert "3.14" in await python.run("print(math.pi)")

    async def test_files_are_read_back_and_tests_are_run(self, python: Tool) -> None:
        await python.run("from pathlib import Path\nPath('double.py').write_text('def double(x): return x * 3')")
        assert "x * 3" in await python.run("print(open('double.py').read())")
        test = (
            "import unittest, double\nclass Test(unittest.TestCase):\n"
            "    def test(self): self.assertEqual(double.double(2), 4)\n"
            "unittest.main(argv=['x'], exit=False)"
        )
        assert "6 != 4" in await python.run(test)
        await python.run("Path('double.py').write_text('def double(x): return x * 2')")
        again = (
            "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import double; print(double.double(2))'])"
        )
        assert "4" in await python.run(again)

    async def test_survives_what_code_raises(self, python: Tool) -> None:
        await python.run("x = 7")
        assert "ZeroDivisionError" in await python.run("1 / 0")
        syntax = await python.run("def f(:")
        assert "SyntaxError" in syntax
        assert "ast.py" not in syntax
        assert "exit status 3" in await python.run("raise SystemExit(3)")
        assert "exit status 1" in await python.run("raise SystemExit('no')")
        assert "7" in await python.run("x")

    async def test_survives_what_code_does_to_its_streams(self, python: Tool) -> None:
        await python.run("import sys\nx = 7")
        assert "exit status 0" in await python.run("sys.stdout.close(); sys.stderr = None")
        assert "exit status 0" in await python.run("sys.stdout = open('out', 'w'); sys.stdout.write('hidden')")
        assert "hidden" in await python.run("sys.stdout.flush(); sys.stdout = sys.__stderr__; open('out').read()")

    async def test_any_text_and_much_of_it(self, python: Tool) -> None:
        assert "'ö\\ud800'" in await python.run("x = 'ö\\ud800'; x")
        assert "300000" in await python.run(f"len({'z' * 300_000!r})")
        assert "exit status" in await python.run("\ud800 = 1")

    async def test_calls_at_once_take_turns(self, python: Tool) -> None:
        await python.run("x = []")
        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(called(python, f"x.append({number})"))
        assert "10" in await python.run("print(sum(x))")

    async def test_each_execution_has_its_own(self) -> None:
        shared = tool()
        async with shared.opened() as one, shared.opened() as other:
            await one.run("x = 'first'")
            assert "NameError" in await other.run("x")

    async def test_is_an_option(self) -> None:
        bare = PythonTool(find_sandbox(), limits=LIMITS)
        async with bare.opened() as same:
            await same.run("x = 1")
            assert "NameError" in await same.run("print(x)")
        assert "starts afresh" in bare.info.description
        assert "stay for the next call" in tool().info.description


class TestLoss:
    @pytest.mark.parametrize(
        ("code", "said", "limits"),
        [
            ("while True: pass", "took longer than allowed", {"cpu_seconds": 1, "wall_seconds": 6.0}),
            ("import time; time.sleep(60)", "took longer than allowed", {"wall_seconds": 1.5}),
            ("print('y' * 3_000_000)", "printed more than", {}),
            ("import os; os._exit(7)", "exit status 7", {}),
            ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "exit status 139", {}),
            (
                "import subprocess, sys\nps = [subprocess.Popen([sys.executable, '-c', "
                "'x = bytearray(90 * 2**20); import time; time.sleep(30)']) for _ in range(4)]\n"
                "import time; time.sleep(30)",
                "more than 200 MB of memory",
                {"memory_bytes": 200 * 2**20},
            ),
        ],
    )
    async def test_of_the_state_is_said(self, code: str, said: str, limits: dict[str, float]) -> None:
        async with tool(**limits).opened() as python:
            await python.run("x = 1; open('a', 'w').write('b')")
            shown = await python.run(code)
            assert said in shown
            assert LOST in shown
            after = await python.run("import os\nprint('x' in globals(), os.listdir())")
            assert "False ['main.py']" in after

    async def test_between_calls_is_said_by_the_next(self) -> None:
        async with tool().opened() as python:
            await python.run("import os, threading\nthreading.Timer(0.2, lambda: os._exit(0)).start()\nx = 1")
            await asyncio.sleep(1.0)
            shown = await python.run("'x' in globals()")
            assert "began anew" in shown
            assert "False" in shown

    async def test_memory_of_one_process_is_an_error_and_no_loss(self) -> None:
        async with tool().opened() as python:
            await python.run("x = 1")
            assert "MemoryError" in await python.run("y = bytearray(2**30)")
            assert "1" in await python.run("x")


class TestEnd:
    async def test_nothing_is_left(self) -> None:
        before = set(children(os.getpid()))
        async with tool().opened() as python:
            await python.run(
                "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])"
            )
            assert set(children(os.getpid())) - before
        assert set(children(os.getpid())) - before == set()

    async def test_a_cancelled_call_ends_it(self) -> None:
        before = set(children(os.getpid()))
        async with tool(wall_seconds=60.0).opened() as python:
            await python.run("x = 1")
            call = asyncio.create_task(called(python, "import time; time.sleep(50)"))
            await asyncio.sleep(0.3)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call
            assert set(children(os.getpid())) - before == set()
            assert "NameError" in await python.run("x")
        assert set(children(os.getpid())) - before == set()

    @pytest.mark.parametrize("execution", ["tools", "steps"])
    async def test_with_the_execution_cancelled_or_not(self, execution: str) -> None:
        before = set(children(os.getpid()))
        texts: list[str] = []

        def script(prompt: Prompt, schema: Mapping[str, object] | None) -> str:
            texts.append(prompt.user)
            calls = ["x = 20", "print(x + 1)", "import time; time.sleep(60)"]
            return json.dumps({"python": calls[min(len(texts), 3) - 1]})

        settings = AgentSettings(
            name="a", endpoint="http://127.0.0.1", model="m", execution="steps", turns=9, seconds=4.0
        )
        agent = Contractor(
            settings, price=Price(input=1, output=1, blended=1), model=ScriptedModel(script), tools=[tool()]
        )
        if execution == "tools":
            work = asyncio.create_task(agent.execute(Task(text="x"), None))
            await asyncio.sleep(2.0)
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
        else:
            done = await agent.execute(Task(text="x"), None)
            assert (done.error or "").startswith("call.timeout")
            assert any("21" in text for text in texts)
        assert set(children(os.getpid())) - before == set()

    async def test_what_cannot_be_set_up_is_said(self, tmp_path: Path) -> None:
        found = find_bwrap()
        assert found is not None
        broken = replace(this_interpreter(), executable=tmp_path / "no-python")
        async with PythonTool(
            BubblewrapSandbox(bwrap=found, interpreter=broken), limits=LIMITS, lasting=True
        ).opened() as python:
            for _ in range(2):
                with pytest.raises(SandboxError, match="could not be set up"):
                    await python.run("1")


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd').read()",
        "open('/proc/sys/kernel/hostname', 'w').write('x')",
        "import socket; socket.create_connection(('169.254.169.254', 80), 2)",
        "import os; [os.fork() for _ in range(99)]",
        "open('big', 'wb').write(b'x' * (80 * 2**20))",
        f"open({sys.executable!r}, 'a')",
    ],
)
async def test_the_walls_are_the_same(code: str) -> None:
    async with tool().opened() as python:
        shown = await python.run(code)
        assert any(word in shown for word in ("Error", "killed", "exit status 1")), shown
        assert "root:" not in shown
