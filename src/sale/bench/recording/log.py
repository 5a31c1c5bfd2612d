"""The record: one file of JSON lines for a run, appended to and never rewritten.

Every line has a `kind`: `run` (pool, machine and versions, one for each time the run was taken up), `call` (one model
call with its prompt and reply), `auction` and `execution`. A line that was cut by a crash is dropped on reading, and
what it held is done again. A finished file can be compressed with xz or gzip; reading takes it as it is.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from sale.errors import InputError

Line = Mapping[str, Any]


def read_record(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line of a record, oldest first; nothing where there is no file.

    Raises:
        InputError: The file cannot be read, or a line before the last is no JSON object; the message names the line.
    """
    if not path.exists():
        return
    try:
        text = _text(path)
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the record: {error}", where=str(path)) from error
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            if number == len(lines):  # cut while it was written
                return
            raise InputError(f"no JSON: {error}", where=f"{path}:{number}") from error
        if not isinstance(entry, dict) or "kind" not in entry:
            raise InputError("a line of a record is an object with a `kind`", where=f"{path}:{number}")
        yield entry


def _text(path: Path) -> str:
    match path.suffix:
        case ".xz":
            return lzma.decompress(path.read_bytes()).decode()
        case ".gz":
            return gzip.decompress(path.read_bytes()).decode()
        case _:
            return path.read_text(encoding="utf-8")


class RecordWriter:
    """Appends lines to a record that is not compressed; each is on disk when `append` returns."""

    def __init__(self, path: Path) -> None:
        """Open for appending; a last line that was cut is taken off first.

        Raises:
            InputError: The file is compressed: it is finished. Or somebody else is writing to it.
        """
        if path.suffix in {".xz", ".gz"}:
            raise InputError("a compressed record is finished", where=str(path), hint="Unpack it to go on with it.")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path.with_name(path.name + ".lock"), blocking=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise InputError("another run is being recorded in it", where=str(path)) from None
        self._file = path.open("ab+")
        self._mend()

    def _mend(self) -> None:
        end = self._file.seek(0, os.SEEK_END)
        if end == 0:
            return
        self._file.seek(0)
        whole = self._file.read().rfind(b"\n") + 1
        if whole < end:
            self._file.truncate(whole)
        self._file.seek(0, os.SEEK_END)

    def append(self, line: Line) -> None:
        """Add one line."""
        self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def pack(path: Path) -> Path:
    """Compress a record beside itself, `run.jsonl` to `run.jsonl.xz`; returns the new file."""
    packed = path.with_name(path.name + ".xz")
    partial = packed.with_name(packed.name + ".part")
    partial.write_bytes(lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME))
    partial.replace(packed)
    return packed


def unpack(packed: Path, path: Path) -> None:
    """The record of a packed file as one that can be gone on with."""
    partial = path.with_name(path.name + ".part")
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.write_text(_text(packed), encoding="utf-8")
    partial.replace(path)
