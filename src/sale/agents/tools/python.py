"""The Python tool of an agent's tool loop."""

from __future__ import annotations

from sale.agents.tools.runs import DEFAULT_LIMITS, Limits, RunReport, Sandbox
from sale.types import ToolInfo
from sale.types.tools import FREE, Fee

OBSERVATION_CHARACTERS = 4000
"""How much of each of stdout and stderr the agent is shown."""

_INFO = ToolInfo(
    name="python",
    description=(
        "Runs a Python program and returns what it printed, its errors and its exit status. Standard library only, "
        "no network, no files but its own. Every call starts afresh: nothing is remembered between calls. "
        "Use print() for whatever you want to see."
    ),
)


class PythonTool:
    """Lets an agent run Python in a sandbox. One can serve many agents at once."""

    name = _INFO.name
    info = _INFO
    long_input = True

    def __init__(self, sandbox: Sandbox, *, limits: Limits = DEFAULT_LIMITS, fee: Fee = FREE) -> None:
        """Run in this sandbox, each call under these limits and for this fee."""
        self._sandbox = sandbox
        self._limits = limits
        self.fee = fee

    async def run(self, code: str) -> str:
        """Run a Python program and return what it printed, its errors and its exit status.

        Every call starts afresh: define and import everything the program needs. Print what you want to see.

        Args:
            code: A complete Python program.
        """
        return observation(await self._sandbox.run(code, limits=self._limits), self._limits)


def observation(report: RunReport, limits: Limits) -> str:
    """What the agent is shown of a run: how it ended, then the head and tail of what it wrote."""
    parts = [_ending(report, limits)]
    if report.stdout:
        parts.append(f"stdout:\n{clipped(report.stdout, OBSERVATION_CHARACTERS)}")
    if report.stderr:
        parts.append(f"stderr:\n{clipped(report.stderr, OBSERVATION_CHARACTERS)}")
    if not report.stdout and not report.stderr:
        parts.append("It printed nothing. Use print() for whatever you want to see.")
    return "\n".join(part.rstrip("\n") for part in parts)


def clipped(text: str, characters: int) -> str:
    """A text's head and tail where it is longer than `characters`; the tail gets the larger share: errors end it."""
    if len(text) <= characters:
        return text
    head = characters // 3
    tail = characters - head
    return f"{text[:head]}\n[… {len(text) - characters} characters left out …]\n{text[-tail:]}"


def _ending(report: RunReport, limits: Limits) -> str:
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
