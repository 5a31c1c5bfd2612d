"""Past work that was imported, read back from the memory: who worked on which task, what came of it, and its vector."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, and_, select

from sale.memory.importers.past_work import PastWork
from sale.memory.queries import latest_verdict_on_work, paid_for_execution
from sale.memory.records import IMPORTED
from sale.memory.retrieval import STORED, Vector
from sale.memory.schema import auctions, embeddings, executions, tasks


@dataclass(frozen=True, kw_only=True, slots=True)
class RememberedWork:
    """A piece of imported work, and the vector of its task."""

    work: PastWork
    vector: Vector | None
    """Of the task's text, unit length; `None` where it was not made with this embedder."""


def read_imported_work(connection: Connection, embedder: str, since: datetime | None) -> tuple[RememberedWork, ...]:
    """All imported work that has not been forgotten, the oldest record first.

    Args:
        connection: Reading.
        embedder: Name of the embedder whose vectors are wanted.
        since: Only work begun then or later.
    """
    query = _work(embedder)
    if since is not None:
        query = query.where(auctions.c.started_at >= since)
    return tuple(
        RememberedWork(
            work=PastWork(
                row=row.id,
                agent=row.agent,
                task=row.text,
                task_id=row.task_id,
                verdict=row.verdict or "unknown",
                at=row.started_at,
                dollars=row.dollars,
            ),
            vector=None if row.vector is None else np.frombuffer(row.vector, dtype=STORED).astype(np.float32),
        )
        for row in connection.execute(query)
    )


def _work(embedder: str) -> Select[*tuple[Any, ...]]:
    mine = and_(embeddings.c.task == tasks.c.key, embeddings.c.embedder == embedder)
    return (
        select(
            auctions.c.id,
            auctions.c.started_at,
            tasks.c.text,
            tasks.c.id.label("task_id"),
            executions.c.agent,
            latest_verdict_on_work().label("verdict"),
            paid_for_execution().label("dollars"),
            embeddings.c.vector,
        )
        .select_from(executions)
        .join(auctions, auctions.c.key == executions.c.auction)
        .join(tasks, tasks.c.key == auctions.c.task)
        .outerjoin(embeddings, mine)
        .where(executions.c.mode == IMPORTED)
        .order_by(auctions.c.key)
    )
