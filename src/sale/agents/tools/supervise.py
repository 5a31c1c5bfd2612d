"""Runs one command under a watch: output is kept up to a cap, time and memory are limited, nothing outlives the call.

Knows nothing of how the command is confined: it is told how to kill it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sale.agents.tools.processes import memory_bytes
from sale.agents.tools.runs import KilledReason, RunLimits, RunReport
from sale.errors import SandboxError

MEMORY_PERIOD = 0.05
"""Seconds between two looks at the memory in use."""

KILL_PATIENCE = 1.0
"""Seconds the orderly way of killing gets before the process itself is killed."""

PIPE_PATIENCE = 0.5
"""Seconds output may still come once the command has ended; more only where something escaped with the pipe."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """The command to start. The environment is given whole: nothing is inherited."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    kill: Callable[[int], bool]
    """Kills everything that the process with this number has started; false where that ends it not."""
    report: int
    """Read end of the launcher's report (see `launcher`), not blocking."""
    pass_fds: Sequence[int] = ()
    directory: Path | None = None
    sweep: Callable[[int], object] = lambda _: None
    """Kills what the process with this number left behind when it ended by itself."""


async def supervise(command: Command, *, stdin: str | bytes, limits: RunLimits) -> RunReport:
    """Run the command to its end, or to the first limit it hits. If cancelled, it kills everything first.

    Raises:
        SandboxError: The confinement could not be set up, so the code did not run.
    """
    started = time.monotonic()
    over: asyncio.Future[KilledReason | None] = asyncio.get_running_loop().create_future()
    fed = stdin if isinstance(stdin, bytes) else stdin.encode(errors="replace")
    async with _ProcessStreams(limits.output_bytes, over, fed) as streams:
        process = await streams.start(command)
        reason = await _until_over(process, command, over, limits)
        await streams.drained()
    seconds = time.monotonic() - started
    status = process.returncode or 0
    code = status if status >= 0 else 128 - status
    if reason is None and not reported(command.report):
        raise setup_failed(code, streams.stderr.text)
    if reason is None and _spent_its_cpu(code, seconds, limits):
        reason = "time"
    return RunReport(
        exit_code=code,
        stdout=streams.stdout.text,
        stderr=streams.stderr.text,
        killed_reason=reason,
        truncated=streams.stdout.overflowed or streams.stderr.overflowed,
        seconds=seconds,
    )


async def _until_over(
    process: Process, command: Command, over: asyncio.Future[KilledReason | None], limits: RunLimits
) -> KilledReason | None:
    """Wait for the end, whatever ends it, and leave nothing running."""
    ended = asyncio.create_task(process.wait())
    ended.add_done_callback(lambda _: over.done() or over.set_result(None))
    memory = asyncio.create_task(watch_memory(process.pid, limits.memory_bytes, over))
    try:
        async with asyncio.timeout(limits.wall_seconds):
            return await over
    except TimeoutError:
        return "time"
    finally:
        memory.cancel()
        await end(process, ended, command)


async def end(process: Process, ended: asyncio.Task[int], command: Command) -> None:
    """Kill what is left. A further cancellation is heard once everything is dead, which takes a moment only."""
    if not ended.done() and not command.kill(process.pid):
        _kill(process)
    interrupted = False
    patience: float | None = KILL_PATIENCE
    while not ended.done():
        try:
            await asyncio.wait([ended], timeout=patience)
        except asyncio.CancelledError:
            interrupted = True
        if not ended.done():
            _kill(process)
            patience = None
    command.sweep(process.pid)
    if interrupted:
        raise asyncio.CancelledError


def _kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


async def watch_memory(pid: int, limit: int, over: asyncio.Future[KilledReason | None]) -> None:
    """Look at what a process and all below it hold, until it is too much or `over` anyway."""
    if limit >= sys.maxsize:  # there is none, as for a program of the user's own
        return
    while not over.done():
        await asyncio.sleep(MEMORY_PERIOD)
        held = await asyncio.to_thread(memory_bytes, pid, limit)
        if held > limit and not over.done():
            over.set_result("memory")


def reported(report: int) -> bool:
    """Return whether the launcher has reported that the command was about to start; it reports that once."""
    try:
        return os.read(report, 1) == b"1"
    except BlockingIOError:
        return False


def _spent_its_cpu(code: int, seconds: float, limits: RunLimits) -> bool:
    """Return whether the kernel ended it for processor time: by its own signal, or by a kill where that is handled."""
    if code == 128 + signal.SIGXCPU:
        return True
    return code == 128 + signal.SIGKILL and seconds >= limits.cpu_seconds


def setup_failed(code: int, stderr: str) -> SandboxError:
    """The confinement could not be set up."""
    said = stderr.strip()[-500:] or f"exit status {code} and no word why"
    return SandboxError(
        f"The sandbox could not be set up, so the code did not run: {said}",
        hint="`sale doctor` shows what the sandbox needs.",
    )


class PipeOutput(asyncio.Protocol):
    """Keeps what comes out of a pipe up to a cap, so that endless output costs no memory here."""

    def __init__(self, cap: int) -> None:
        """`cap` is in bytes."""
        self._cap = cap
        self._kept = bytearray()
        self.overflowed = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the shape is asyncio's
        """All writers are gone, or we closed it."""
        if not self.closed.done():
            self.closed.set_result(None)

    @property
    def text(self) -> str:
        """The text that was kept."""
        return self._kept.decode("utf-8", errors="replace")


class _Capture(PipeOutput):
    """The output of a whole run."""

    def __init__(self, cap: int, overflow: Callable[[], None]) -> None:
        super().__init__(cap)
        self._overflow = overflow

    def data_received(self, data: bytes) -> None:
        """Keep what fits; the first byte that does not is the overflow."""
        room = self._cap - len(self._kept)
        self._kept += data[:room]
        if len(data) > room and not self.overflowed:
            self.overflowed = True
            self._overflow()


class _Feed(asyncio.BaseProtocol):
    """Knows whether the input's pipe is still open: aborting a transport that has closed itself fails."""

    open = True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the shape is asyncio's
        """All is written, or the reader has gone."""
        self.open = False


class ProcessPipes:
    """The standard streams of one process, as pipes of our own.

    The event loop's own subprocess pipes would make the end of the process wait for the end of its output, which never
    comes where something escaped and holds the pipe.
    """

    def __init__(self) -> None:
        """Nothing is opened yet."""
        self._ours: list[asyncio.BaseTransport] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for transport in self._ours:
            transport.close()
        # Closing is done in the loop's next round; without it the pipes would be open when the call returns.
        await asyncio.sleep(0)

    async def _reader(self, theirs: contextlib.ExitStack, output: PipeOutput) -> int:
        """The process's end of a pipe that `output` is read from."""
        ours, write_end = os.pipe()
        theirs.callback(os.close, write_end)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: output, os.fdopen(ours, "rb", 0))
        self._ours.append(transport)
        return write_end


async def start_process(command: Command, *, stdin: int, stdout: int, stderr: int) -> Process:
    """Start a command on these descriptors, in a session of its own.

    Raises:
        SandboxError: It could not be started.
    """
    try:
        return await asyncio.create_subprocess_exec(
            *command.argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=dict(command.environment),
            cwd=command.directory,
            pass_fds=tuple(command.pass_fds),
            start_new_session=True,
        )
    except OSError as error:
        raise setup_failed(error.errno or 1, f"{command.argv[0]}: {error.strerror}") from error


class _ProcessStreams(ProcessPipes):
    """The three streams of a run: its whole input at once, two outputs."""

    def __init__(self, cap: int, over: asyncio.Future[KilledReason | None], stdin: bytes) -> None:
        super().__init__()

        def overflow() -> None:
            if not over.done():
                over.set_result("output")

        self.stdout = _Capture(cap, overflow)
        self.stderr = _Capture(cap, overflow)
        self._stdin = stdin
        self._feed: tuple[asyncio.WriteTransport, _Feed] | None = None

    async def __aexit__(self, *_: object) -> None:
        if self._feed is not None and self._feed[1].open:
            self._feed[0].abort()
        await super().__aexit__()

    async def start(self, command: Command) -> Process:
        """Start the command on the pipes, and feed it its input.

        Raises:
            SandboxError: It could not be started.
        """
        with contextlib.ExitStack() as theirs:
            feed = await self._writer(theirs)
            output = await self._reader(theirs, self.stdout)
            errors = await self._reader(theirs, self.stderr)
            return await start_process(command, stdin=feed, stdout=output, stderr=errors)

    async def drained(self) -> None:
        """Wait until all output of the ended process has been read."""
        await asyncio.wait([self.stdout.closed, self.stderr.closed], timeout=PIPE_PATIENCE)

    async def _writer(self, theirs: contextlib.ExitStack) -> int:
        read_end, ours = os.pipe()
        theirs.callback(os.close, read_end)
        loop = asyncio.get_running_loop()
        transport, feed = await loop.connect_write_pipe(_Feed, os.fdopen(ours, "wb", 0))
        self._feed = transport, feed
        transport.write(self._stdin)
        transport.write_eof()
        return read_end
