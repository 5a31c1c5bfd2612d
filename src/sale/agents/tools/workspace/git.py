"""Asking the git program, which makes and applies patches better than anything written anew."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sale.errors import ExecutionError, InputError

SECONDS = 120.0
_ALONE = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
}
"""No settings of the user's or the machine's: the same files give the same patch everywhere."""

Ran = subprocess.CompletedProcess[bytes]


def git_in(directory: Path, *arguments: str) -> Ran:
    """Ask about a repository of the user's, under the user's own settings."""
    # A monitor is a program that the repository names: it is not needed to list files.
    return _ran([_program(), "-C", str(directory), "-c", "core.fsmonitor=false", *arguments], b"", None)


def git_alone(arguments: Sequence[str], *, repository: Path, work_tree: Path | None = None, given: bytes = b"") -> Ran:
    """Work with a repository of our own, where nobody else's settings, hooks or attributes count."""
    tree = [] if work_tree is None else [f"--work-tree={work_tree}"]
    where = work_tree or repository
    return _ran([_program(), f"--git-dir={repository}", *tree, *arguments], given, where, alone=True)


def git(ran: Ran) -> bytes:
    """What it wrote.

    Raises:
        ExecutionError: It failed.
    """
    if ran.returncode != 0:
        said = ran.stderr.decode(errors="replace").strip()[-500:]
        raise ExecutionError(f"git failed with status {ran.returncode}: {said or 'no word why'}")
    return ran.stdout


def _program() -> str:
    found = shutil.which("git")
    if found is None:
        raise InputError("a workspace needs git, which makes the patch", hint="Install the package `git`.")
    return found


def _ran(command: list[str], given: bytes, directory: Path | None, *, alone: bool = False) -> Ran:
    try:
        return subprocess.run(  # noqa: S603 - our own command
            command,
            input=given,
            capture_output=True,
            cwd=directory,
            env=dict(_ALONE) if alone else None,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExecutionError(f"git did not do its work: {error}") from error
