"""Chooses where code written by models runs: bubblewrap where it works, nothing less unless the user says so."""

from __future__ import annotations

import os

from sale.agents.tools.bubblewrap import BubblewrapSandbox, find_bwrap
from sale.agents.tools.plain_process import SubprocessSandbox
from sale.agents.tools.runs import DEFAULT_LIMITS, KilledReason, RunLimits, RunReport, Sandbox
from sale.config import SandboxSettings
from sale.errors import SandboxError

__all__ = [
    "DEFAULT_LIMITS",
    "BubblewrapSandbox",
    "KilledReason",
    "RunLimits",
    "RunReport",
    "Sandbox",
    "SubprocessSandbox",
    "find_sandbox",
    "limits_of",
    "open_sandbox",
]

MEGABYTE = 1024 * 1024
_OPT_IN = "Or run it without any isolation: [sandbox] unsafe_subprocess = true in sale.toml."
_INSTALL = "Install bubblewrap 0.8 or newer (package `bubblewrap`; Linux only)."
_ALLOW = (
    "It needs bubblewrap 0.8, Linux 5.14 and leave to make namespaces: some systems forbid that to ordinary users "
    "(kernel.apparmor_restrict_unprivileged_userns, kernel.unprivileged_userns_clone, user.max_user_namespaces) "
    "and most containers to everybody."
)


def find_sandbox(allow_unsafe: bool = False) -> Sandbox:
    """The best sandbox this machine has. Bubblewrap is really tried, for some 50 ms: keep the result.

    Args:
        allow_unsafe: Whether to settle for `SubprocessSandbox`, which isolates nothing, where bubblewrap fails.

    Raises:
        SandboxError: Code cannot be isolated here, and running it without isolation was not asked for.
    """
    bwrap = find_bwrap()
    if bwrap is None:
        problem, remedy = "bubblewrap (the program `bwrap`) is not installed.", _INSTALL
    else:
        sandbox = BubblewrapSandbox(bwrap=bwrap)
        reason = sandbox.probe()
        if reason is None:
            return sandbox
        problem, remedy = f"bubblewrap does not work here: {reason}", _ALLOW
    if allow_unsafe and os.name == "posix":
        return SubprocessSandbox()
    raise SandboxError(f"Code cannot be isolated on this machine: {problem}", hint=f"{remedy} {_OPT_IN}")


def limits_of(box: SandboxSettings) -> RunLimits:
    """The sandbox limits of the settings."""
    return RunLimits(cpu_seconds=box.cpu_seconds, wall_seconds=box.wall_seconds, memory_bytes=box.memory_mb * MEGABYTE)


def open_sandbox(box: SandboxSettings) -> tuple[Sandbox, RunLimits]:
    """Where code runs by these settings, and what it may take.

    Raises:
        SandboxError: Code cannot be isolated here, and the settings do not say to run it all the same.
    """
    return find_sandbox(allow_unsafe=box.unsafe_subprocess), limits_of(box)
