"""Entries of a directory, as a working copy has them."""

from __future__ import annotations

from pathlib import Path

from sale.agents.tools.workspace.tree import FileEntry, Mode


def put(root: Path, name: str, entry: FileEntry) -> None:
    """Write an entry to disk, below a directory that is ours alone."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if entry.mode == "120000":
        path.symlink_to(entry.data.decode(errors="surrogateescape"))
        return
    path.write_bytes(entry.data)
    path.chmod(0o755 if entry.mode == "100755" else 0o644)


def read_entry(root: Path, name: str) -> FileEntry | None:
    """Read an entry back; `None` where there is none."""
    path = root / name
    if path.is_symlink():
        return FileEntry(str(path.readlink()).encode(errors="surrogateescape"), "120000")
    if not path.is_file():
        return None
    mode: Mode = "100755" if path.stat().st_mode & 0o100 else "100644"
    return FileEntry(path.read_bytes(), mode)
