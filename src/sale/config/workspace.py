"""Copies of repositories that agents work in: the section `[workspace]` of `sale.toml`."""

from __future__ import annotations

from pathlib import Path

from sale.config.sections import Positive, Seconds, Section


class WorkspaceSettings(Section):
    """A copy of a user's repository, and the commands that run over it."""

    files: Positive = 20_000
    """The most files that are copied."""
    megabytes: Positive = 128
    """The most they may have together."""
    seconds: Seconds = 120.0
    """The longest one command may take."""
    memory_mb: Positive = 2048
    """Memory of one command, all its processes together."""
    processes: Positive = 256
    """Processes and threads of one command."""
    disk_mb: Positive = 512
    """Megabytes a command may write; they are in memory."""
    visible: tuple[Path, ...] = ()
    """Trees that commands may read beside the system's and the project's virtual environment: where a language keeps
    its tools. What is in their `bin` can be called by name."""
