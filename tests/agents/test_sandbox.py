"""Running code in the real sandbox: what it gets, how it ends, what is left behind."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from sale.agents.tools.bubblewrap import BubblewrapSandbox
from sale.agents.tools.interpreter import Interpreter, this_interpreter
from sale.agents.tools.processes import memory_bytes
from sale.agents.tools.runs import MAX_FILES, RunLimits
from sale.agents.tools.sandbox import SubprocessSandbox, find_sandbox
from sale.agents.tools.supervise import MEMORY_PERIOD
from sale.errors import InputError, SandboxError


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_gives_back_what_the_program_wrote(sandbox: BubblewrapSandbox) -> None:
    report = await sandbox.run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (report.stdout, report.stderr, report.exit_code) == ("out\n", "err\n", 3)
    assert report.killed_reason is None
    assert report.killed_reason != "time"
    assert not report.truncated
    assert report.seconds > 0


async def test_reads_its_input_and_files(sandbox: BubblewrapSandbox) -> None:
    code = "import sub.helper; print(sub.helper.x + open('data.txt').read() + input())"
    report = await sandbox.run(code, files={"sub/helper.py": "x = 'a'", "data.txt": "bé"}, stdin="ç\n")
    assert report.stdout == "abéç\n"


async def test_input_larger_than_a_pipe(sandbox: BubblewrapSandbox) -> None:
    report = await sandbox.run("import sys; print(len(sys.stdin.read()))", stdin="x" * 3_000_000)
    assert report.stdout == "3000000\n"


async def test_a_program_need_not_read_its_input(sandbox: BubblewrapSandbox) -> None:
    report = await sandbox.run("print('done')", stdin="x" * 3_000_000)
    assert (report.stdout, report.exit_code) == ("done\n", 0)


async def test_workspace_is_writable_and_fresh(sandbox: BubblewrapSandbox) -> None:
    code = "import os; print(sorted(os.listdir())); open('left', 'w').write('x'); open('given', 'w').write('y')"
    for _ in range(2):
        report = await sandbox.run(code, files={"given": ""})
        assert (report.stdout, report.stderr) == ("['given', 'main.py']\n", "")


async def test_is_a_program_of_its_own(sandbox: BubblewrapSandbox) -> None:
    report = await sandbox.run("import sys; print(__name__, sys.argv, __file__); 1 / 0")
    assert report.stdout == "__main__ ['main.py'] /tmp/box/main.py\n"
    assert report.exit_code == 1
    assert 'File "/tmp/box/main.py", line 1' in report.stderr


async def test_has_the_standard_library_and_nothing_installed(sandbox: BubblewrapSandbox) -> None:
    modules = "json, re, math, sqlite3, asyncio, multiprocessing, zoneinfo, ssl, ctypes, decimal"
    code = f"import {modules}\nimport importlib.util as u\nprint([u.find_spec(m) for m in ('pytest', 'pip', 'numpy')])"
    report = await sandbox.run(code)
    assert (report.stdout, report.stderr) == ("[None, None, None]\n", "")


async def test_threads_and_processes_of_its_own_work(sandbox: BubblewrapSandbox) -> None:
    code = """
import asyncio, concurrent.futures, subprocess, sys
with concurrent.futures.ProcessPoolExecutor(2) as pool:
    print(list(pool.map(abs, [-1, -2])))
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    print(list(pool.map(abs, [-3])))
print(subprocess.run(["/bin/sh", "-c", "echo four"], capture_output=True, text=True).stdout.strip())
async def five(): return 5
print(asyncio.run(five()))
"""
    report = await sandbox.run(code)
    assert (report.stdout, report.stderr) == ("[1, 2]\n[3]\nfour\n5\n", "")


async def test_death_by_signal_is_told(sandbox: BubblewrapSandbox) -> None:
    report = await sandbox.run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert report.exit_code == 128 + 11
    assert report.killed_reason is None


async def test_bytes_that_are_no_text(sandbox: BubblewrapSandbox) -> None:
    report = await sandbox.run(r"import os; os.write(1, b'a\xff\n')")
    assert report.stdout == "a\N{REPLACEMENT CHARACTER}\n"


async def test_code_that_is_no_text_is_only_a_failing_program(sandbox: BubblewrapSandbox) -> None:
    report = await sandbox.run("print('\ud800', '\0')")
    assert report.exit_code == 1
    assert "SyntaxError" in report.stderr or "ValueError" in report.stderr


async def test_output_up_to_the_cap_is_whole(sandbox: BubblewrapSandbox) -> None:
    report = await sandbox.run("print('x' * 999)", limits=RunLimits(output_bytes=1000))
    assert (len(report.stdout), report.truncated, report.killed_reason) == (1000, False, None)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../out", "a/../../out", ".", "nul\0", "main.py", "./main.py"])
async def test_refuses_file_names_that_leave_the_workspace(sandbox: BubblewrapSandbox, name: str) -> None:
    with pytest.raises(InputError) as caught:
        await sandbox.run("", files={name: "x"})
    assert repr(name) in str(caught.value)


async def test_refuses_too_many_files(sandbox: BubblewrapSandbox) -> None:
    with pytest.raises(InputError):
        await sandbox.run("", files={f"f{n}": "" for n in range(MAX_FILES + 1)})
    report = await sandbox.run("import os; print(len(os.listdir()))", files={f"f{n}": "" for n in range(MAX_FILES)})
    assert report.stdout == f"{MAX_FILES + 1}\n"


def test_refuses_limits_that_are_none() -> None:
    with pytest.raises(InputError, match="cpu_seconds"):
        RunLimits(cpu_seconds=0)


async def test_many_at_once_do_not_disturb_each_other(sandbox: BubblewrapSandbox) -> None:
    code = """
import os
n = input()
open('n', 'w').write(n)
child = os.fork()
if child:
    os.waitpid(child, 0)
print(open('n').read())
"""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(sandbox.run(code, stdin=f"{n}\n", limits=RunLimits(processes=2))) for n in range(12)]
    assert [task.result().stdout for task in tasks] == [f"{n}\n{n}\n" for n in range(12)]


async def test_leaves_no_process_and_no_descriptor(sandbox: BubblewrapSandbox, started: Started) -> None:
    await sandbox.run("pass")
    before = descriptors()
    for code in ("print(1)", "1 / 0", "while True: print('x' * 1000)", "import time; time.sleep(60)"):
        await sandbox.run(code, files={"a": "b"}, stdin="x" * 100_000, limits=RunLimits(wall_seconds=0.5))
    await asyncio.sleep(0)
    assert (descriptors(), started()) == (before, [])


async def test_cancelling_kills_the_run(sandbox: BubblewrapSandbox, running: Running, wait_until: WaitUntil) -> None:
    marker = uuid4().hex
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)', '{marker}'])"
    task = asyncio.create_task(sandbox.run(code))
    assert await asyncio.to_thread(wait_until, lambda: len(running(marker)) > 0, 10.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert running(marker) == []


@pytest.mark.parametrize("delay", [0, 0.001, 0.005, 0.01, 0.02, 0.03])
async def test_cancelling_at_any_moment_leaves_nothing(
    sandbox: BubblewrapSandbox, started: Started, delay: float
) -> None:
    task = asyncio.create_task(sandbox.run("import time; time.sleep(60)"))
    await asyncio.sleep(delay)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert started() == []


async def test_cancelling_twice_still_waits_for_the_end(sandbox: BubblewrapSandbox, started: Started) -> None:
    task = asyncio.create_task(sandbox.run("import time; time.sleep(60)", limits=RunLimits(wall_seconds=30)))
    await asyncio.sleep(0.2)
    assert started()
    task.cancel()
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert started() == []


async def test_dies_with_the_process_that_runs_it(
    running: Running, wait_until: WaitUntil, sandbox: BubblewrapSandbox, tmp_path: Path
) -> None:
    marker = uuid4().hex
    program = tmp_path / "program.py"
    program.write_text(f"""
import asyncio
from sale.agents.tools.sandbox import find_sandbox
code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)', '{marker}'])"
asyncio.run(find_sandbox().run(code))
""")
    process = await asyncio.create_subprocess_exec(sys.executable, str(program))
    assert await asyncio.to_thread(wait_until, lambda: len(running(marker)) > 0, 10.0)
    process.kill()
    await process.wait()
    assert await asyncio.to_thread(wait_until, lambda: running(marker) == [], 5.0)


Started = Callable[[], list[int]]
Running = Callable[[str], list[int]]
WaitUntil = Callable[[Callable[[], bool], float], bool]


async def test_runs_from_an_event_loop_in_a_thread(sandbox: BubblewrapSandbox) -> None:
    report = await asyncio.to_thread(lambda: asyncio.run(sandbox.run("import time; time.sleep(0.2); print('done')")))
    assert report.stdout == "done\n"


async def test_memory_is_seen_over_the_whole_family(sandbox: BubblewrapSandbox, started: Started) -> None:
    code = "import os, time; os.fork(); x = bytearray(b'x') * 50_000_000; time.sleep(30)"
    task = asyncio.create_task(sandbox.run(code))
    held = 0
    for _ in range(200):
        await asyncio.sleep(MEMORY_PERIOD)
        held = max(held, *(memory_bytes(pid, 2**40) for pid in started()), 0)
        if held >= 100_000_000:
            break
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 100_000_000 <= held < 150_000_000


async def test_pages_shared_by_forks_count_once(sandbox: BubblewrapSandbox) -> None:
    code = """
import os, time
x = bytearray(b'x') * 60_000_000
for _ in range(5):
    if os.fork() == 0:
        time.sleep(0.7)
        os._exit(0)
time.sleep(0.7)
print("done")
"""
    report = await sandbox.run(code, limits=RunLimits(memory_bytes=200 * 2**20))
    assert (report.stdout, report.killed_reason) == ("done\n", None)


async def test_setup_failure_is_an_error_and_no_report(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    sandbox = BubblewrapSandbox(bwrap=broken)
    with pytest.raises(SandboxError, match="No permissions to create a new namespace"):
        await sandbox.run("print(1)")
    assert sandbox.probe() == "bwrap: No permissions to create a new namespace"
    with pytest.raises(SandboxError, match="No such file"):
        await BubblewrapSandbox(bwrap=tmp_path / "missing").run("print(1)")


async def test_an_interpreter_that_does_not_start_is_a_setup_failure(
    sandbox: BubblewrapSandbox, tmp_path: Path
) -> None:
    real = this_interpreter()
    alone = Interpreter(executable=tmp_path / "python", prefix=real.prefix, packages=())
    alone.executable.write_text("no program")
    found = BubblewrapSandbox(bwrap=Path("/usr/bin/bwrap"), interpreter=alone)
    with pytest.raises(SandboxError):
        await found.run("print(1)")


def test_find_sandbox_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError) as caught:
        find_sandbox()
    assert "not installed" in caught.value.message
    assert "Install bubblewrap" in caught.value.hint
    assert "unsafe_subprocess = true" in caught.value.hint
    assert isinstance(find_sandbox(allow_unsafe=True), SubprocessSandbox)


def test_find_sandbox_says_why_it_does_not_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="setting up uid map: Permission denied"):
        find_sandbox()


def test_a_bwrap_that_confines_nothing_is_refused(tmp_path: Path) -> None:
    # It runs the command all right, but as it is.
    fake = tmp_path / "bwrap"
    fake.write_text('#!/bin/sh\nwhile [ "$1" != "--" ]; do shift; done; shift; exec "$@"\n')
    fake.chmod(0o755)
    assert BubblewrapSandbox(bwrap=fake).probe() is not None
