"""The Python tool, and what an agent is shown."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.agents.protocol import Tool
from sale.agents.tools.bubblewrap import BubblewrapSandbox
from sale.agents.tools.python import OBSERVATION_CHARACTERS, PythonTool, clip
from sale.agents.tools.runs import RunLimits


@pytest.fixture
def tool(sandbox: BubblewrapSandbox) -> PythonTool:
    return PythonTool(sandbox, limits=RunLimits(cpu_seconds=1, wall_seconds=2, output_bytes=50_000))


async def test_shows_output_and_status(tool: PythonTool) -> None:
    assert await tool.run("print(6 * 7)") == "exit status 0\nstdout:\n42"


async def test_shows_the_error(tool: PythonTool) -> None:
    shown = await tool.run("print('so far')\n1 / 0")
    assert shown.startswith("exit status 1\nstdout:\nso far\nstderr:\nTraceback")
    assert shown.endswith("ZeroDivisionError: division by zero")


async def test_says_when_nothing_was_printed(tool: PythonTool) -> None:
    assert await tool.run("6 * 7") == "exit status 0\nIt printed nothing. Use print() for whatever you want to see."


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("while True: pass", "killed: it took longer than allowed (1 s of processor time and 2 s in all)"),
        ("while True: print('x' * 999)", "killed: it printed more than 50000 bytes"),
        (
            "import os, time\nfor _ in range(3): os.fork()\nx = bytearray(b'x') * 150_000_000\ntime.sleep(9)",
            "killed: it used more than 512 MB of memory",
        ),
    ],
)
async def test_names_the_limit(tool: PythonTool, code: str, ending: str) -> None:
    assert (await tool.run(code)).split("\n")[0] == ending


async def test_long_output_keeps_head_and_tail(tool: PythonTool) -> None:
    shown = await tool.run("print('first'); print('x' * 20_000); print('last')")
    assert "first" in shown
    assert shown.endswith("last")
    assert "characters left out" in shown
    assert len(shown) < OBSERVATION_CHARACTERS + 200


async def test_remembers_nothing(tool: PythonTool) -> None:
    await tool.run("x = 1; open('x', 'w')")
    assert "NameError" in await tool.run("print(x)")
    assert "FileNotFoundError" in await tool.run("open('x')")


def test_is_a_tool_with_a_description(tool: PythonTool) -> None:
    as_tool: Tool = tool
    assert as_tool.info.name == tool.name == "python"
    assert "print" in as_tool.info.description
    assert list(inspect.signature(as_tool.run).parameters) == ["code"]


@given(st.text(max_size=300), st.integers(min_value=3, max_value=100))
def test_clipping_keeps_both_ends(text: str, characters: int) -> None:
    shown = clip(text, characters)
    if len(text) <= characters:
        assert shown == text
    else:
        head, _, tail = shown.split("\n[…", 1)[0], "", shown.rsplit("…]\n", 1)[1]
        assert text.startswith(head)
        assert text.endswith(tail)
        assert len(head) + len(tail) == characters
