"""Reading the files of other people's outcome tables, and making one `OutcomeTable` of columns of agents."""

from __future__ import annotations

import csv
import io
import json
import lzma
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sale.bench.routers.protocol import Floats, OutcomeTable
from sale.errors import InputError
from sale.files.reading import decode_text, read_bytes, read_text

PACKED = ".xz"


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentColumn:
    """One column of an outcome table."""

    name: str
    price: float
    success: Floats
    dollars: Floats
    tokens: Floats | None = None
    answers: Sequence[str] | None = None


def make_table(
    agents: Iterable[AgentColumn], ids: Sequence[str], texts: Sequence[str], groups: Sequence[str] | None = None
) -> OutcomeTable:
    """Return the columns side by side, from the cheapest agent to the dearest.

    Raises:
        InputError: There is no agent or no task.
    """
    ordered = sorted(agents, key=lambda agent: (agent.price, agent.name))
    if not ordered or not ids:
        raise InputError("the outcome table is empty", hint="Are these the source's own files?")
    tokens = [agent.tokens for agent in ordered if agent.tokens is not None]
    answers = [agent.answers for agent in ordered if agent.answers is not None]
    return OutcomeTable(
        agents=tuple(agent.name for agent in ordered),
        prices=np.array([agent.price for agent in ordered]),
        ids=tuple(ids),
        texts=tuple(texts),
        success=np.column_stack([agent.success for agent in ordered]),
        dollars=np.column_stack([agent.dollars for agent in ordered]),
        tokens=np.column_stack(tokens) if len(tokens) == len(ordered) else None,
        answers=tuple(zip(*answers, strict=True)) if len(answers) == len(ordered) else None,
        groups=None if groups is None else tuple(groups),
    )


def read_json(path: Path) -> Any:  # noqa: ANN401  whatever the source wrote
    """Read a file of JSON.

    Raises:
        InputError: It cannot be read, or is not JSON.
    """
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise InputError(f"not JSON: {error}", where=str(path)) from error


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file with a JSON object on each line; lines without text are left out.

    Raises:
        InputError: It cannot be read, or a line is not JSON.
    """
    try:
        return [json.loads(line) for line in _text(path).split("\n") if line.strip()]
    except ValueError as error:
        raise InputError(f"a line is not JSON: {error}", where=str(path)) from error


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read comma-separated values with a line of names; a cell that is not there is empty.

    Raises:
        InputError: It cannot be read.
    """
    return list(_rows(_text(path)))


def _rows(text: str) -> Iterator[dict[str, str]]:
    reader: Iterable[Mapping[str, str | None]] = csv.DictReader(io.StringIO(text, newline=""))
    for row in reader:
        yield {name: value or "" for name, value in row.items()}


def _text(path: Path) -> str:
    """Return a file's text, unpacked where it is packed; `a.csv.xz` is read where there is no `a.csv`."""
    packed = path if path.suffix == PACKED else path.with_name(path.name + PACKED)
    try:
        if packed.exists() and (packed == path or not path.exists()):
            return decode_text(lzma.decompress(read_bytes(packed)), str(packed))
        return read_text(path)
    except (EOFError, lzma.LZMAError) as error:
        raise InputError(f"not an .xz file: {error}", where=str(packed), hint="Fetch it again.") from error
    except InputError as error:
        hint = error.hint or "Give the folder its files are in."
        raise InputError(f"the outcome table: {error.message}", where=str(path), hint=hint) from error
