"""One interpreter in the sandbox for as long as an execution lasts: what one call leaves is there for the next.

Each call has its limits of time and output. One that hits them, or dies, takes the interpreter and its files along; the
next call has a new one. Nothing of it outlives `aclose`.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import time
from asyncio import FIRST_COMPLETED
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from importlib import resources
from typing import Protocol, runtime_checkable

from sale.agents.tools.runs import KilledReason, RunLimits, RunReport
from sale.agents.tools.supervise import (
    PIPE_PATIENCE,
    Command,
    PipeOutput,
    ProcessPipes,
    end,
    reported,
    setup_failed,
    start_process,
    watch_memory,
)

LIFETIME = 100
"""The processor time of one interpreter, in calls that each take all they may."""
_CELLS = resources.files("sale.agents.tools").joinpath("cells.py").read_text(encoding="utf-8")


@runtime_checkable
class InteractiveSandbox(Protocol):
    """A sandbox whose processes can be spoken to."""

    def command(self, code: str, limits: RunLimits) -> AbstractContextManager[Command]:
        """The command that runs `code` alone in a workspace; what it needs is there while the context is open."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CallReport:
    """The result of one call."""

    run: RunReport
    lost: bool
    """The interpreter is gone, with all that was in it."""
    renewed: bool
    """It had ended by itself after the call before, so this one found a new one."""


class PythonSession:
    """One interpreter, started by the first call."""

    def __init__(self, sandbox: InteractiveSandbox, limits: RunLimits) -> None:
        """Nothing is started yet.

        Args:
            sandbox: Where it runs.
            limits: Of each call; memory, files and processes are those of the interpreter.
        """
        self._sandbox = sandbox
        self._limits = limits
        self._lock = asyncio.Lock()
        self._running: _Interpreter | None = None

    async def run(self, code: str) -> CallReport:
        """Run code after what was run before, one call at a time. Cancelling it ends the interpreter.

        Raises:
            SandboxError: The sandbox could not be set up.
        """
        async with self._lock:
            renewed = self._running is not None and not self._running.alive
            if renewed:
                await self._end()
            if self._running is None:
                self._running = await _started(self._sandbox, self._limits)
            alive = False
            try:
                report, alive = await self._running.call(code)
            finally:
                if not alive:
                    await self._end()
            return CallReport(run=report, lost=not alive, renewed=renewed)

    async def aclose(self) -> None:
        """End the interpreter, whatever it is doing."""
        await self._end()

    async def _end(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await running.aclose()


async def _started(sandbox: InteractiveSandbox, limits: RunLimits) -> _Interpreter:
    """A new interpreter.

    Raises:
        SandboxError: It could not be started.
    """
    lifetime = replace(limits, cpu_seconds=LIFETIME * limits.cpu_seconds)
    async with AsyncExitStack() as held:
        command = held.enter_context(sandbox.command(_CELLS, lifetime))
        streams = await held.enter_async_context(_InterpreterStreams(limits.output_bytes))
        process = await streams.start(command)
        return _Interpreter(process, command, streams, limits, held.pop_all())


class _Interpreter:
    """A running one."""

    def __init__(
        self, process: Process, command: Command, streams: _InterpreterStreams, limits: RunLimits, held: AsyncExitStack
    ) -> None:
        self._process = process
        self._command = command
        self._streams = streams
        self._limits = limits
        self._held = held
        self._answered = False
        self._over: asyncio.Future[KilledReason | None] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.create_task(process.wait())
        self._ended.add_done_callback(lambda _: self._stop(None))
        self._memory = asyncio.create_task(watch_memory(process.pid, limits.memory_bytes, self._over))

    @property
    def alive(self) -> bool:
        """True where it can take another call."""
        return not self._over.done()

    async def call(self, code: str) -> tuple[RunReport, bool]:
        """Run code; how it ended, and whether the interpreter is still there."""
        began = time.monotonic()
        outputs = self._streams.outputs
        mark = f"\0{secrets.token_hex(12)}"
        for output in outputs:
            output.begin(mark.encode(), lambda: self._stop("output"))
        order = {"code": code.encode(errors="replace").decode(), "mark": mark, "seconds": self._limits.cpu_seconds}
        self._streams.send(json.dumps(order).encode() + b"\n")
        done, reason = await self._until_over([output.marked for output in outputs])
        self._answered = self._answered or done
        status = outputs[0].status if done else await self._dead()
        if not self._answered and not reported(self._command.report):
            raise setup_failed(status, outputs[1].text)
        if not done and reason is None and status == 128 + signal.SIGXCPU:
            reason = "time"
        report = RunReport(
            exit_code=status,
            stdout=outputs[0].text,
            stderr=outputs[1].text,
            killed_reason=reason,
            truncated=any(output.overflowed for output in outputs),
            seconds=time.monotonic() - began,
        )
        return report, done

    async def _until_over(self, marks: Sequence[asyncio.Future[None]]) -> tuple[bool, KilledReason | None]:
        """Return whether the code came to its end; else the limit it hit, or `None` where the interpreter died."""
        both = asyncio.create_task(_all(marks))
        try:
            await asyncio.wait([both, self._over], timeout=self._limits.wall_seconds, return_when=FIRST_COMPLETED)
            if both.done():
                return True, None
            return False, self._over.result() if self._over.done() else "time"
        finally:
            both.cancel()

    async def _dead(self) -> int:
        """End it; its exit status."""
        await end(self._process, self._ended, self._command)
        await asyncio.wait([output.closed for output in self._streams.outputs], timeout=PIPE_PATIENCE)
        status = self._process.returncode or 0
        return status if status >= 0 else 128 - status

    async def aclose(self) -> None:
        """End it and everything it has started."""
        try:
            await end(self._process, self._ended, self._command)
        finally:
            self._memory.cancel()
            await self._held.aclose()

    def _stop(self, reason: KilledReason | None) -> None:
        if not self._over.done():
            self._over.set_result(reason)


class _CallOutput(PipeOutput):
    """The output of one pipe during a call, up to its mark or a cap."""

    def __init__(self, cap: int) -> None:
        super().__init__(cap)
        self._mark = b""
        self._full: Callable[[], None] = lambda: None
        self.status = 0
        self.marked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def begin(self, mark: bytes, full: Callable[[], None]) -> None:
        """A call begins, and ends with this mark."""
        self._kept.clear()
        self._mark, self._full, self.overflowed = mark, full, False
        self.marked = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Keep it; the mark ends the call, and more than the cap ends the interpreter."""
        if self.marked.done() or self.overflowed:
            return
        self._kept += data
        text, mark, rest = self._kept.partition(self._mark) if self._mark else (self._kept, b"", b"")
        if mark and rest.endswith(b"\n"):
            self._kept = text
            said = rest.strip()
            self.status = int(said) if said.isdigit() else 0
            self.marked.set_result(None)
        if len(text) > self._cap:
            self.overflowed = True
            del self._kept[self._cap :]
            self._full()


class _InterpreterStreams(ProcessPipes):
    """The three standard streams of an interpreter: orders in, two outputs."""

    def __init__(self, cap: int) -> None:
        super().__init__()
        self.outputs = _CallOutput(cap), _CallOutput(cap)
        self._orders: asyncio.WriteTransport | None = None

    async def __aexit__(self, *_: object) -> None:
        if self._orders is not None and not self._orders.is_closing():
            self._orders.abort()
        await super().__aexit__()

    async def start(self, command: Command) -> Process:
        """Start the command on the pipes.

        Raises:
            SandboxError: It could not be started.
        """
        loop = asyncio.get_running_loop()
        with ExitStack() as theirs:
            written = [await self._reader(theirs, output) for output in self.outputs]
            read_end, ours = os.pipe()
            theirs.callback(os.close, read_end)
            self._orders, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(ours, "wb", 0))
            return await start_process(command, stdin=read_end, stdout=written[0], stderr=written[1])

    def send(self, line: bytes) -> None:
        """Send an order; nothing where the interpreter is gone, which the call then sees."""
        if self._orders is not None and not self._orders.is_closing():
            self._orders.write(line)


async def _all(marks: Sequence[asyncio.Future[None]]) -> None:
    await asyncio.wait(marks)
