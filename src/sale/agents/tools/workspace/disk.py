"""Reads files below a directory that is not trusted: no symbolic link on the way is followed, no device is waited for.

The operating system follows a link in the middle of a path without a word. An index of git can name `link/secret` where
`link` leads to a home directory, so every directory on the way to a file is looked at first.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from sale.agents.tools.workspace.tree import MEGABYTE, FileEntry, check_path, stays_inside
from sale.errors import InputError

# A pipe with a file's name would be waited for without O_NONBLOCK. Neither exists on Windows.
_PLAIN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class UntrustedFolder:
    """A directory of the user's, as far as it is really below its own path."""

    def __init__(self, top: Path) -> None:
        """Read below `top`, whose own path is taken as it is. Nothing is read yet."""
        self._top = top
        self._real = {"": True}

    def entry(self, name: str, most: int) -> FileEntry | None:
        """Return the file or link at a path, or `None` where there is none, or a directory.

        Args:
            name: The path below the top.
            most: The largest file that is read, in bytes.

        Raises:
            InputError: It must not be read: it lies below a symbolic link, leads out, or is too large or no file.
            OSError: The operating system refuses.
        """
        check_path(name)
        path = self._top / name
        if not self._is_real(name.rpartition("/")[0]):
            raise InputError("it lies below a symbolic link, which git does not follow either")
        try:
            about = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISLNK(about.st_mode):
            target = str(path.readlink())
            if not stays_inside(name, target):
                raise InputError("a symbolic link that leads out")
            return FileEntry(target.encode(), "120000")
        if stat.S_ISDIR(about.st_mode):
            return None
        if not stat.S_ISREG(about.st_mode):
            raise InputError("neither a file nor a link")
        data = read_regular(path, most)
        return FileEntry(data, "100755" if about.st_mode & stat.S_IXUSR else "100644")

    def is_directory(self, name: str) -> bool:
        """Return whether a path is a directory of its own, reached without any link."""
        return self._is_real(name) and (self._top / name).is_dir()

    def _is_real(self, folder: str) -> bool:
        """Return whether no part of a directory's path is a symbolic link."""
        known = self._real.get(folder)
        if known is None:
            above = folder.rpartition("/")[0]
            known = self._is_real(above) and not (self._top / folder).is_symlink()
            self._real[folder] = known
        return known


def refuse_pipes(folders: Iterable[Path], name: str) -> None:
    """Refuse directories that have a pipe by a name under which git reads a file: git would wait for it for ever.

    Raises:
        InputError: One has.
    """
    for folder in folders:
        try:
            kind = (folder / name).stat().st_mode  # through links, which older versions of git follow
        except (OSError, ValueError):
            continue
        if stat.S_ISFIFO(kind):
            raise InputError("it is a pipe, for which git would wait", where=str(folder / name), hint="Remove it.")


def read_regular(path: Path, most: int) -> bytes:
    """Return what is in a regular file, which must not be a symbolic link itself.

    Raises:
        InputError: It is not a regular file, or larger than `most` bytes.
        OSError: The operating system refuses.
    """
    descriptor = os.open(path, _PLAIN)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InputError("neither a file nor a link")
        data = file.read(most + 1)
    if len(data) > most:
        raise InputError(f"larger than {most // MEGABYTE} MB")
    return data
