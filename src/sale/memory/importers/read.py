"""Read past work from a file: its format is found by its content, and every unit that is malformed is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sale.errors import InputError
from sale.memory.importers.content import Content, load
from sale.memory.importers.harbor import HarborResult
from sale.memory.importers.inspect_log import InspectLog
from sale.memory.importers.langfuse import LangfuseExport
from sale.memory.importers.langsmith import LangSmithRuns
from sale.memory.importers.litellm_spend import LiteLLMSpend
from sale.memory.importers.otlp import OtlpSpans
from sale.memory.importers.past_work import Importer, PastWork, ReadOptions, RowError, Unit
from sale.memory.importers.table import PlainTable
from sale.memory.importers.trial_record import TrialRecord

IMPORTERS: Final[Mapping[str, Importer]] = {
    one.name: one
    for one in (
        InspectLog(),
        HarborResult(),
        LiteLLMSpend(),
        OtlpSpans(),
        LangSmithRuns(),
        LangfuseExport(),
        TrialRecord(),
        PlainTable(),
    )
}
"""In the order in which they are asked whether a file is theirs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadFile:
    """The past work read from a file, and the faults found in it."""

    name: str
    format: str
    works: tuple[PastWork, ...]
    bad: tuple[str, ...]
    """Messages about malformed units: `<file>: <place>: <fault>`."""
    passed_by: int
    """Units that are no work, like traces without a call of a model."""


def read_past_work(path: Path, options: ReadOptions, *, format_name: str | None = None) -> ReadFile:
    """Read the past work in a file; `-` is standard input.

    Args:
        path: The file.
        options: What the user says about it.
        format_name: A name in `IMPORTERS`; found by the content unless given.

    Raises:
        InputError: The file cannot be read, or is of none of the formats.
    """
    content = load(path)
    importer = IMPORTERS[format_name] if format_name else _importer_of(content)
    works: dict[str, PastWork] = {}
    bad: list[str] = []
    passed_by = 0
    for unit in _units(importer, content):
        try:
            found = _works(importer, unit, options)
        except RowError as error:
            bad.append(": ".join(part for part in (content.name, unit.place, str(error)) if part))
            continue
        passed_by += not found
        for work in found:
            works.setdefault(work.row, work)
    if not works and not bad and not passed_by:
        raise InputError(f"there is no past work of the format {importer.name!r} in it", where=content.name)
    return ReadFile(
        name=content.name, format=importer.name, works=tuple(works.values()), bad=tuple(bad), passed_by=passed_by
    )


def _units(importer: Importer, content: Content) -> Iterator[Unit]:
    try:
        yield from importer.units(content)
    except RowError as error:
        raise InputError(str(error), where=content.name) from None


def _works(importer: Importer, unit: Unit, options: ReadOptions) -> Sequence[PastWork]:
    if unit.fault:
        raise RowError(unit.fault)
    return list(importer.works(unit, options))


def _importer_of(content: Content) -> Importer:
    for importer in IMPORTERS.values():
        if importer.recognises(content):
            return importer
    raise InputError(
        "its format is not known by its content",
        where=content.name,
        hint=f"Name it by --format, if it is one of {', '.join(IMPORTERS)}; else make a CSV of it: "
        "task,agent,success,dollars,tokens,text.",
    )
