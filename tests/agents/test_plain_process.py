"""The plain subprocess: it confines nothing, but limits, cleans up and reports like the real sandbox."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from sale.agents.tools.plain_process import SubprocessSandbox
from sale.agents.tools.runs import KilledReason, RunLimits
from sale.agents.tools.supervise import watch_memory
from sale.errors import InputError

Running = Callable[[str], list[int]]
Started = Callable[[], list[int]]
WaitUntil = Callable[[Callable[[], bool], float], bool]

PLAIN = SubprocessSandbox()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where temporary directories are made."""
    directory = tmp_path / "place"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


async def test_runs_with_input_and_files() -> None:
    report = await PLAIN.run(
        "import sys, sub.helper; print(sub.helper.x + input()); sys.exit(3)",
        files={"sub/helper.py": "x = 1 * 'a'"},
        stdin="b",
    )
    assert (report.stdout, report.stderr, report.exit_code) == ("ab\n", "", 3)


async def test_memory_without_a_limit_is_not_watched() -> None:
    over: asyncio.Future[KilledReason | None] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(1):
        await watch_memory(os.getpid(), sys.maxsize, over)
    assert not over.done()


async def test_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = uuid4().hex
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    report = await PLAIN.run("import os; print(dict(os.environ))")
    assert "TMPDIR" in report.stdout
    assert secret not in report.stdout


@pytest.mark.parametrize(
    ("code", "limits", "reason"),
    [
        ("while True: pass", RunLimits(cpu_seconds=1), "time"),
        ("import time; time.sleep(60)", RunLimits(wall_seconds=0.5), "time"),
        ("while True: print('x' * 999)", RunLimits(output_bytes=10_000), "output"),
        (
            "import os, time\nfor _ in range(2): os.fork()\nx = bytearray(b'x') * 50_000_000\ntime.sleep(60)",
            RunLimits(memory_bytes=128 * 2**20),
            "memory",
        ),
    ],
)
async def test_limits(started: Started, code: str, limits: RunLimits, reason: str) -> None:
    report = await PLAIN.run(code, limits=limits)
    assert report.killed_reason == reason
    assert started() == []


async def test_memory_and_file_size_of_one_process() -> None:
    limits = RunLimits(memory_bytes=128 * 2**20, file_bytes=1000)
    assert "MemoryError" in (await PLAIN.run("x = bytearray(10**9)", limits=limits)).stderr
    assert "File too large" in (await PLAIN.run("open('x', 'wb').write(b'x' * 10**6)", limits=limits)).stderr


async def test_leaves_no_directory_and_no_process(running: Running, place: Path) -> None:
    marker = uuid4().hex
    code = f"""
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "{marker}"])
time.sleep(0.3)
print(os.getcwd(), os.listdir())
"""
    report = await PLAIN.run(code)
    assert report.stdout == f"{report.stdout.split()[0]} ['main.py']\n"
    assert report.stdout.startswith(str(place))
    assert running(marker) == []
    assert os.listdir(place) == []  # noqa: PTH208


async def test_cancelling_kills_it(running: Running, wait_until: WaitUntil, place: Path) -> None:
    marker = uuid4().hex
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)', '{marker}'])"
    task = asyncio.create_task(PLAIN.run(code))
    assert await asyncio.to_thread(wait_until, lambda: len(running(marker)) > 0, 10.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(wait_until, lambda: running(marker) == [], 5.0)
    assert os.listdir(place) == []  # noqa: PTH208


async def test_what_escapes_with_the_pipe_does_not_hold_the_call(tmp_path: Path) -> None:
    # It isolates nothing, so a process may get away; the caller must not wait for it.
    # The one that got away holds the pipe open until it is told to end, which happens after the call.
    code = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
        f"    while not os.path.exists({str(tmp_path / 'end')!r}): time.sleep(0.05)\n    os._exit(0)\nprint('away')"
    )
    report = await PLAIN.run(code)
    (tmp_path / "end").touch()
    assert report.stdout == "away\n"


async def test_refuses_file_names_that_leave_the_directory() -> None:
    with pytest.raises(InputError):
        await PLAIN.run("", files={"../x": ""})


def test_says_plainly_that_it_isolates_nothing() -> None:
    assert "ISOLATES NOTHING" in (SubprocessSandbox.__doc__ or "")
