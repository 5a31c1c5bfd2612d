"""The Python tool of an agent's tool loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sale.agents.protocol import Tool
from sale.agents.tools.runs import DEFAULT_LIMITS, RunLimits, RunReport, Sandbox
from sale.agents.tools.session import InteractiveSandbox, PythonSession
from sale.types import ToolInfo
from sale.types.tools import FREE, Fee

OBSERVATION_CHARACTERS = 4000
"""Characters of each of stdout and stderr that the agent is shown."""

_BARE = "Standard library only, no network, no files but its own."
_AFRESH = ToolInfo(
    name="python",
    description=(
        f"Runs a Python program and returns what it printed, its errors and its exit status. {_BARE} Every call starts "
        "afresh: nothing is remembered between calls. Use print() for whatever you want to see."
    ),
)
_LASTING = ToolInfo(
    name="python",
    description=(
        "Runs Python and returns what it printed, the value of a last expression, its errors and its exit status. "
        f"{_BARE} Variables, imports and files stay for the next call of the same task."
    ),
)
_LOST = "The interpreter is gone, with its variables, imports and files: the next call begins anew."
_RENEWED = "The interpreter had ended after the last call: this one began anew, without variables, imports and files."


class PythonTool:
    """Lets an agent run Python in a sandbox. One can serve many agents at once."""

    long_input = True

    def __init__(
        self, sandbox: Sandbox, *, limits: RunLimits = DEFAULT_LIMITS, fee: Fee = FREE, lasting: bool = False
    ) -> None:
        """Run in this sandbox, each call under these limits and for this fee.

        Args:
            sandbox: Where programs run.
            limits: Of each call.
            fee: What a call costs.
            lasting: Whether the calls of one execution share an interpreter; each starts afresh unless the sandbox can.
        """
        self._sandbox = sandbox
        self._limits = limits
        self._lasting = sandbox if lasting and isinstance(sandbox, InteractiveSandbox) else None
        self.fee = fee

    @property
    def name(self) -> str:
        """The name of the tool."""
        return self.info.name

    @property
    def info(self) -> ToolInfo:
        """As bidders and workers see it."""
        return _LASTING if self._lasting else _AFRESH

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Tool]:
        """The tool for one execution."""
        if self._lasting is None:
            yield self
            return
        session = PythonSession(self._lasting, self._limits)
        try:
            yield _PythonInSession(session, self)
        finally:
            await session.aclose()

    async def run(self, code: str) -> str:
        """Run a Python program and return what it printed, its errors and its exit status.

        Every call starts afresh: define and import everything the program needs. Print what you want to see.

        Args:
            code: A complete Python program.
        """
        return observation(await self._sandbox.run(code, limits=self._limits), self._limits)

    @property
    def limits(self) -> RunLimits:
        """Of each call."""
        return self._limits


class _PythonInSession:
    """The tool of one execution."""

    long_input = True

    def __init__(self, session: PythonSession, tool: PythonTool) -> None:
        self._session = session
        self._limits = tool.limits
        self.info = tool.info
        self.fee = tool.fee

    async def run(self, code: str) -> str:
        """Run Python and return what it printed, its errors and its exit status.

        Variables, imports and files of earlier calls are there. The value of a last expression is shown.

        Args:
            code: Python code.
        """
        report = await self._session.run(code)
        shown = observation(report.run, self._limits)
        return "\n".join([*([_RENEWED] if report.renewed else []), shown, *([_LOST] if report.lost else [])])


def observation(report: RunReport, limits: RunLimits) -> str:
    """Describe a run for the agent: how it ended, then the head and tail of its output."""
    parts = [_ending(report, limits)]
    if report.stdout:
        parts.append(f"stdout:\n{clip(report.stdout, OBSERVATION_CHARACTERS)}")
    if report.stderr:
        parts.append(f"stderr:\n{clip(report.stderr, OBSERVATION_CHARACTERS)}")
    if not report.stdout and not report.stderr:
        parts.append("It printed nothing. Use print() for whatever you want to see.")
    return "\n".join(part.rstrip("\n") for part in parts)


def clip(text: str, characters: int) -> str:
    """A text's head and tail where it is longer than `characters`; the tail gets the larger share: errors end it."""
    if len(text) <= characters:
        return text
    head = characters // 3
    tail = characters - head
    return f"{text[:head]}\n[… {len(text) - characters} characters left out …]\n{text[-tail:]}"


def _ending(report: RunReport, limits: RunLimits) -> str:
    match report.killed_reason:
        case "time":
            allowed = f"{limits.cpu_seconds} s of processor time and {limits.wall_seconds:g} s in all"
            return f"killed: it took longer than allowed ({allowed})"
        case "memory":
            return f"killed: it used more than {limits.memory_bytes // 2**20} MB of memory"
        case "output":
            return f"killed: it printed more than {limits.output_bytes} bytes"
        case None:
            return f"exit status {report.exit_code}"
