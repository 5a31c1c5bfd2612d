"""Rows of a source from files on this machine: JSON lines, JSON, CSV, TSV or Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from sale.bench.tasks.loaders.rows import Row
from sale.errors import InputError, MissingExtraError
from sale.files.reading import decode_exactly, read_bytes, read_text

FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")

Placed = tuple[str, Row]
"""A row, and where it is: `file:line`, or `file, row n` where a row is not a line."""


def find(path: Path, folder: str, names: Sequence[str]) -> Path:
    """The first of the files a source is known by, in a directory or in the source's own folder there.

    Raises:
        InputError: There is none; the message says what was looked for where.
    """
    places = [path / folder, path]
    for name in names:
        for place in places:
            if (place / name).is_file():
                return place / name
    raise InputError(
        f"found none of {', '.join(names)} in it or its folder {folder!r}",
        where=str(path),
        hint="Give the file itself, under whatever name.",
    )


def rows(path: Path) -> Iterator[Placed]:
    """All rows of a file, in order.

    Raises:
        InputError: The file cannot be read, is of an unknown kind, or holds something else than rows.
        MissingExtraError: It is Parquet, and the extra that reads it is not installed.
    """
    readers = {".jsonl": _json_lines, ".json": _json, ".csv": _table, ".tsv": _table, ".parquet": _parquet}
    reader = readers.get(path.suffix)
    if reader is None:
        raise InputError(f"files of the kind {path.suffix!r} are not read", where=str(path), hint=f"{_known()} are.")
    try:
        yield from reader(path)
    except (OSError, csv.Error) as error:
        raise InputError(f"cannot read the file: {error}", where=str(path)) from error


def _known() -> str:
    return ", ".join(FORMATS)


def _json_lines(path: Path) -> Iterator[Placed]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            where = f"{path}:{number}"
            yield where, _row(_parsed(line, where), where)


def _json(path: Path) -> Iterator[Placed]:
    whole = _parsed(read_text(path), str(path))
    if not isinstance(whole, list):
        raise InputError("it must hold one list of rows", where=str(path))
    for number, item in enumerate(cast("list[object]", whole), start=1):
        where = f"{path}, row {number}"
        yield where, _row(item, where)


def _table(path: Path) -> Iterator[Placed]:
    text = io.StringIO(decode_exactly(read_bytes(path), str(path)), newline="")  # a cell may hold line ends
    reader = csv.DictReader(text, delimiter="\t" if path.suffix == ".tsv" else ",")
    for number, row in enumerate(reader, start=1):
        where = f"{path}, row {number}"
        if None in row or None in row.values():
            raise InputError("it has more or fewer cells than there are columns", where=where)
        yield where, row


def _parquet(path: Path) -> Iterator[Placed]:
    if find_spec("pyarrow") is None:
        raise MissingExtraError(
            "reading Parquet needs the `bench` extra", where=str(path), hint="pip install 'sale[bench]'."
        )
    # ValueError covers the reader's own errors: a file that is not Parquet, or is cut off.
    try:
        found: list[object] = import_module("pyarrow.parquet").read_table(path).to_pylist()
    except ValueError as error:
        raise InputError(f"cannot read the file: {error}", where=str(path)) from error
    for number, item in enumerate(found, start=1):
        where = f"{path}, row {number}"
        yield where, _row(item, where)


def _parsed(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"it is no JSON: {error}", where=where) from error


def _row(value: object, where: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(f"a row must be an object with fields, got {value!r:.80}", where=where)
    return cast("Row", value)
