"""Past work as records of the auction memory.

A piece of work becomes a settled record with one bid, of the agent that did it, without a plan. So it counts in track
records, in costs and in fits, and never as an example of plans. Records have ids made of the format and the row, so
what is there already stays as it is, and an import that was cut short can be run again.

Without texts the embedding of a task is kept, and in place of its text a line that says so, with the source's id of the
task. The embedding can then not be made again for another embedder.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from sqlalchemy import ColumnElement, exists, select

from sale.memory.database import MemoryDatabase
from sale.memory.export import BATCH, SCHEMA, ExportedEmbedding, ExportedRecord, add_lines
from sale.memory.importers.past_work import PastWork, digest
from sale.memory.index_sync import TextEncoder
from sale.memory.plausible import MAX_DOLLARS, find_implausible
from sale.memory.records import IMPORTED, ImportReport, Judgement, Record
from sale.memory.schema import evidence
from sale.types import MICRO, Auction, Bid, Call, Execution, Outcome, Price, Settlement, Strategy, Task, Usage, Weights

if TYPE_CHECKING:
    from sale.memory.importers.read import ReadFile

log = logging.getLogger("sale.memory")

LEFT_OUT: Final = "(text left out)"
_NO_WEIGHTS: Final = Weights(cost=0.0, entropy=0.0, jurors={}, source="imported")


async def import_works(
    database: MemoryDatabase,
    encoder: TextEncoder,
    file: ReadFile,
    prices: Mapping[str, Price],
    *,
    source: str,
    texts: bool,
) -> ImportReport:
    """Add the work of a file that is not there yet, a batch a transaction; see `AuctionMemory.import_work`."""
    paid = with_prices(file.works, prices)
    added = present = 0
    works = iter(paid)
    compacted = await database.read(lambda connection: connection.execute(select(_kept_of(source))).scalar())
    now = datetime.now(UTC)
    rates = observed_prices(paid, prices)
    while batch := list(islice(works, BATCH)):
        lines = [_line(file.format, work, rates.get(work.agent, 0.0), now, source) for work in batch]
        if not texts:
            vectors = await encoder.encode_all([work.task for work in batch])
            lines = [_without_text(line, encoder.name, vector) for line, vector in zip(lines, vectors, strict=True)]
        new = await add_lines(database, encoder, lines, source)
        added += new
        present += len(batch) - new
    if compacted and added:
        # Compaction keeps sums, and not the rows they are of.
        log.warning(
            "%s: work from %s was compacted before. Of what was added now, that work counts a second time; forget this "
            "source, and import it again, to have all count once.",
            database.where,
            source,
        )
    return ImportReport(added=added, present=present, bad=file.bad)


def _kept_of(source: str) -> ColumnElement[bool]:
    """Return the condition that compaction has added up work of a source."""
    return exists().where(evidence.c.source == source)


def with_prices(works: Sequence[PastWork], prices: Mapping[str, Price]) -> tuple[PastWork, ...]:
    """Work whose dollars are not in the file, but whose tokens and whose agent's price are known, with its dollars."""
    return tuple(_priced(work, prices.get(work.agent)) for work in works)


def _priced(work: PastWork, price: Price | None) -> PastWork:
    if work.dollars is not None or price is None or work.tokens is None:
        return work
    dollars = price.dollars(_usage(work))
    return replace(work, dollars=dollars) if dollars <= MAX_DOLLARS else work


def observed_prices(works: Sequence[PastWork], prices: Mapping[str, Price]) -> Mapping[str, float]:
    """π(a) of agents: of the pool, where they are in it; else dollars per million tokens of their work in the file."""
    found = {name: price.blended for name, price in prices.items()}
    for agent in {work.agent for work in works} - set(found):
        known = [(work.dollars, work.tokens) for work in works if work.agent == agent]
        paid = [(dollars, tokens) for dollars, tokens in known if dollars is not None and tokens]
        if paid:
            found[agent] = MICRO * sum(dollars for dollars, _ in paid) / sum(tokens for _, tokens in paid)
    return found


def _usage(work: PastWork) -> Usage:
    return Usage(input_tokens=work.input_tokens or 0, output_tokens=work.output_tokens or 0)


def _line(format_name: str, work: PastWork, price: float, now: datetime, source: str) -> ExportedRecord:
    name = digest(format_name, work.row)
    at = work.at or now
    task = Task(text=work.task, id=work.task_id, domain=work.domain)
    bid = Bid(
        strategy=Strategy(agent=work.agent, text="", tokens=0, entropy=None, entropy_note="imported work has no plan"),
        price=price,
        cost=0.0,
        value=0.0,
        scores=(),
        notes=(f"imported from {source.removeprefix('import:')}",),
    )
    auction = Auction(
        id=name,
        task=task,
        bids=(bid,),
        provisional=work.agent,
        refinements=(),
        winner=bid,
        dropouts=(),
        weights=_NO_WEIGHTS,
        jury="panel",
        settlement=Settlement(),
        seconds=0.0,
    )
    outcome = Outcome(verdict=work.verdict, judged_by=work.judged_by)
    record = Record(
        id=name,
        task=task,
        status="settled",
        source=source,
        started_at=at,
        awarded_at=at,
        settled_at=at,
        auction=auction,
        execution=_execution(work),
        outcomes=(Judgement(outcome=outcome, at=at, execution=0),),
    )
    if fault := find_implausible(
        record, "record"
    ):  # what a row may hold is checked as it is read: this would be our fault
        raise ValueError(fault)
    return ExportedRecord(schema=SCHEMA, record=record)


def _execution(work: PastWork) -> Execution:
    """The work. Where its dollars are not known there is no call on it: a call of no dollars would be a free one."""
    call = None
    if work.dollars is not None:
        call = Call(stage="execute", agent=work.agent, usage=_usage(work), dollars=work.dollars, seconds=work.seconds)
    return Execution(
        agent=work.agent,
        answer=work.answer,
        mode=IMPORTED,
        followed_strategy=False,
        calls=(call,) if call else (),
        seconds=work.seconds,
        error=work.error,
    )


def _without_text(line: ExportedRecord, embedder: str, vector: bytes) -> ExportedRecord:
    record = line.record
    name = record.task.id if record.task.id != record.task.text else digest(record.task.text)
    task = Task(text=f"{LEFT_OUT} {name}", id=record.task.id, domain=record.task.domain)
    execution = record.execution and replace(record.execution, answer="", error=None)
    auction = record.auction and replace(record.auction, task=task)
    return replace(
        line,
        record=replace(record, task=task, auction=auction, execution=execution),
        embedding=ExportedEmbedding(embedder=embedder, vector=base64.b64encode(vector).decode()),
    )
