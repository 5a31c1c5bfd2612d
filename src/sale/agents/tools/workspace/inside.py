"""The program inside the sandbox that lays out a copy, runs one command over it, and tells what became of both.

Given to the sandbox as text, never imported. Standard input: a line of JSON, then the bytes of all files one after the
other. Standard output: one JSON document. What the command prints is kept here, head and tail, so that no flood of it
gets further. When the command ends, so does everything it left running, before the files are looked at.

With `"search"` in place of `"command"` it looks for a regular expression, and lays out nothing: an expression that
never comes to an end is then stopped with the sandbox.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

T = TypeVar("T")

HEAD = 4_000
PIPE_PATIENCE = 0.5
PR_SET_DUMPABLE = 4
PASSED_BY = frozenset({
    ".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox", "node_modules",
})  # fmt: skip
"""Names of files that commands leave behind and that do not belong in a patch."""


def close_to_others() -> None:
    """Keep the command, which is of the same user, from this program's streams and memory."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes  # noqa: PLC0415 - some builds lack it

        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def unpack(place: str, entries: "list[tuple[str, str, int]]", source: BinaryIO) -> "dict[str, tuple[str, bytes]]":
    """Lay the files out; mode and digest of each by its path."""
    known: dict[str, tuple[str, bytes]] = {}
    for path, mode, size in entries:
        data = source.read(size)
        known[path] = (mode, hashlib.blake2b(data).digest())
        where = Path(place, path)
        where.parent.mkdir(parents=True, exist_ok=True)
        if mode == "120000":
            where.symlink_to(os.fsdecode(data))
            continue
        where.write_bytes(data)
        where.chmod(0o755 if mode == "100755" else 0o644)
    return known


class Output:
    """Head and tail of what a command prints."""

    def __init__(self, cap: int) -> None:
        self._cap, self.total = cap, 0
        self._head, self._tail = b"", b""

    def add(self, data: bytes) -> None:
        """Take in more of it."""
        self.total += len(data)
        room = HEAD - len(self._head)
        self._head, rest = self._head + data[:room], data[max(room, 0) :]
        self._tail = (self._tail + rest)[-(self._cap - HEAD) :]

    @property
    def text(self) -> str:
        """The output kept, with a mark where something is missing."""
        lost = self.total - len(self._head) - len(self._tail)
        mark = f"\n[… {lost} bytes left out …]\n".encode() if lost else b""
        return (self._head + mark + self._tail).decode("utf-8", errors="replace")


def run(header: "dict[str, Any]") -> "dict[str, object]":
    """Run the command to its end, or to the end of its time; nothing of it is left running."""
    reading, writing = os.pipe()
    output, late, until = Output(header["output"]), False, time.monotonic() + header["seconds"]
    process = subprocess.Popen(  # noqa: S603 - the point of this program
        ["/bin/sh", "-c", header["command"]],
        cwd=header["place"],
        env=header["environment"],
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
        start_new_session=True,
    )
    os.close(writing)
    while True:
        left = until - time.monotonic()
        ready, _, _ = select.select([reading], [], [], max(0.0, min(left, 0.05)))
        data = os.read(reading, 65536) if ready else b""
        output.add(data)
        if process.poll() is not None and not (ready and data):
            break
        if left <= 0:
            late = True
            break
        if ready and not data:  # it closed its output and goes on
            time.sleep(0.02)
    with contextlib.suppress(OSError):
        os.kill(-1, signal.SIGKILL)  # everything but this process
    status = process.wait()
    end = time.monotonic() + PIPE_PATIENCE
    while time.monotonic() < end and select.select([reading], [], [], 0)[0] and (data := os.read(reading, 65536)):
        output.add(data)
    return {"exit": status if status >= 0 else 128 - status, "late": late, "output": output.text}


def found(place: str, skip: "set[str]") -> "tuple[dict[str, tuple[str, bytes]], list[str]]":
    """Every file and link below a place, and the directories that could not be read."""
    files: dict[str, tuple[str, bytes]] = {}
    unread: list[str] = []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            names = opened(Path(place, folder), listed, 0o700)
        except OSError:
            unread.append(folder)
            continue
        for name in names:
            path = f"{folder}/{name}" if folder else name
            if path in skip or passed_by(name):
                continue
            where = Path(place, path)
            try:
                path.encode()
                about = where.lstat()
                if stat.S_ISDIR(about.st_mode):
                    waiting.append(path)
                elif stat.S_ISLNK(about.st_mode):
                    files[path] = ("120000", os.fsencode(where.readlink()))
                elif stat.S_ISREG(about.st_mode):
                    mode = "100755" if about.st_mode & stat.S_IXUSR else "100644"
                    files[path] = (mode, opened(where, Path.read_bytes, 0o600))
            except (OSError, UnicodeEncodeError):
                unread.append(path)
    return files, unread


def passed_by(path: str) -> bool:
    """Return whether a path is not looked at: a file under such a name stays as it was."""
    return path.endswith(".pyc") or not PASSED_BY.isdisjoint(path.split("/"))


def listed(folder: Path) -> list[str]:
    """The names in a directory."""
    return [entry.name for entry in folder.iterdir()]


def opened(where: Path, look: Callable[[Path], T], mode: int) -> T:
    """Look at something the command may have closed to its own user."""
    try:
        return look(where)
    except PermissionError:
        where.chmod(mode)
        return look(where)


def collected(header: "dict[str, Any]", known: "dict[str, tuple[str, bytes]]") -> "dict[str, object]":
    """Return the files the command changed; none where they are more than may be brought back."""
    files, unread = found(header["place"], set(header["skip"]))
    changed = {
        path: (mode, data)
        for path, (mode, data) in files.items()
        if known.get(path) != (mode, hashlib.blake2b(data).digest())
    }
    size = sum(len(data) for _, data in changed.values())
    if size > header["keep"] or len(changed) > header["keep_files"]:
        return {"too_much": [len(changed), size]}
    held = tuple(f"{folder}/" for folder in (*unread, *header["skip"]) if folder)
    unseen = "" in unread
    gone = [
        path
        for path in known
        if path not in files and not (unseen or path in unread or path.startswith(held) or passed_by(path))
    ]
    encoded = {path: [mode, base64.b64encode(data).decode()] for path, (mode, data) in changed.items()}
    return {"files": encoded, "gone": gone}


def search(header: "dict[str, Any]", source: BinaryIO) -> "dict[str, object]":
    """Lines that an expression is found in."""
    try:
        wanted = re.compile(header["search"])
    except (re.error, RecursionError, OverflowError) as error:
        return {"error": f"{error}"}
    hits: list[list[object]] = []
    for path, _, size in header["entries"]:
        text = source.read(size).decode("utf-8", errors="replace")
        for number, line in enumerate(text.split("\n"), 1):
            if wanted.search(line):
                hits.append([path, number, line[: header["line"]]])
                if len(hits) >= header["hits"]:
                    return {"hits": hits, "more": True}
    return {"hits": hits, "more": False}


def main() -> None:
    """Do it."""
    source = sys.stdin.buffer
    header: dict[str, Any] = json.loads(source.readline())
    if "search" in header:
        sys.stdout.write(json.dumps(search(header, source)))
        return
    place: str = header["place"]
    if not Path(place).is_mount():
        raise SystemExit("the copy has no place of its own")
    Path(header["environment"]["HOME"]).mkdir(parents=True, exist_ok=True)
    known = unpack(place, header["entries"], source)
    close_to_others()
    report = run(header)
    if header["keep"] and not report["late"]:
        report |= collected(header, known)
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
