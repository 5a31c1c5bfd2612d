"""Records for `benchmarks.recall`: auctions of four agents over texts whose vectors lie as those of tasks do.

The first few thousand are written as the memory writes them. The rest are the same ones over other texts, written by
the database itself: their texts and vectors by COPY, and without looking up what each row refers to.
"""

# What the memory keeps to itself is written behind its back.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from sale.memory import vector_table, writing
from sale.memory.records import Judgement
from sale.memory.schema import auctions, calls, executions, juror_weights, outcomes, scores, strategies
from sale.memory.store import AuctionMemory
from sale.storage.columns import text_digest
from sale.types import Auction, Bid, Call, Execution, Outcome, Score, Settlement, Strategy, Task, Usage, Weights

VECTORS: Final = Path(__file__).parent / "records" / "embeddings.npz"
AGENTS: Final = ("small", "medium", "large", "huge")
TENANTS: Final = 20
BATCH: Final = 1000
WRITTEN: Final = 5000
"""Records that are written one by one, for the rate, with the server's index in place."""
REPEATED: Final = (auctions, juror_weights, strategies, scores, executions, outcomes, calls)
BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
Floats = NDArray[np.float32]


class MixedEmbedder:
    """The vector of a text `task 17` or `question 3`: a mixture of two recorded ones and noise, by its number."""

    name = "mixed"
    dimensions = 384

    def __init__(self) -> None:
        with np.load(VECTORS) as stored:
            self._base = stored["vectors"].astype(np.float32)

    async def embed(self, texts: Sequence[str]) -> Floats:
        """Their vectors."""
        return self.mixed(texts)

    def mixed(self, texts: Sequence[str]) -> Floats:
        """Their vectors, at once."""
        made = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for place, text in enumerate(texts):
            kind, _, number = text.partition(" ")
            generator = np.random.default_rng([len(kind), int(number)])
            first, second = self._base[generator.integers(len(self._base), size=2)]
            noise = generator.normal(size=self.dimensions).astype(np.float32) / math.sqrt(self.dimensions)
            made[place] = first + generator.uniform(0.0, 0.6) * second + 0.5 * noise
        return made / np.linalg.norm(made, axis=1, keepdims=True)


def record(number: int) -> tuple[Auction, Execution, Outcome, str]:
    """An auction, its work, the verdict, and the tenant."""
    generator = np.random.default_rng([99, number])
    order = generator.permutation(len(AGENTS))
    bids = tuple(
        Bid(
            strategy=Strategy(agent=AGENTS[place], text=f"plan {number} of {AGENTS[place]}", tokens=40, entropy=None),
            price=1.0,
            cost=float(rank),
            value=0.0,
            scores=(Score(juror="judge", bidder=AGENTS[place], value=3.0),),
        )
        for rank, place in enumerate(map(int, order))
    )
    usage = Usage(input_tokens=200, output_tokens=40)
    made = tuple(Call(stage="bid", agent=agent, usage=usage, dollars=1e-5, seconds=0.5) for agent in AGENTS)
    auction = Auction(
        id=f"a{number}",
        task=Task(text=f"task {number}"),
        bids=bids,
        provisional=bids[0].agent,
        refinements=(),
        winner=bids[0],
        dropouts=(),
        weights=Weights(cost=1.0, entropy=0.0, jurors={"judge": 1.0}),
        jury="panel",
        settlement=Settlement(calls=made),
        seconds=1.0,
    )
    paid = Call(stage="execute", agent=bids[0].agent, usage=usage, dollars=1e-4 * (1 + int(order[0])), seconds=2.0)
    done = Execution(
        agent=bids[0].agent,
        answer="42",
        mode="direct",
        followed_strategy=True,
        trace=(),
        calls=(paid,),
        seconds=2.0,
    )
    verdict = "success" if generator.random() < 0.6 else "failure"
    return auction, done, Outcome(verdict=verdict, judged_by="tests"), f"tenant {number % TENANTS}"


async def fill(memory: AuctionMemory, embedder: MixedEmbedder, first: int, count: int) -> float:
    """Add settled records in transactions of a thousand, by the rows that an import writes; the seconds it took."""
    seconds = 0.0
    for start in range(first, first + count, BATCH):
        some = [record(number) for number in range(start, min(start + BATCH, first + count))]
        vectors = [row.tobytes() for row in embedder.mixed([auction.task.text for auction, *_ in some])]
        began = time.perf_counter()
        await memory._database.write(partial(_insert, some=some, vectors=vectors))
        seconds += time.perf_counter() - began
    return seconds


def _insert(connection: Connection, some: Sequence[Any], vectors: Sequence[bytes]) -> None:
    rows = writing.Rows()
    key = writing.next_revision(connection, by=len(some))
    for place, ((auction, done, outcome, tenant), vector) in enumerate(zip(some, vectors, strict=True), start=key):
        writing.add_task(rows, place, auction.task, MixedEmbedder.name, vector)
        at = BEGAN + timedelta(seconds=place)
        times = {"started_at": at, "awarded_at": at, "settled_at": at, "abandoned_at": None, "reason": None}
        head = {"id": auction.id, "task": place, "status": "settled", "source": "", "tenant": tenant, **times}
        writing.add_record(rows, place, {**head, "owner": None, "withheld": False}, auction)
        writing.add_award(rows, place, auction)
        writing.add_work(rows, place, (done,), None)
        writing.add_outcome(rows, place, Judgement(outcome=outcome, at=at, execution=0), 0)
        lines = writing.call_rows("auction", auction.settlement.calls)
        rows.number(calls, place, lines + writing.call_rows("execution", done.calls, execution=0))
    rows.insert(connection)


def repeat(connection: Connection, embedder: MixedEmbedder, first: int, count: int) -> None:
    """Write the first records again, over other texts."""
    tasks = [Task(text=f"task {number}") for number in range(first, first + count)]
    vectors = embedder.mixed([task.text for task in tasks])
    base = connection.exec_driver_sql("SELECT min(key) FROM auctions").scalar_one()
    key = writing.next_revision(connection, by=count)
    if vector_table.is_server(connection):
        # Else each row is looked up that another refers to; these are copies of rows that were.
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        _copy_tasks(connection, key, tasks, vectors)
    else:
        rows = writing.Rows()
        for place, (task, vector) in enumerate(zip(tasks, vectors, strict=True), start=key):
            writing.add_task(rows, place, task, MixedEmbedder.name, vector.tobytes())
        rows.insert(connection)
    for table in REPEATED:
        other = {
            "key": f"key + {key - base}",
            "auction": f"auction + {key - base}",
            "task": f"task + {key - base}",
            "revision": f"revision + {key - base}",
            "id": f"'a' || (CAST(substr(id, 2) AS integer) + {first})",
        }
        where = f"{'key' if table is auctions else 'auction'} < {base + count}"
        names = [f'"{column.name}"' for column in table.columns]
        values = [other.get(column.name, f'"{column.name}"') for column in table.columns]
        connection.exec_driver_sql(
            f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {', '.join(values)} FROM {table.name} WHERE {where}"
        )


def _copy_tasks(connection: Connection, key: int, tasks: Sequence[Task], vectors: Floats) -> None:
    digests = [text_digest(task.text) for task in tasks]
    heads = (
        (place, writing.task_digest(task), digest, task.id, task.domain, task.text)
        for place, (task, digest) in enumerate(zip(tasks, digests, strict=True), start=key)
    )
    _copy(
        connection, "tasks (key, digest, text_digest, id, domain, text)", "int8 varchar varchar text text text", heads
    )
    stored = ((place, MixedEmbedder.name, row.tobytes()) for place, row in enumerate(vectors, start=key))
    _copy(connection, "embeddings (task, embedder, vector)", "int8 text bytea", stored)
    # As the extension sends a `halfvec`: how many numbers, a field that is not used, and the numbers.
    size = struct.pack(">HH", MixedEmbedder.dimensions, 0)
    halves = ((digest, size + row.tobytes()) for digest, row in zip(digests, vectors.astype(">f2"), strict=True))
    name = vector_table.find(connection, MixedEmbedder.name)
    _copy(connection, f"{name} (digest, vector)", "varchar bytea", halves)


def _copy(connection: Connection, into: str, types: str, rows: Iterable[tuple[Any, ...]]) -> None:
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(types.split())
        for row in rows:
            copy.write_row(row)


def drop_index(connection: Connection) -> None:
    """Have rows go into the table of vectors alone."""
    connection.exec_driver_sql(f"DROP INDEX {vector_table.find(connection, MixedEmbedder.name)}_hnsw")


def rebuild_index(connection: Connection) -> None:
    """Build the index as for a memory that is opened the first time with pgvector."""
    name = vector_table.find(connection, MixedEmbedder.name) or ""
    vector_table.build_index(connection, MixedEmbedder.name, name)
