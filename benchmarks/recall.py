"""What recall costs by the size of the memory: in a file, and on a PostgreSQL server with pgvector.

    python -m benchmarks.recall --records 10000 100000 [--store sqlite postgresql] [--questions 200]

A record is an auction of four agents with its winner's execution and verdict, for one of twenty tenants. Vectors are
mixtures of those of the recorded tasks (`benchmarks/records/embeddings.npz`) with noise, so they lie as texts do, and
no model runs. Each memory is then opened by a fresh process, which asks: the first question, as it comes; 8 pairs for
one agent, over all tenants and for one; the track records of four. What it recalled is compared with an exact search
over full vectors; `rates` is the mean difference in an agent's rate of success. `cpu` is milliseconds of the processor,
this process's and the server's for it. The server is the one of the tests, on this machine, without `fsync`.
"""

# The ways to recall are exchanged behind the memory's back.
# pyright: reportPrivateUsage=false, reportUnknownArgumentType=false
from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from sale.memory import vector_table, writing
from sale.memory.index_sync import SyncedIndex
from sale.memory.records import Judgement
from sale.memory.schema import auctions, calls, executions, juror_weights, outcomes, scores, strategies
from sale.memory.server_recall import ServerRecall
from sale.memory.store import AuctionMemory
from sale.memory.tenants import Sharing
from sale.types import (
    Auction,
    Bid,
    Call,
    Execution,
    Outcome,
    Score,
    Settlement,
    Strategy,
    Task,
    TrackRecord,
    Usage,
    Weights,
)
from tests.support.postgres import started

VECTORS: Final = Path(__file__).parent / "records" / "embeddings.npz"
AGENTS: Final = ("small", "medium", "large", "huge")
TENANTS: Final = 20
BATCH: Final = 1000
ALONE: Final = 50
"""Auctions that are begun, awarded and settled one by one, as the market does."""
WRITTEN: Final = 5000
"""Records that are written one by one, for the rate, with the server's index in place. The rest are the same ones over
other texts, written by the database, and the index is built over all."""
PAIRS: Final = 8
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
        for rank, place in enumerate(order)
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


async def repeat(memory: AuctionMemory, embedder: MixedEmbedder, first: int, count: int) -> None:
    """Write the first records again, over other texts."""
    tasks = [Task(text=f"task {number}") for number in range(first, first + count)]
    vectors = [row.tobytes() for row in embedder.mixed([task.text for task in tasks])]

    def write(connection: Connection) -> None:
        base = connection.exec_driver_sql("SELECT min(key) FROM auctions").scalar_one()
        key = writing.next_revision(connection, by=count)
        rows = writing.Rows()
        for place, (task, vector) in enumerate(zip(tasks, vectors, strict=True), start=key):
            writing.add_task(rows, place, task, MixedEmbedder.name, vector)
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
                f"INSERT INTO {table.name} ({', '.join(names)}) "
                f"SELECT {', '.join(values)} FROM {table.name} WHERE {where}"
            )

    await memory._database.write(write)


def drop_index(connection: Connection) -> None:
    """Have rows go into the table of vectors alone."""
    connection.exec_driver_sql(f"DROP INDEX {vector_table.find(connection, MixedEmbedder.name)}_hnsw")


def rebuild_index(connection: Connection) -> None:
    """Build the index as for a memory that is opened the first time with pgvector."""
    name = vector_table.find(connection, MixedEmbedder.name) or ""
    vector_table.build_index(connection, MixedEmbedder.name, name)


async def alone(memory: AuctionMemory, first: int) -> float:
    """Milliseconds of a whole record, written step by step."""
    began = time.perf_counter()
    for number in range(first, first + ALONE):
        auction, done, outcome, tenant = record(number)
        await memory.begin(auction.id, auction.task, tenant=tenant)
        await memory.award(auction)
        await memory.settle(auction.id, done, outcome)
    return (time.perf_counter() - began) / ALONE * 1e3


# ------------------------------------------------------------------------------------------------ a fresh process


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What was recalled, to be compared."""

    pairs: list[list[str]]
    own: list[list[str]]
    tracks: list[list[float]]


async def ask(place: str, questions: int, *, exactly: bool) -> dict[str, Any]:
    """Open the memory and ask; times in milliseconds."""
    began = time.perf_counter()
    embedder = MixedEmbedder()
    async with await AuctionMemory.open(
        place if "://" in place else Path(place), embedder=embedder, sharing=Sharing(texts=True)
    ) as memory:
        if exactly:
            memory._recall = SyncedIndex(memory._database, memory._encoder)
        opened = time.perf_counter()
        await memory.recall(Task(text="question 0"), "small", PAIRS)
        first = time.perf_counter()
        server = await backends(memory) if "://" in place else ()
        asked = [Task(text=f"question {number}") for number in range(1, questions + 1)]
        used = cpu_seconds(server)
        pairs, times = await _timed(lambda task: memory.recall(task, "small", PAIRS), asked)
        pairs_cpu = cpu_seconds(server) - used
        memory._sharing = Sharing()
        own, own_times = await _timed(lambda task: memory.recall(task, "small", PAIRS, tenant="tenant 7"), asked)
        used = cpu_seconds(server)
        tracks, track_times = await _timed(lambda task: memory.track_records(task, AGENTS), asked)
        return {
            "method": memory._recall.method,
            "opened": (opened - began) * 1e3,
            "first": (first - opened) * 1e3,
            "times": times,
            "own_times": own_times,
            "track_times": track_times,
            "cpu": pairs_cpu / questions * 1e3,
            "track_cpu": (cpu_seconds(server) - used) / questions * 1e3,
            "index": memory._recall.nbytes / 2**20,
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
            "pairs": [[one.auction_id for one in found] for found in pairs],
            "own": [[one.auction_id for one in found] for found in own],
            "tracks": [[_rate(found[agent]) for agent in AGENTS] for found in tracks],
        }


async def backends(memory: AuctionMemory) -> tuple[int, ...]:
    """The server's processes for this memory's connections."""
    statement = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sale' AND datname = current_database()"
    return await memory._database.read(
        lambda connection: tuple(int(pid) for (pid,) in connection.exec_driver_sql(statement))
    )


def cpu_seconds(server: Sequence[int]) -> float:
    """Of this process and of the server's for it, so far."""
    fields = (Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split() for pid in server)
    ticks = sum(int(field[11]) + int(field[12]) for field in fields)
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


async def _timed(question: Callable[[Task], Awaitable[Any]], asked: Sequence[Task]) -> tuple[list[Any], list[float]]:
    found: list[Any] = []
    times: list[float] = []
    for task in asked:
        began = time.perf_counter()
        found.append(await question(task))
        times.append((time.perf_counter() - began) * 1e3)
    return found, times


def _rate(record: TrackRecord) -> float:
    total = record.successes + record.failures
    return record.successes / total if total else 0.5


def asked_by_a_process(place: str, questions: int, *, exactly: bool = False) -> dict[str, Any]:
    """`ask`, by a process of its own."""
    command = [sys.executable, "-m", "benchmarks.recall", "--ask", place, "--questions", str(questions)]
    done = subprocess.run([*command, *(["--exactly"] if exactly else [])], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# ------------------------------------------------------------------------------------------------------ the table


async def measured(place: str, records: int, questions: int) -> str:
    """One line of the table."""
    embedder = MixedEmbedder()
    async with await AuctionMemory.open(place if "://" in place else Path(place), embedder=embedder) as memory:
        await memory.recall(Task(text="question 0"), "small", PAIRS)
        first = min(records, WRITTEN)
        rate = first / await fill(memory, embedder, 0, first)
        served = isinstance(memory._recall, ServerRecall)
        built = 0.0
        if served:
            await memory._database.write(drop_index)
        for start in range(first, records, first):
            await repeat(memory, embedder, start, first)
        if served:
            began = time.perf_counter()
            await memory._database.write(rebuild_index)
            built = time.perf_counter() - began
        each = await alone(memory, records)
        size = (await memory.stats()).file_bytes / 2**20
    found = asked_by_a_process(place, questions)
    exact = asked_by_a_process(place, questions, exactly=True) if "://" in place else found
    kind = "postgresql" if "://" in place else "sqlite"
    cells = (
        f"{kind:>10} {records:>9,}",
        f"{rate:>9,.0f} {built:>7.1f} {each:>7.1f} {size:>8,.0f}",
        f"{found['opened']:>7,.0f} {found['first']:>8,.0f} {found['peak']:>7,.0f}",
        f"{_percentiles(found['times'])} {found['cpu']:>6.1f}",
        f"{_percentiles(found['own_times'])}",
        f"{_percentiles(found['track_times'])} {found['track_cpu']:>6.1f}",
        f"{_overlap(found['pairs'], exact['pairs']):>7.3f} {_overlap(found['own'], exact['own']):>7.3f}",
        f"{np.mean(np.abs(np.array(found['tracks']) - np.array(exact['tracks']))):>8.4f}",
    )
    return "  ".join(cells)


def _percentiles(times: Sequence[float]) -> str:
    return f"{np.percentile(times, 50):>7.1f} {np.percentile(times, 95):>7.1f}"


def _overlap(found: Sequence[Sequence[str]], exact: Sequence[Sequence[str]]) -> float:
    shared = sum(len(set(one) & set(other)) for one, other in zip(found, exact, strict=True))
    return shared / max(sum(map(len, exact)), 1)


HEAD: Final = f"""\
{"":>20}  {"insert":>9} {"index":>7} {"alone":>7} {"on disk":>8}  {"open":>7} {"first":>8} {"process":>7}  \
{"8 pairs":>22}  {"of one tenant":>15}  {"4 track records":>22}  {"recall against exact":>24}
{"store":>10} {"records":>9}  {"records/s":>9} {"s":>7} {"ms":>7} {"MiB":>8}  {"ms":>7} {"ms":>8} {"MiB":>7}  \
{"p50":>7} {"p95":>7} {"cpu":>6}  {"p50":>7} {"p95":>7}  {"p50":>7} {"p95":>7} {"cpu":>6}  \
{"pairs":>7} {"tenant":>7}  {"rates":>8}"""


async def main(arguments: argparse.Namespace) -> None:
    """Print the table, or what one process found."""
    if arguments.ask:
        print(json.dumps(await ask(arguments.ask, arguments.questions, exactly=arguments.exactly)))
        return
    print(HEAD, flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sale-recall-")))
        server = None
        if "postgresql" in arguments.store:
            server = stack.enter_context(started())
        for records in arguments.records:
            for store in arguments.store:
                place = str(folder / f"{records}.sqlite3")
                if store == "postgresql" and server is not None:
                    place = server.database()
                print(await measured(place, records, arguments.questions), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--store", choices=["sqlite", "postgresql"], nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    parser.add_argument("--exactly", action="store_true", help=argparse.SUPPRESS)
    asyncio.run(main(parser.parse_args()))
