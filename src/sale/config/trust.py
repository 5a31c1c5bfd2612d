"""Which `sale.toml` found in the working directory is believed.

Settings start programs and send the values of environment variables to addresses, so those that came with a repository
must not be obeyed by whoever happens to stand in it. A file in the working directory is foreign where it may have come
from another person: in the work tree of a version control system, in the directory that agents are sent to work on, or
where others can put files. A foreign file is believed only as it was when the user allowed it, which is kept by path
and content in the user's data directory; direnv does likewise. What the user names (`--config`, `$SALE_CONFIG`), the
user's own configuration directory, and a file in a folder of the user's that is none of these are believed at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Literal, cast

import platformdirs

from sale.config.environment import APP

Standing = Literal["allowed", "changed", "unknown"]
REPOSITORIES = (".git", ".hg", ".svn", ".jj", ".bzr", "_darcs", ".fslckout", "CVS")
"""Names in the top of a work tree that show it is one, by version control system."""


def is_foreign(file: Path, *, workspace: Path | None = None) -> bool:
    """Return whether a file may have come from another person.

    Args:
        file: A file of settings found in the working directory.
        workspace: The directory that agents are to work on.
    """
    # Where it seems to be, and where it is: a link can stand for a file of a repository, and a directory for another.
    places = {file.absolute().parent, file.absolute().parent.resolve(), file.resolve().parent}
    if workspace is not None and any(place.is_relative_to(workspace.resolve()) for place in places):
        return True
    tops = {top for place in places for top in (place, *place.parents)}
    return any(os.path.lexists(top / name) for top in tops for name in REPOSITORIES) or _is_of_another_user(file)


def standing_of(file: Path) -> Standing:
    """Return whether a file is allowed as it is now, was allowed before it changed, or never was.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        noted: object = json.loads(_note_of(file).read_bytes())
    except (OSError, ValueError):
        return "unknown"
    digest = cast("dict[str, object]", noted).get("sha256") if isinstance(noted, dict) else None
    return "allowed" if digest == _digest(file) else "changed"


def allow(file: Path, content: bytes | None = None) -> None:
    """Believe a file from now on, as it is at present.

    Args:
        file: The file.
        content: Its bytes as the user was told of them. Where it has changed since, it is not believed. Read anew
            unless given.

    Raises:
        OSError: The file cannot be read, or the note of it cannot be written.
    """
    note = _note_of(file)
    note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    said = {"path": str(file.resolve()), "sha256": _digest(file) if content is None else _digest_of(content)}
    new = note.with_suffix(f".{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as target:
        json.dump(said, target)
    new.replace(note)


def disallow(file: Path) -> bool:
    """Believe a file no longer; return whether it was believed."""
    note = _note_of(file)
    known = note.exists()
    note.unlink(missing_ok=True)
    return known


def _note_of(file: Path) -> Path:
    key = hashlib.sha256(os.fsencode(file.resolve())).hexdigest()
    return platformdirs.user_data_path(APP) / "allowed" / f"{key}.json"


def _digest(file: Path) -> str:
    return _digest_of(file.read_bytes())


def _digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_of_another_user(file: Path) -> bool:
    """Return whether another user put the file into a directory that everybody may write to, such as `/tmp`."""
    if not hasattr(os, "geteuid"):
        return False
    shared = file.absolute().parent.stat().st_mode & stat.S_IWOTH
    return bool(shared) and file.lstat().st_uid not in {0, os.geteuid()}
