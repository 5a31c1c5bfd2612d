"""The evidence that compaction kept, as lines of an export, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, Literal

from sqlalchemy import Connection, select

from sale.memory import writing
from sale.memory.plausible import MAX_DOLLARS, find_implausible
from sale.memory.schema import evidence, tasks
from sale.memory.tenants import is_name
from sale.memory.writing import Rows
from sale.types import Task

SCHEMA: Final = 3
MAX_COUNT: Final = 1e12


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkEvidence:
    """The outcome of one agent's executions in auctions of tasks like this one that are no longer on record."""

    id: str
    task: Task
    tenant: str
    agent: str
    successes: float
    failures: float
    dollars: float
    costed: float
    first_at: datetime
    last_at: datetime
    faded_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedEvidence:
    """One line of the file."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True}

    schema: Literal[3]
    evidence: WorkEvidence


def read_evidence(connection: Connection) -> Iterator[WorkEvidence]:
    """All that is on record, oldest key first."""
    wanted = select(evidence, tasks.c.id.label("task_id"), tasks.c.text, tasks.c.domain)
    for row in connection.execute(wanted.join(tasks, tasks.c.key == evidence.c.task).order_by(evidence.c.key)):
        yield WorkEvidence(
            id=row.id,
            task=Task(id=row.task_id, text=row.text, domain=row.domain),
            tenant=row.tenant,
            agent=row.agent,
            successes=row.successes,
            failures=row.failures,
            dollars=row.dollars,
            costed=row.costed,
            first_at=row.first_at,
            last_at=row.last_at,
            faded_at=row.faded_at,
        )


def find_fault(line: WorkEvidence) -> str | None:
    """Return what is wrong with a line from elsewhere, or `None`."""
    counts = (line.successes, line.failures, line.costed)
    if not 0 < len(line.id) <= 32:
        return "evidence.id: it has 1 to 32 characters"
    if not is_name(line.tenant):
        return "evidence.tenant: it cannot be the name of a tenant"
    if not all(math.isfinite(one) and 0.0 <= one <= MAX_COUNT for one in counts):
        return "evidence: a count that can be none"
    if not 0.0 <= line.dollars <= MAX_DOLLARS:
        return "evidence.dollars: an amount that can be none"
    if any(at.tzinfo is None for at in (line.first_at, line.last_at, line.faded_at)):
        return "evidence: a time without a zone"
    return find_implausible(line, "evidence")


def insert_evidence(
    connection: Connection, lines: Sequence[WorkEvidence], source: str, embedder: str, vectors: Mapping[str, bytes]
) -> int:
    """Add the lines whose id is not there yet; gives back how many.

    Args:
        connection: Writing.
        lines: Checked.
        source: Where they come from.
        embedder: Of the vectors.
        vectors: By the task's text.
    """
    ids = list({line.id: line for line in lines})
    known = set(connection.execute(select(evidence.c.id).where(evidence.c.id.in_(ids))).scalars())
    new = [line for line in {line.id: line for line in lines}.values() if line.id not in known]
    revision = writing.next_revision(connection, by=max(len(new), 1))
    keys = writing.task_keys(connection, [writing.task_digest(line.task) for line in new])
    rows = Rows()
    for key, line in enumerate(new, start=revision):
        digest = writing.task_digest(line.task)
        if digest not in keys:
            keys[digest] = key
            writing.add_task(rows, key, line.task, embedder, vectors[line.task.text])
        fields: dict[str, Any] = {name: getattr(line, name) for name in _COPIED}
        rows.add(evidence, {"key": key, "revision": key, "task": keys[digest], "source": source, **fields})
    rows.insert(connection)
    return len(new)


_COPIED: Final = (
    "id",
    "tenant",
    "agent",
    "successes",
    "failures",
    "dollars",
    "costed",
    "first_at",
    "last_at",
    "faded_at",
)
