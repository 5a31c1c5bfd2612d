"""Copying a user's directory into memory: what git tracks or would track, or, without git, what is there.

The directory is only read. Symbolic links are copied as links, never followed; those that lead out are left out, and so
are those that lead round in a circle, as git cannot apply a patch that puts a directory in the place of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sale.agents.tools.workspace.disk import UntrustedFolder
from sale.agents.tools.workspace.ignoring import IgnoreRules
from sale.agents.tools.workspace.repository import list_files
from sale.agents.tools.workspace.tree import MEGABYTE, CopyLimits, FileEntry, Tree, goes_round, links_out
from sale.errors import InputError
from sale.wording import quantity


@dataclass(frozen=True, kw_only=True, slots=True)
class CopiedDirectory:
    """The files found in a directory."""

    tree: Tree
    prefix: str
    """Where the directory is below the top of its git repository, ending in `/`; empty at the top or without git."""
    left_out: tuple[str, ...]
    """Files that could not be copied, with the reasons."""
    inner: tuple[str, ...] = ()
    """Directories that are repositories of their own, submodules for one: their files are copied as well."""
    held: frozenset[str] = frozenset()
    """Paths at which something is that was not copied."""
    rules: IgnoreRules = field(default_factory=IgnoreRules)
    """The rules that the files were chosen by, beside those in the files."""


def copy_directory(directory: Path, room: CopyLimits) -> CopiedDirectory:
    """Read a directory.

    Raises:
        InputError: It is not a directory, cannot be read, or is too large.
    """
    if not directory.is_dir():
        raise InputError("there is no such directory", where=str(directory))
    listing = list_files(directory)
    folder = UntrustedFolder(directory)
    entries: dict[str, FileEntry] = {}
    left_out = dict.fromkeys(listing.absent, "a submodule that is not checked out")
    total = 0
    for name in listing.names:
        try:
            entry = folder.entry(name, room.file_bytes)
        except (OSError, InputError) as error:
            left_out[name] = error.message if isinstance(error, InputError) else str(error.strerror)
            continue
        if entry is None:
            continue
        entries[name] = entry
        total += len(entry.data)
        _check_room(directory, len(entries), total, room)
    for name in links_out(entries):
        del entries[name]
        left_out[name] = "a symbolic link that leads out"
    for name in [name for name in entries if goes_round(name, entries)]:
        del entries[name]
        left_out[name] = "a symbolic link that leads round in a circle"
    return CopiedDirectory(
        tree=entries,
        prefix=listing.prefix,
        left_out=tuple(f"{name.encode(errors='replace').decode()}: {why}" for name, why in left_out.items()),
        inner=listing.inner,
        held=frozenset(left_out),
        rules=listing.rules,
    )


def _check_room(directory: Path, files: int, total: int, room: CopyLimits) -> None:
    if files > room.files:
        raise InputError(
            f"there are more than {quantity(room.files, 'file')}",
            where=str(directory),
            hint="Let .gitignore name what is made anew, or raise workspace.files in sale.toml.",
        )
    if total > room.total_bytes:
        raise InputError(
            f"its files are larger than {room.total_bytes // MEGABYTE} MB together",
            where=str(directory),
            hint="Let .gitignore name what is made anew, or raise workspace.megabytes in sale.toml.",
        )
