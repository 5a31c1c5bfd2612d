"""A file's content, taken apart without being believed: JSON, JSON lines, CSV, or a zip archive of JSON.

JSON is strict here: NaN and infinity, numbers of thousands of digits, and nesting too deep are errors of
their line. An archive is unpacked member by member under limits, whatever sizes its directory claims.
"""

from __future__ import annotations

import csv
import io
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final, cast

from sale.errors import InputError, MissingExtraError
from sale.files.reading import STANDARD, decode_text, reading
from sale.memory.importers.past_work import RowError
from sale.memory.importers.strict_json import parse

MAX_FILE: Final = 1 << 30
MAX_MEMBER: Final = 1 << 28
"""Bytes of one member of an archive, unpacked."""
MAX_UNPACKED: Final = 1 << 32
"""Bytes of all members that are read, unpacked."""
MAX_FIELD: Final = 1 << 24
"""Characters of one field of a table."""
ZSTANDARD: Final = 93
_LOCAL_HEADER: Final = 30
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
NO_ROW: Final[Sequence[str]] = ()

Found = tuple[str, "Mapping[str, Any] | RowError"]
"""A place and the object that stands there, or what is wrong with it."""


@dataclass(frozen=True)
class Content:
    """The content of a file."""

    name: str
    """For messages."""
    data: bytes

    @property
    def packed(self) -> bool:
        """True where it is a zip archive."""
        return self.data.startswith((b"PK\x03\x04", b"PK\x05\x06"))

    @cached_property
    def text(self) -> str:
        """It as text; empty for an archive.

        Raises:
            InputError: It is not UTF-8.
        """
        return "" if self.packed else decode_text(self.data, self.name)

    @cached_property
    def whole(self) -> Any:  # noqa: ANN401  any JSON value
        """It as one JSON value; `None` where it is none."""
        if not self.text.lstrip().startswith(("{", "[")):
            return None
        try:
            return parse(self.text)
        except RowError:
            return None

    @property
    def tabular(self) -> bool:
        """True where it is neither an archive nor JSON."""
        return not self.packed and not self.text.lstrip().startswith(("{", "["))

    def objects(self) -> Iterator[Found]:
        """The objects of JSON or JSON lines, with their places: lists, and pages with a list in `data`, are gone into.

        A place is `[3]`, `data[3]` or `line 3`; empty where the whole file is one object.
        """
        if self.whole is not None:
            yield from _members(self.whole, "")
            return
        for number, line in enumerate(self.text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                value = parse(line)
            except RowError as error:
                yield f"line {number}", error
                continue
            yield from _members(value, f"line {number}")

    def first(self) -> Mapping[str, Any]:
        """The first object there is; empty where there is none."""
        if self.tabular or self.packed:
            return NOTHING
        return next((found for _, found in self.objects() if isinstance(found, Mapping)), NOTHING)

    def columns(self) -> tuple[str, ...]:
        """The columns of a table with a header, in small letters; none where its header cannot be read."""
        if not self.tabular:
            return ()
        try:
            with _long_fields():
                head = next(csv.reader(io.StringIO(self.text)), NO_ROW)
        except csv.Error:  # whoever reads the rows says so
            return ()
        return tuple(column.strip().lower() for column in head)

    def records(self) -> Iterator[Found]:
        """The rows of a table, by column."""
        with _long_fields():
            rows = csv.reader(io.StringIO(self.text), strict=True)
            columns: list[str] | None = None
            while True:
                try:
                    row = next(rows)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield f"line {rows.line_num}", RowError(f"no CSV: {error}")
                    return
                if columns is None:
                    columns = [column.strip().lower() for column in row]
                elif len(row) > len(columns):
                    yield f"line {rows.line_num}", RowError(f"{len(row)} fields, and {len(columns)} columns")
                elif any(cell.strip() for cell in row):
                    yield f"line {rows.line_num}", dict(zip(columns, row, strict=False))

    def members(self) -> tuple[str, ...]:
        """Names of the members of an archive.

        Raises:
            InputError: It is none.
        """
        return tuple(self._archive.namelist()) if self.packed else ()

    def member(self, name: str) -> Any:  # noqa: ANN401  any JSON value
        """One member of an archive, as JSON.

        Raises:
            RowError: It is damaged, too large, or no JSON.
        """
        info = self._archive.getinfo(name)
        if info.file_size > MAX_MEMBER:
            raise RowError(f"it is larger than {MAX_MEMBER >> 20} MB unpacked")
        try:
            data = _unpacked(self.data, self._archive, info)
            text = data.decode()
        except (RowError, MissingExtraError):
            raise
        except UnicodeDecodeError:
            raise RowError("it is not UTF-8 text") from None
        except Exception as error:  # noqa: BLE001  each way of packing has errors of its own
            raise RowError(f"it cannot be unpacked: {error or type(error).__name__}") from None
        return parse(text)

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        try:
            found = zipfile.ZipFile(io.BytesIO(self.data))
        except (zipfile.BadZipFile, OSError, struct.error, ValueError, NotImplementedError) as error:
            raise InputError(f"it is a damaged zip archive: {error}", where=self.name) from None
        if sum(info.file_size for info in found.infolist()) > MAX_UNPACKED:
            raise InputError(f"unpacked it would be larger than {MAX_UNPACKED >> 30} GB", where=self.name)
        return found


@contextmanager
def _long_fields() -> Generator[None]:
    """Have the reader of tables take fields as long as a text may be."""
    before = csv.field_size_limit(MAX_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def load(path: Path) -> Content:
    """Read a file, or standard input for `-`.

    Raises:
        InputError: It cannot be read, is empty, or is too large.
    """
    name = "standard input" if path == STANDARD else str(path)
    try:
        with reading(path) as stream:
            data = _capped(stream)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=name) from error
    if len(data) > MAX_FILE:
        raise InputError(f"it is larger than {MAX_FILE >> 20} MB", where=name, hint="Split it.")
    if not data.strip():
        raise InputError("it is empty", where=name)
    return Content(name, data)


def _capped(stream: BinaryIO) -> bytes:
    return stream.read(MAX_FILE + 1)


def _members(value: Any, place: str) -> Iterator[Found]:  # noqa: ANN401
    if isinstance(value, list):
        for number, item in enumerate(cast("list[Any]", value)):
            yield _one(item, f"{place} [{number}]".strip())
    elif isinstance(value, dict) and isinstance(inner := cast("dict[str, Any]", value).get("data"), list):
        for number, item in enumerate(cast("list[Any]", inner)):
            yield _one(item, f"{place} data[{number}]".strip())
    else:
        yield _one(value, place)


def _one(value: Any, place: str) -> Found:  # noqa: ANN401
    if isinstance(value, dict):
        return place, cast("dict[str, Any]", value)
    return place, RowError(f"an object was expected, not {type(value).__name__}")


def _unpacked(data: bytes, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The bytes of a member. Whatever the directory says, no more than the limit is ever unpacked.

    Raises:
        RowError: There are more.
        MissingExtraError: It is compressed with Zstandard, which Python before 3.14 cannot read by itself.
    """
    if info.compress_type == ZSTANDARD:
        found = _zstandard(data, info)
    else:
        with archive.open(info) as member:
            found = member.read(MAX_MEMBER + 1)
    if len(found) > MAX_MEMBER:
        raise RowError(f"it is larger than {MAX_MEMBER >> 20} MB unpacked")
    return found


def _zstandard(data: bytes, info: zipfile.ZipInfo) -> bytes:
    try:
        library: Any = import_module("zstandard")
    except ModuleNotFoundError:
        raise MissingExtraError(
            "the log is compressed with Zstandard, and the package `zstandard` is not installed",
            hint="pip install 'sale[logs]', or write it again with `inspect log convert --to json`.",
        ) from None
    header = data[info.header_offset : info.header_offset + _LOCAL_HEADER]
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    start = info.header_offset + _LOCAL_HEADER + name_length + extra_length
    raw = data[start : start + info.compress_size]
    try:
        reader = library.ZstdDecompressor(max_window_size=1 << 27).stream_reader(raw, read_across_frames=True)
        found: bytes = reader.read(MAX_MEMBER + 1)
    except library.ZstdError as error:
        raise RowError(f"it cannot be unpacked: {error}") from None
    if len(found) <= MAX_MEMBER and zlib.crc32(found) != info.CRC:
        raise RowError("it cannot be unpacked: its checksum is wrong")
    return found
