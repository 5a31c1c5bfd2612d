"""Code in a plain subprocess. It is confined by NOTHING: see `SubprocessSandbox`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path

from sale.agents.tools.launch import ENVIRONMENT, launch, rlimits
from sale.agents.tools.runs import DEFAULT_LIMITS, MAIN_FILE, NO_FILES, RunLimits, RunReport, workspace_files
from sale.agents.tools.supervise import Command, supervise


class SubprocessSandbox:
    """Runs code as an ordinary process of yours. THIS ISOLATES NOTHING.

    The code can read and change every file you can, use the network, see and kill your processes, and start programs
    that outlive the run. What it does have: a directory of its own that is removed afterwards, an empty environment,
    limits on time, memory, output and file size that hold against mistakes but not against malice. The number of
    processes is not limited.

    For code you would run yourself without reading it, on a machine you can afford to lose. Never the default.
    """

    async def run(
        self,
        code: str,
        *,
        files: Mapping[str, str] = NO_FILES,
        stdin: str | bytes = "",
        limits: RunLimits = DEFAULT_LIMITS,
    ) -> RunReport:
        """Run `code`; see `Sandbox.run`."""
        with self._command(workspace_files(code, files), limits) as command:
            return await supervise(command, stdin=stdin, limits=limits)

    def command(self, code: str, limits: RunLimits) -> contextlib.AbstractContextManager[Command]:
        """The command that runs `code` alone; see `InteractiveSandbox.command`."""
        return self._command(workspace_files(code, NO_FILES), limits)

    @contextlib.contextmanager
    def _command(self, content: Mapping[str, bytes], limits: RunLimits) -> Generator[Command]:
        with tempfile.TemporaryDirectory(prefix="sale-run-", ignore_cleanup_errors=True) as name:
            directory = Path(name)
            _write(directory, content)
            with report_pipe() as (reading, writing):
                yield Command(
                    argv=launch(
                        Path(sys.executable),
                        str(directory / MAIN_FILE),
                        report=writing,
                        settings=rlimits(limits, processes=None),
                        mode="become",
                        user=None,
                    ),
                    environment={**ENVIRONMENT, "HOME": name, "TMPDIR": name},
                    kill=kill_group,
                    sweep=kill_group,
                    report=reading,
                    pass_fds=(writing,),
                    directory=directory,
                )


@contextlib.contextmanager
def report_pipe() -> Generator[tuple[int, int]]:
    """A pipe for the report of a launcher: its reading end, which does not block, and its writing end."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def _write(directory: Path, content: Mapping[str, bytes]) -> None:
    for name, data in content.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def kill_group(leader: int) -> bool:
    """Kill the process group of the run. What has left the group escapes."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True
