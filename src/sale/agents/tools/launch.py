"""The command line of the launcher: how a sandbox starts the code's Python under its limits."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Literal

from sale.agents.tools.runs import RunLimits

ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",  # each further arena reserves 64 MB of the address space
    "PATH": "/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",  # the same code gives the same verdict
    "PYTHONUNBUFFERED": "1",  # what was printed before a kill is not lost
    "TMPDIR": "/tmp",  # noqa: S108 - inside the sandbox
}
"""All the environment the code sees, its home directory apart."""

_LAUNCHER = resources.files("sale.agents.tools").joinpath("launcher.py").read_text(encoding="utf-8")


def launch(
    python: Path, main: str, *, report: int, settings: Sequence[str], mode: Literal["stay", "become"], user: int | None
) -> list[str]:
    """The command that starts the launcher, which starts `main`. See `launcher` for the arguments."""
    identity = "-" if user is None else str(user)
    launcher = [str(python), "-I", "-S", "-c", _LAUNCHER, str(report), identity, mode, *settings]
    return [*launcher, "--", str(python), "-s", main]


def rlimits(limits: RunLimits, *, processes: int | None) -> list[str]:
    """The kernel's limits as the launcher takes them.

    Args:
        limits: The limits of the run.
        processes: How many the user of the code may have, or `None` where counting would count others, too.
    """
    cpu = limits.cpu_seconds
    settings = [
        f"RLIMIT_CPU={cpu}:{cpu + 1}",
        f"RLIMIT_AS={limits.address_bytes or limits.memory_bytes}",
        f"RLIMIT_FSIZE={limits.file_bytes}",
        f"RLIMIT_NOFILE={limits.open_files}",
        "RLIMIT_CORE=0",
        "RLIMIT_MSGQUEUE=0",
    ]
    return settings if processes is None else [*settings, f"RLIMIT_NPROC={processes}"]
