"""The copy itself: files by path, held in memory, so that there is nothing outside it for a path to lead to.

A path is relative to the copy's top, with `/` between its parts. Directories exist as far as files are in them.
"""

from __future__ import annotations

import posixpath
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sale.agents.tools.workspace.texts import FileText, decode_file
from sale.errors import InputError
from sale.wording import quantity

Mode = Literal["100644", "100755", "120000"]
"""As git writes them: a file, a program, a symbolic link."""
MEGABYTE = 2**20
PATH_BYTES = 1024
LINK_HOPS = 8
"""Symbolic links that may follow one another."""
MAX_LINKS = 40
"""Symbolic links the kernel follows on one path."""
RESERVED = frozenset({".git"})
"""Names no part of a path may have, in any case: what git would read as its own."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file, a program, or a symbolic link, whose data is its target."""

    data: bytes
    mode: Mode = "100644"

    @property
    def text(self) -> str | None:
        """Its text, each line ending in a line feed, where it is text in an encoding it declares, or UTF-8."""
        found = None if self.mode == "120000" else decode_file(self.data)
        return None if found is None else found.plain

    @property
    def is_utf8(self) -> bool:
        """True where its bytes are text in UTF-8, whatever it declares."""
        if b"\0" in self.data:
            return False
        try:
            self.data.decode()
        except UnicodeDecodeError:
            return False
        return True


Tree = Mapping[str, FileEntry]


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyLimits:
    """The size limits of a copy."""

    files: int = 20_000
    total_bytes: int = 128 * MEGABYTE
    file_bytes: int = 32 * MEGABYTE


class WorkingCopy:
    """A copy that is being worked on."""

    def __init__(self, tree: Tree, room: CopyLimits | None = None) -> None:
        """Begin with these files; the tree itself is never changed."""
        self._entries = dict(tree)
        self._room = room or CopyLimits()
        self._bytes = sum(len(entry.data) for entry in tree.values())

    @property
    def tree(self) -> Tree:
        """The files as they are now."""
        return dict(self._entries)

    def paths(self, below: str = "") -> list[str]:
        """Every path below a directory, or the path itself where it is a file; sorted.

        Raises:
            InputError: There is nothing there, or the path leads out.
        """
        top = "" if below in {"", ".", "./", "/"} else check_path(below)
        found = sorted(path for path in self._entries if not top or path == top or path.startswith(f"{top}/"))
        if not found and top:
            raise InputError(f"there is no {top!r} in the copy", hint="list_files shows what there is.")
        return found

    def read(self, path: str) -> FileEntry:
        """A file, through symbolic links within the copy.

        Raises:
            InputError: There is no such file, or the path leads out.
        """
        where = self.resolve(path)
        entry = self._entries.get(where)
        if entry is None:
            raise InputError(self._missing(where))
        return entry

    def text(self, path: str) -> FileText | None:
        """Return a file as text, through symbolic links within the copy; `None` where there is no file.

        Raises:
            InputError: The file is not text, there is a directory, or the path leads out.
        """
        where = self.resolve(path)
        entry = self._entries.get(where)
        if entry is None:
            if any(other.startswith(f"{where}/") for other in self._entries):
                raise InputError(f"{where!r} is a directory")
            return None
        found = decode_file(entry.data)
        if found is None:
            raise InputError(
                f"{where!r} is no text: it is not in UTF-8, nor in an encoding that it declares, so it is left as it is"
            )
        return found

    def write(self, path: str, data: bytes, mode: Mode | None = None) -> str:
        """Write a file, through symbolic links within the copy; what was there keeps its mode. Returns where it is.

        Raises:
            InputError: The path leads out, is a directory, lies below a file, or there is no room.
        """
        where = self.resolve(path)
        if any(other.startswith(f"{where}/") for other in self._entries):
            raise InputError(f"{where!r} is a directory")
        if inside := next((top for top in parents(where) if top in self._entries), None):
            raise InputError(f"{inside!r} is a file, so nothing can be in it")
        old = self._entries.get(where)
        self._make_room(where, len(data) - (len(old.data) if old else 0), data, new=old is None)
        self._entries[where] = FileEntry(data, mode or (old.mode if old else "100644"))
        return where

    def replace_all(self, tree: Tree) -> None:
        """Take the files of another tree in place of these.

        Raises:
            InputError: They do not fit; nothing is changed then.
        """
        total = sum(len(entry.data) for entry in tree.values())
        if len(tree) > self._room.files or total > self._room.total_bytes:
            raise InputError(f"{quantity(len(tree), 'file')} of {total / MEGABYTE:.0f} MB are more than the copy holds")
        self._entries, self._bytes = dict(tree), total

    def resolve(self, path: str) -> str:
        """The path a path leads to once symbolic links on it are followed.

        Raises:
            InputError: It leads out of the copy, or in a circle.
        """
        name = check_path(path)
        for _ in range(LINK_HOPS):
            link = next((top for top in (*parents(name), name) if self._is_link(top)), None)
            if link is None:
                return name
            target = self._entries[link].data.decode(errors="replace")
            name = check_path(posixpath.join(posixpath.dirname(link), target) + name[len(link) :])
        raise InputError(f"{path!r} follows too many symbolic links")

    def _is_link(self, path: str) -> bool:
        entry = self._entries.get(path)
        return entry is not None and entry.mode == "120000"

    def _missing(self, path: str) -> str:
        if any(other.startswith(f"{path}/") for other in self._entries):
            return f"{path!r} is a directory"
        name = posixpath.basename(path)
        like = [other for other in self._entries if posixpath.basename(other) == name][:3]
        return f"there is no file {path!r}" + (f"; there is {', '.join(sorted(like))}" if like else "")

    def _make_room(self, path: str, more: int, data: bytes, *, new: bool) -> None:
        room = self._room
        if len(data) > room.file_bytes or self._bytes + more > room.total_bytes:
            raise InputError(f"there is no room for {len(data)} bytes in {path!r}")
        if new and len(self._entries) >= room.files:
            raise InputError(f"the copy holds {quantity(room.files, 'file')}, and no more fit")
        self._bytes += more


def check_path(path: str) -> str:
    """A path in its plain form.

    Raises:
        InputError: It is absolute, leads out, is not text, or goes through what git keeps for itself.
    """
    if not path or "\0" in path or "\\" in path or path.startswith(("/", "~")):
        raise InputError(f"{path!r} is not a path within the copy", hint="Paths are relative to its top: src/a.py.")
    plain = posixpath.normpath(path)
    parts = plain.split("/")
    if ".." in parts or plain == ".":
        raise InputError(f"{path!r} is not a file within the copy")
    if any(part.casefold() in RESERVED for part in parts):
        raise InputError(f"{path!r}: what git keeps for itself is not part of the copy")
    try:
        size = len(plain.encode())
    except UnicodeEncodeError:
        raise InputError(f"{path!r} is not text") from None
    if size > PATH_BYTES:
        raise InputError(f"a path of {size} bytes is too long")
    return plain


def stays_inside(path: str, target: str) -> bool:
    """Return whether a symbolic link, as it is written, leads to a path in the copy; `links_out` follows it."""
    if target.startswith("/"):
        return False
    plain = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return plain != ".." and not plain.startswith("../")


def goes_round(path: str, tree: Tree) -> bool:
    """Return whether following a path runs in a circle of symbolic links, as the kernel sees it: over forty of them."""
    return _followed(path, tree) == "round"


def links_out(tree: Tree) -> frozenset[str]:
    """Return the symbolic links that lead out of a tree, as the kernel follows them: through other links, too.

    `a/b/../x` is not `a/x` where `a/b` is a link. So a target that goes up from a path that is not a directory of the
    tree counts as leading out: where that would end is not known.
    """
    links = [path for path, entry in tree.items() if entry.mode == "120000"]
    folders = {top for path in tree for top in parents(path)} if links else set[str]()
    return frozenset(path for path in links if _followed(path, tree, folders) == "out")


def new_links_out(before: Tree, after: Tree) -> frozenset[str]:
    """Return the symbolic links of a tree that lead out, but those that are in the earlier one and led out there."""
    found = links_out(after)
    known = links_out(before) if found else frozenset[str]()
    return frozenset(path for path in found if path not in known or after[path] != before[path])


def _followed(path: str, tree: Tree, folders: Container[str] | None = None) -> Literal["inside", "out", "round"]:
    """Return where a path leads; with the tree's directories given, to go up from anything else is to lead out."""
    waiting = path.split("/")[::-1]
    there: list[str] = []
    links = 0
    while waiting and links <= MAX_LINKS:
        part = waiting.pop()
        if part == "..":
            if not there or (folders is not None and "/".join(there) not in folders):
                return "out"  # where the tree does not say what comes next
            there.pop()
        elif part not in {"", "."}:
            there.append(part)
            entry = tree.get("/".join(there))
            if entry is not None and entry.mode == "120000":
                links += 1
                target = entry.data.decode(errors="surrogateescape")
                if target.startswith("/"):
                    return "out"
                there.pop()
                waiting += target.split("/")[::-1]
    return "round" if links > MAX_LINKS else "inside"


def changes(before: Tree, after: Tree) -> tuple[str, ...]:
    """Paths that are new, gone or different; sorted."""
    return tuple(sorted(path for path in {*before, *after} if before.get(path) != after.get(path)))


def total_bytes(tree: Tree) -> int:
    """The size of all files together."""
    return sum(len(entry.data) for entry in tree.values())


def parents(path: str) -> Iterable[str]:
    """Return the directories on the way to a path, from the top."""
    parts = path.split("/")
    return ("/".join(parts[:end]) for end in range(1, len(parts)))
