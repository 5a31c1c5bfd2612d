"""Entries of a directory, as a working copy has them."""

from __future__ import annotations

from pathlib import Path

from sale.agents.tools.workspace.tree import FileEntry, Mode


def read_entry(root: Path, name: str) -> FileEntry | None:
    """Read an entry back; `None` where there is none."""
    path = root / name
    if path.is_symlink():
        return FileEntry(str(path.readlink()).encode(errors="surrogateescape"), "120000")
    if not path.is_file():
        return None
    mode: Mode = "100755" if path.stat().st_mode & 0o100 else "100644"
    return FileEntry(path.read_bytes(), mode)
