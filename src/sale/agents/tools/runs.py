"""The input and output of a run in a sandbox: limits, a report, and the one-method protocol.

Refuses to run anything itself: see `bubblewrap` and `plain_process` for the ways to run, `sandbox` for choosing one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Literal, Protocol

from sale.errors import InputError

KilledReason = Literal["time", "memory", "output"]

MAIN_FILE = "main.py"
"""The name the code itself gets in the workspace, beside the given files."""

MAX_FILES = 64
"""Files beside the code in one run; each costs a file descriptor while the sandbox is set up."""

NO_FILES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLimits:
    """The limits of one run. The defaults suit a programming exercise, not a computation.

    Raises:
        InputError: A limit is not positive.
    """

    cpu_seconds: int = 10
    """Processor seconds of each process. A second later it is killed even if it handles the signal."""
    wall_seconds: float = 15.0
    """Seconds from start to end, set-up included; then everything is killed."""
    memory_bytes: int = 512 * 2**20
    """Address space of each process, and resident memory of all together (sampled, so it may be passed for
    some 50 ms)."""
    output_bytes: int = 2**20
    """Bytes kept of stdout and of stderr each. One more and the run is killed."""
    processes: int = 32
    """Processes and threads at one time. Not enforced by `SubprocessSandbox`."""
    file_bytes: int = 64 * 2**20
    """Size of the largest file; in `BubblewrapSandbox`, where files are in memory and count apart from
    `memory_bytes`, also of all files together."""
    open_files: int = 64
    """Open file descriptors of each process."""
    address_bytes: int | None = None
    """Address space of each process where that is to be more than `memory_bytes`: some runtimes reserve far more than
    they use."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            value: float | None = getattr(self, limit.name)
            if value is not None and value <= 0:
                raise InputError(
                    f"The limit {limit.name} must be positive, not {value!r}.", hint="Leave it out for the default."
                )


DEFAULT_LIMITS = RunLimits()


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """The end of a run and its output. Invalid UTF-8 in the output is replaced."""

    exit_code: int
    """The program's own exit status; 128 + n where signal n ended it."""
    stdout: str
    stderr: str
    killed_reason: KilledReason | None
    """Which limit it was killed for; `None` where it ended by itself, well or badly."""
    truncated: bool
    """It wrote more than `output_bytes`, and the rest is lost."""
    seconds: float
    """From start to end, set-up included."""


class Sandbox(Protocol):
    """Runs untrusted Python code."""

    async def run(
        self,
        code: str,
        *,
        files: Mapping[str, str] = NO_FILES,
        stdin: str | bytes = "",
        limits: RunLimits = DEFAULT_LIMITS,
    ) -> RunReport:
        """Run `code` as a program of its own, in an empty workspace with `files` beside it.

        Every run starts afresh and leaves nothing behind. Cancelling the call kills the run.

        Args:
            code: A Python program.
            files: Text by relative path in the workspace.
            stdin: What the program reads from standard input.
            limits: What it may use.

        Returns:
            How it ended. A program that fails, or hits a limit, is a report and not an error.

        Raises:
            InputError: A file name is not a plain relative path.
            SandboxError: The sandbox itself could not be set up.
        """
        ...


def workspace_files(code: str, files: Mapping[str, str]) -> dict[str, bytes]:
    """Everything that goes into the workspace, code included, by checked relative path.

    Raises:
        InputError: A name is absolute, climbs out, is not plain text, or is taken by the code; or there are too many.
    """
    if len(files) > MAX_FILES:
        raise InputError(f"{len(files)} files for one run.", hint=f"Pass at most {MAX_FILES}.")
    content = {MAIN_FILE: code.encode(errors="replace")}
    for name, text in files.items():
        path = PurePosixPath(name)
        if not name or "\0" in name or path.is_absolute() or ".." in path.parts or not path.parts:
            raise InputError(f"The file name {name!r} is not a relative path inside the workspace.")
        key = str(path)
        if key in content:
            raise InputError(f"The file name {name!r} is taken.", hint=f"The code itself is stored as {MAIN_FILE}.")
        content[key] = text.encode(errors="replace")
    return content
