"""Copying a user's directory into memory: what git tracks or would track, or, without git, what is there.

The directory is only read. Symbolic links are copied as links, never followed; those that lead out are left out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sale.agents.tools.workspace.git import git, git_in
from sale.agents.tools.workspace.tree import MEGABYTE, Entry, Room, Tree, checked, stays_inside
from sale.errors import InputError

JUNK = frozenset({
    ".git", ".hg", ".svn", "__pycache__", "node_modules", ".tox", ".nox", ".pytest_cache", ".mypy_cache", ".ruff_cache",
})  # fmt: skip
"""Directories that are never copied where there is no git to say what counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    """What was found in a directory."""

    tree: Tree
    prefix: str
    """Where the directory is below the top of its git repository, ending in `/`; empty at the top or without git."""
    left_out: tuple[str, ...]
    """What could not be copied, with why."""


def copied(directory: Path, room: Room) -> Copied:
    """Read a directory.

    Raises:
        InputError: It is no directory, cannot be read, or is too large.
    """
    if not directory.is_dir():
        raise InputError("there is no such directory", where=str(directory))
    prefix, names = _listed(directory)
    entries: dict[str, Entry] = {}
    left_out: list[str] = []
    total = 0
    for name in names:
        try:
            entry = _entry(directory, name, room)
        except (OSError, InputError) as error:
            said = error.message if isinstance(error, InputError) else error.strerror
            left_out.append(f"{name.encode(errors='replace').decode()}: {said}")
            continue
        if entry is None:
            continue
        entries[name] = entry
        total += len(entry.data)
        _check_room(directory, len(entries), total, room)
    return Copied(tree=entries, prefix=prefix, left_out=tuple(left_out))


def _check_room(directory: Path, files: int, total: int, room: Room) -> None:
    if files > room.files:
        raise InputError(
            f"there are more than {room.files} files",
            where=str(directory),
            hint="Let .gitignore name what is made anew, or raise workspace.files in sale.toml.",
        )
    if total > room.total_bytes:
        raise InputError(
            f"its files are larger than {room.total_bytes // MEGABYTE} MB together",
            where=str(directory),
            hint="Let .gitignore name what is made anew, or raise workspace.megabytes in sale.toml.",
        )


def _entry(directory: Path, name: str, room: Room) -> Entry | None:
    """A file or link; `None` for what is no longer there, and for directories (submodules)."""
    path = directory / name
    try:
        about = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    checked(name)
    if stat.S_ISLNK(about.st_mode):
        target = str(path.readlink())
        if not stays_inside(name, target):
            raise InputError("a symbolic link that leads out")
        return Entry(target.encode(), "120000")
    if stat.S_ISDIR(about.st_mode):
        return None
    if not stat.S_ISREG(about.st_mode):
        raise InputError("neither a file nor a link")
    if about.st_size > room.file_bytes:
        raise InputError(f"larger than {room.file_bytes // MEGABYTE} MB")
    return Entry(path.read_bytes(), "100755" if about.st_mode & stat.S_IXUSR else "100644")


def _listed(directory: Path) -> tuple[str, list[str]]:
    """The prefix, and the names of all files that count."""
    asked = git_in(directory, "rev-parse", "--show-prefix")
    if asked.returncode != 0:
        said = asked.stderr.decode(errors="replace").strip()
        if "not a git repository" not in said and "work tree" not in said:
            raise InputError(
                f"git does not read it: {said.splitlines()[0] if said else 'no word why'}", where=str(directory)
            )
        return "", sorted(_walked(directory))
    listed = git(git_in(directory, "ls-files", "-z", "--cached", "--others", "--exclude-standard"))
    names = sorted({os.fsdecode(name) for name in listed.split(b"\0") if name})
    names = [name for name in names if not any(_is_environment(directory / top) for top in _tops(name))]
    if not names and any(path.name != ".git" for path in directory.iterdir()):
        return "", sorted(_walked(directory))  # all of it is ignored: it is a repository's scratch directory
    prefix = asked.stdout.decode(errors="surrogateescape").rstrip("\n")
    return prefix, names


def _walked(directory: Path) -> Iterator[str]:
    for place, folders, files in os.walk(directory):
        links = [name for name in folders if Path(place, name).is_symlink()]
        folders[:] = [
            name for name in folders if name not in {*JUNK, *links} and not _is_environment(Path(place, name))
        ]
        for name in (*files, *links):
            yield str(Path(place, name).relative_to(directory))


def _tops(name: str) -> list[str]:
    """The first two directories on the way to a file: where virtual environments are kept."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, min(len(parts), 2) + 1)]


def _is_environment(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").is_file()
