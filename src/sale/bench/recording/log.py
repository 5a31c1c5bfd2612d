"""The record: one file of JSON lines for a run, appended to and never rewritten.

Every line has a `kind`; `sale.bench.recording.lines` has a type for each. A line that was cut by a crash is dropped on
reading, and what it held is done again. A finished file can be compressed with xz or gzip; reading takes it as it is. A
new record is for its owner alone: it holds every prompt and every answer, which may be of tasks that are private.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from sale.errors import InputError
from sale.files.private import FILE_MODE, open_private
from sale.files.reading import decode_text, read_bytes
from sale.files.writing import explain_output, write_bytes, write_text

T = TypeVar("T")

Line = Mapping[str, Any]
FIRST_BIDS = "first bids"
GROUNDED = "grounded bids"
"""First bids of what agents found, without plans, in a pool whose agents look."""


def read_record(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line of a record, oldest first; nothing where there is no file.

    Raises:
        InputError: The file cannot be read, or a line before the last is not a JSON object; the message names the line.
    """
    if not path.exists():
        return
    lines = _text(path).split("\n")
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


def parse_entry(kinds: TypeAdapter[T], entry: Mapping[str, object], what: str, where: str) -> T:
    """An entry of a file of JSON lines as one of the types it may have.

    Args:
        kinds: A union told apart by `kind`.
        entry: The JSON object.
        what: For the message: what the entry should have been.
        where: For the message: file and number.

    Raises:
        InputError: It is none of them; the message says which field is wrong.
    """
    try:
        return kinds.validate_python(entry)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, fault["loc"])) or "kind"
        raise InputError(f"no {what}: {place}: {fault['msg']}", where=where) from error


def _text(path: Path) -> str:
    data = read_bytes(path)
    try:
        match path.suffix:
            case ".xz":
                data = lzma.decompress(data)
            case ".gz":
                data = gzip.decompress(data)
            case _:
                data = _whole_characters(data)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"cannot read the record: {error}", where=str(path)) from error
    return decode_text(data, str(path))


def _whole_characters(data: bytes) -> bytes:
    """A record without a last line that was cut inside a character: it was being written when writing ended."""
    before, end, last = data.rpartition(b"\n")
    try:
        last.decode()
    except UnicodeDecodeError:
        return before + end
    return data


class RecordWriter:
    """Appends lines to a record that is not compressed; each is on disk when `append` returns."""

    def __init__(self, path: Path) -> None:
        """Open for appending; a last line that was cut is taken off first.

        Raises:
            InputError: The file is compressed: it is finished. Or another process is writing to it.
            OutputError: It cannot be written.
        """
        if path.suffix in {".xz", ".gz"}:
            raise InputError("a compressed record is finished", where=str(path), hint="Unpack it to go on with it.")
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path.with_name(path.name + ".lock"), mode=FILE_MODE, blocking=False)
            self._lock.acquire()
            self._file = os.fdopen(open_private(path, os.O_RDWR | os.O_APPEND), "ab+")
            self._mend()
        except Timeout:
            raise InputError("another run is being recorded in it", where=str(path)) from None
        except OSError as error:
            raise explain_output(error, path) from error

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
        """Add one line.

        Raises:
            OutputError: It cannot be written; a part of it that was is taken off when the record is opened again.
        """
        try:
            self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise explain_output(error, self._path) from error

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):  # what could not be written was said when it was to be appended
            self._file.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def pack(path: Path) -> Path:
    """Compress a record beside itself, `run.jsonl` to `run.jsonl.xz`; returns the new file.

    The packed record is for its owner alone, like the record: it holds every prompt and every answer.

    Raises:
        InputError: The record cannot be read.
        OutputError: The new file cannot be written.
    """
    packed = path.with_name(path.name + ".xz")
    write_bytes(packed, lzma.compress(read_bytes(path), preset=9 | lzma.PRESET_EXTREME), private=True)
    return packed


def unpack(packed: Path, path: Path) -> None:
    """Write the record of a packed file as one that can be gone on with.

    Raises:
        InputError: The packed file cannot be read.
        OutputError: The record cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, _text(packed), private=True)
