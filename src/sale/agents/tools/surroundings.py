"""The directories a sandbox has beside the bare system: a place of its own, and trees it may read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxMounts:
    """Added to what every run has. Nothing in it can be written but the place, which is in memory and empty at first.

    With surroundings the packages installed for the interpreter are visible, too; without, they are hidden.
    """

    place: PurePosixPath
    """An empty directory that the run may fill. In a real file system it would be at this absolute path."""
    place_bytes: int
    """Bytes that fit into the place."""
    visible: tuple[Path, ...] = ()
    """Files and trees shown read-only at their own paths, in this order: a later one may lie in an earlier one."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables for commands, in place of what they would find."""
