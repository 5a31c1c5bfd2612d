"""Files that only their owner may read: databases, records, vectors of texts.

Files have mode 0600 and directories 0700, whatever the user's mask says. What an earlier version made more open is
tightened when it is opened. On systems without such modes nothing is changed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700
SQLITE_SUFFIXES: Final = ("", "-wal", "-shm", "-journal")
"""The files of one SQLite database, by what follows its name."""


def make_directory(directory: Path) -> None:
    """Make a directory for its owner alone, and those above it that are not there.

    One that is there stays as it is: it may be anybody's, `/tmp` or a project.

    Raises:
        OSError: It cannot be made.
    """
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=DIRECTORY_MODE, exist_ok=True)


def make_own_directory(directory: Path) -> None:
    """Make a directory that is this program's own for its owner alone, or tighten it where it is there.

    Raises:
        OSError: It cannot be made.
    """
    make_directory(directory)
    tighten(directory)


def make_file(path: Path) -> None:
    """Have a file there for its owner alone, before a library opens it in its own way; one that is there stays.

    SQLite gives the log of a database and its index the mode of the database itself.

    Raises:
        OSError: The file cannot be made.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))


def tighten_database(path: Path) -> None:
    """Tighten the files of a SQLite database that is known to be this program's own."""
    for suffix in SQLITE_SUFFIXES:
        tighten(path.with_name(path.name + suffix))


def open_private(path: Path, flags: int) -> int:
    """Open a file, and make it for its owner alone where it is new; gives back its descriptor.

    Raises:
        OSError: It cannot be opened.
    """
    return os.open(path, flags | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), FILE_MODE)


def tighten(path: Path) -> None:
    """Take from everybody but the owner what they may do with a file or directory; one of another user stays."""
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            path.chmod(mode & DIRECTORY_MODE)
