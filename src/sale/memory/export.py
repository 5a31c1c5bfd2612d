"""Export and import: one auction a line, as JSON, complete in itself.

A line is an object with three keys:

    schema      2. Raised when a line of the new kind can no longer be read by the rules before. Lines of schema 1 are
                read too: they have one execution at most, and all their outcomes are about it.
    record      The fields of `sale.memory.records.Record`, nested values field by field under their own names
                (`sale.types`): id, task, status, source, tenant, withheld, started_at, awarded_at, settled_at,
                abandoned_at, reason, auction, execution, earlier, outcomes, baseline, stray_calls. Times are ISO 8601
                with a zone. What is unknown is null; what does not apply may be left out where it has a default.
    embedding   null, or {"embedder": name, "vector": base64 of float32, little-endian}. Used if the reader's embedder
                has this name and the vector is a unit vector of its length; else the task is embedded again.

A line of schema 3 has the key `evidence` in place of `record` and `embedding`: what compaction kept of auctions that
are no longer on record, for one agent and one exemplar of their tasks (`sale.memory.evidence_lines`).

Auctions still open are not exported: there is nothing in them yet. A character that is not valid Unicode (a lone
surrogate) is written as `?`. A file from elsewhere is not trusted: a line that breaks the rules is refused by its
number, as is one with an infinite number, an absurd or negative amount, or a time that is not of this century. What is
imported carries its source, so that it can be forgotten as a whole.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import codecs
import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO, ClassVar, Final, Literal, TextIO

from pydantic import Discriminator, Tag, TypeAdapter, ValidationError
from sqlalchemy import Connection, and_, select

from sale.errors import InputError
from sale.files.reading import reading, refuse_wide
from sale.files.writing import writing_text
from sale.memory import writing
from sale.memory.database import MemoryDatabase
from sale.memory.evidence_lines import SCHEMA as EVIDENCE_SCHEMA
from sale.memory.evidence_lines import ExportedEvidence, WorkEvidence, find_fault, insert_evidence, read_evidence
from sale.memory.index_sync import TextEncoder
from sale.memory.plausible import find_implausible
from sale.memory.reading import read_records
from sale.memory.records import ImportReport, Record
from sale.memory.schema import auctions, calls, embeddings
from sale.memory.tenants import is_name
from sale.memory.writing import Fields, Rows
from sale.storage.database import resolve_path

SCHEMA: Final = 2
BATCH: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedEmbedding:
    """A vector in a line."""

    embedder: str
    vector: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedRecord:
    """One line of the file. What it does not know, here or further in, it refuses rather than drops."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True}

    schema: Literal[1, 2]
    record: Record
    embedding: ExportedEmbedding | None = None


ExportedLine = ExportedRecord | ExportedEvidence
_KINDS: Final = ("record line", "evidence line")


def _kind(line: object) -> str:
    """Which kind of line it is by its own account; what is neither is refused as a record."""
    return _KINDS[isinstance(line, dict) and "evidence" in line]


_Line = Annotated[
    Annotated[ExportedRecord, Tag("record line")] | Annotated[ExportedEvidence, Tag("evidence line")],
    Discriminator(_kind),
]


@cache
def _adapter() -> TypeAdapter[ExportedLine]:
    return TypeAdapter[ExportedLine](_Line)


async def export(database: MemoryDatabase, encoder: TextEncoder, target: Path | str | TextIO) -> int:
    """Write all finished records, oldest first, as they are at one moment; see `AuctionMemory.export`."""
    if not isinstance(target, Path | str):
        return await database.read(lambda connection: _write(connection, encoder, target))
    path = resolve_path(Path(target))
    refuse_itself(path, database.backend.path)

    def write(connection: Connection) -> int:
        with writing_text(path, private=True) as stream:
            return _write(connection, encoder, stream)

    return await database.read(write)


def refuse_itself(target: Path, memory: Path | str | None) -> None:
    """See that records are not written over the memory they come from.

    Raises:
        InputError: They would be.
    """
    if isinstance(memory, Path) and memory.exists() and target.exists() and target.samefile(memory):
        raise InputError(f"{str(target)!r} is the memory itself", hint="Export to another file.")


def _write(connection: Connection, encoder: TextEncoder, stream: TextIO) -> int:
    finished = select(auctions.c.key).where(auctions.c.status != "open").order_by(auctions.c.key)
    keys = list(connection.execute(finished).scalars())
    write_records(connection, encoder, stream, keys)
    for one in read_evidence(connection):
        stream.write(_line({"schema": EVIDENCE_SCHEMA, "evidence": asdict(one)}))
    return len(keys)


def write_records(connection: Connection, encoder: TextEncoder, stream: TextIO, keys: Sequence[int]) -> None:
    """Write the records of these auctions, a line each."""
    for start in range(0, len(keys), BATCH):
        part = keys[start : start + BATCH]
        records = read_records(connection, part)
        vectors = _vectors(connection, encoder.name, part)
        stream.writelines(_encode(record, encoder.name, vectors.get(record.id)) for record in records)


def read_ids(connection: Connection, keys: Sequence[int]) -> list[str]:
    """The ids of auctions."""
    found = connection.execute(select(auctions.c.key, auctions.c.id).where(auctions.c.key.in_(keys)))
    by_key = {row.key: row.id for row in found}
    return [by_key[key] for key in keys if key in by_key]


def _vectors(connection: Connection, embedder: str, keys: Sequence[int]) -> dict[str, bytes]:
    mine = and_(embeddings.c.task == auctions.c.task, embeddings.c.embedder == embedder)
    found = select(auctions.c.id, embeddings.c.vector).join(embeddings, mine).where(auctions.c.key.in_(keys))
    return {row.id: row.vector for row in connection.execute(found).all()}


def _encode(record: Record, embedder: str, vector: bytes | None) -> str:
    line = {
        "schema": SCHEMA,
        "record": asdict(record),
        "embedding": {"embedder": embedder, "vector": base64.b64encode(vector).decode()} if vector else None,
    }
    return _line(line)


def _line(line: Mapping[str, object]) -> str:
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=datetime.isoformat)
    return text.encode(errors="replace").decode() + "\n"


async def import_file(
    database: MemoryDatabase, encoder: TextEncoder, path: Path, source: str, *, skip_bad: bool
) -> ImportReport:
    """Check the whole file, then add what is not there yet, a batch a transaction; see `AuctionMemory.import_`."""
    faults: list[str] = []
    added = present = kept_added = 0
    with reading(path) as stream:
        await asyncio.to_thread(_check, stream, str(path), faults, skip_bad=skip_bad)
        with closing(_lines(stream, str(path), faults=None)) as lines:
            while batch := await asyncio.to_thread(lambda: list(islice(lines, BATCH))):
                records = [line for line in batch if isinstance(line, ExportedRecord)]
                new = await add_lines(database, encoder, records, source)
                added += new
                kept = [line.evidence for line in batch if isinstance(line, ExportedEvidence)]
                newly = await _add_evidence(database, encoder, kept, source)
                kept_added += newly
                present += len(batch) - new - newly
    return ImportReport(added=added, present=present, evidence=kept_added, bad=tuple(faults))


async def _add_evidence(
    database: MemoryDatabase, encoder: TextEncoder, lines: Sequence[WorkEvidence], source: str
) -> int:
    if not lines:
        return 0
    texts = list(dict.fromkeys(line.task.text for line in lines))
    vectors = dict(zip(texts, await encoder.encode_all(texts), strict=True))
    return await database.write(lambda connection: insert_evidence(connection, lines, source, encoder.name, vectors))


def _check(stream: BinaryIO, name: str, faults: list[str], *, skip_bad: bool) -> None:
    """Read the whole file once, keeping nothing but the faults."""
    good = 0
    try:
        for _ in _lines(stream, name, faults):
            good += 1
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=name) from error
    if faults and not skip_bad:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        if not good:
            raise InputError(
                f"it holds no records of `sale memory export`: {faults[0]}{more}",
                where=name,
                hint="Nothing was imported. `sale import` reads records of other programs.",
            )
        raise InputError(
            faults[0] + more, hint="Nothing was imported. --skip-bad leaves out bad lines (in Python skip_bad=True)."
        )


def _lines(stream: BinaryIO, name: str, faults: list[str] | None) -> Generator[ExportedLine]:
    """The good lines of the file, from its beginning; what is wrong with the others is appended to `faults`."""
    stream.seek(0)
    for number, raw in enumerate(stream, start=1):
        if number == 1:
            refuse_wide(raw, name)
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if not raw.strip():
            continue
        try:
            yield _decode(raw)
        except InputError as error:
            if faults is not None:
                faults.append(f"{name}:{number}: {error.message}")


def _decode(raw: bytes) -> ExportedLine:
    """One line as values that can be stored.

    Raises:
        InputError: It cannot.
    """
    try:
        line = _adapter().validate_json(raw)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        steps = [str(step) for step in fault["loc"] if step not in _KINDS]
        place = ".".join(steps)
        raise InputError(f"{place}: {fault['msg']}" if place else fault["msg"]) from None
    if isinstance(line, ExportedEvidence):
        if fault := find_fault(line.evidence):
            raise InputError(fault)
        return line
    if line.schema == 1 and line.record.execution is not None:
        judged = tuple(replace(one, execution=0) for one in line.record.outcomes)
        line = replace(line, record=replace(line.record, outcomes=judged))
    if fault := _fault(line.record) or find_implausible(line.record, "record"):
        raise InputError(fault)
    return line


def _fault(record: Record) -> str | None:
    """Return the contradiction in a record, or `None`."""
    times = (record.started_at, record.awarded_at, record.settled_at, record.abandoned_at)
    auction = record.auction
    settled = record.status == "settled"
    numbers = range(len(record.executions))
    judged = {one.execution for one in record.outcomes}
    faults = {
        "record.id: it is empty": not record.id,
        "record.tenant: it cannot be the name of a tenant": not is_name(record.tenant),
        "record.status: an open auction cannot be imported": record.status == "open",
        "record: a time without a zone": any(time is not None and time.tzinfo is None for time in times),
        "record.outcomes: a time without a zone": any(judged.at.tzinfo is None for judged in record.outcomes),
        "record.auction and awarded_at: one without the other": (auction is None) != (record.awarded_at is None),
        f"record.status: {record.status!r} without an auction": record.status != "abandoned" and auction is None,
        "record.status: settled without settled_at, execution and outcome": settled
        and not (record.settled_at and record.execution and record.outcomes),
        "record.execution: without an auction": record.execution is not None and auction is None,
        "record.outcomes: without an auction": bool(record.outcomes) and auction is None,
        "record.earlier: without an execution after it": bool(record.earlier) and record.execution is None,
        "record.outcomes: of an execution that is not there": not judged <= {None, *numbers},
        "record.outcomes: an execution without one": not judged >= set(numbers if settled else numbers[:-1]),
        "record.outcomes: the last is not about the last execution": bool(record.earlier)
        and bool(record.outcomes)
        and record.outcomes[-1].execution != len(record.earlier),
        "record.baseline: without an execution": record.baseline is not None and record.execution is None,
        "record.auction.id: not the record's": auction is not None and auction.id != record.id,
        "record.auction.task: not the record's": auction is not None and auction.task != record.task,
        "record.auction.winner: none of the bids": auction is not None and auction.winner not in auction.contenders,
    }
    return next((fault for fault, holds in faults.items() if holds), None)


async def add_lines(
    database: MemoryDatabase, encoder: TextEncoder, batch: Sequence[ExportedRecord], source: str
) -> int:
    """Add those of a batch that are not there yet; gives back how many."""
    ids = [line.record.id for line in batch]

    def look(connection: Connection) -> set[str]:
        return set(connection.execute(select(auctions.c.id).where(auctions.c.id.in_(ids))).scalars())

    known = await database.read(look)
    new: dict[str, ExportedRecord] = {}
    for line in batch:
        if line.record.id not in known:
            new.setdefault(line.record.id, line)
    vectors = await _embed(encoder, list(new.values()))

    def store(connection: Connection) -> int:
        there = look(connection)
        missing = [line.record for name, line in new.items() if name not in there]
        _insert(connection, missing, source, encoder.name, vectors)
        return len(missing)

    return await database.write(store) if new else 0


def _insert(
    connection: Connection, records: Sequence[Record], source: str, embedder: str, vectors: Mapping[str, bytes]
) -> None:
    """Records with new ids, and the tasks that are not there yet."""
    revision = writing.next_revision(connection, by=max(len(records), 1))
    digests = [writing.task_digest(record.task) for record in records]
    keys = writing.task_keys(connection, digests)
    rows = Rows()
    for key, (record, digest) in enumerate(zip(records, digests, strict=True), start=revision):
        if digest not in keys:
            keys[digest] = key
            writing.add_task(rows, key, record.task, embedder, vectors[record.task.text])
        _add_record(rows, key, keys[digest], record, source)
    rows.insert(connection)


def _add_record(rows: Rows, key: int, task: int, record: Record, source: str) -> None:
    head: Fields = {
        "id": record.id,
        "task": task,
        "status": record.status,
        "source": source,
        "tenant": record.tenant,
        "withheld": record.withheld,
        "started_at": record.started_at,
        "awarded_at": record.awarded_at,
        "settled_at": record.settled_at,
        "abandoned_at": record.abandoned_at,
        "reason": record.reason,
    }
    writing.add_record(rows, key, head, record.auction)
    lines: list[Fields] = []
    if record.auction is not None:
        writing.add_award(rows, key, record.auction)
        lines += writing.call_rows("auction", record.auction.settlement.calls)
    writing.add_work(rows, key, record.executions, record.baseline)
    for number, execution in enumerate(record.executions):
        lines += writing.call_rows("execution", execution.calls, execution=number)
    for number, judged in enumerate(record.outcomes):
        writing.add_outcome(rows, key, judged, number)
        lines += writing.call_rows("outcome", judged.outcome.calls, outcome=number)
    rows.number(calls, key, lines + writing.call_rows("stray", record.stray_calls))


async def _embed(encoder: TextEncoder, lines: Sequence[ExportedRecord]) -> dict[str, bytes]:
    vectors: dict[str, bytes] = {}
    for line in lines:
        given = line.embedding
        if given is None or given.embedder != encoder.name:
            continue
        with suppress(binascii.Error, ValueError):
            vector = base64.b64decode(given.vector, validate=True)
            if all(encoder.check_vectors([vector])):
                vectors[line.record.task.text] = vector
    others = list(dict.fromkeys(text for line in lines if (text := line.record.task.text) not in vectors))
    vectors.update(zip(others, await encoder.encode_all(others), strict=True))
    return vectors
