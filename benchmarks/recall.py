"""What recall costs by the size of the memory: in a file, and on a PostgreSQL server with pgvector.

    python -m benchmarks.recall --records 10000 100000 [--store sqlite postgresql] [--questions 200] [--at FOLDER]

A record is an auction of four agents with its winner's execution and verdict, for one of twenty tenants. Vectors are
mixtures of those of the recorded tasks (`benchmarks/records/embeddings.npz`) with noise, so they lie as texts do, and
no model runs. Each memory is then opened by a fresh process, which asks: the first question, as it comes; 8 pairs for
one agent, over all tenants and for one; the track records of four. What it recalled is compared with an exact search
over full vectors; `rates` is the mean difference in an agent's rate of success. `cpu` is time of the processor, this
process's and the server's for it, which other programs on the machine change less than the time by the clock. The
server is the one of the tests, on this machine, without `fsync`, and with `shared_buffers` that hold the index of a
million texts. With `--at` what was built stays in a folder, and is not built again by the next run.
"""

# The ways to recall are exchanged behind the memory's back.
# pyright: reportPrivateUsage=false, reportUnknownArgumentType=false
from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.recall_fill import (
    AGENTS,
    WRITTEN,
    MixedEmbedder,
    drop_index,
    fill,
    rebuild_index,
    record,
    repeat,
)
from sale.memory.retrieval import IndexedAuction, RecallIndex
from sale.memory.server_recall import ServerRecall
from sale.memory.store import AuctionMemory
from sale.memory.tenants import Sharing
from sale.memory.track_records import TrackedWork
from sale.types import Task, TrackRecord
from tests.support.postgres import Server, started

ALONE: Final = 50
"""Auctions that are begun, awarded and settled one by one, as the market does."""
PAIRS: Final = 8
SETTINGS: Final = {"shared_buffers": "2GB", "max_wal_size": "8GB"}


async def alone(memory: AuctionMemory, first: int) -> None:
    """Write whole records step by step."""
    for number in range(first, first + ALONE):
        auction, done, outcome, tenant = record(number)
        await memory.begin(auction.id, auction.task, tenant=tenant)
        await memory.award(auction)
        await memory.settle(auction.id, done, outcome)


# ------------------------------------------------------------------------------------------------ a fresh process


@dataclass
class Times:
    """Milliseconds of some questions, by the clock and of the processor."""

    clock: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])


async def ask(place: str, questions: int) -> dict[str, Any]:
    """Open the memory and ask; times in milliseconds."""
    began, used = time.perf_counter(), time.process_time()
    embedder = MixedEmbedder()
    async with await AuctionMemory.open(
        place if "://" in place else Path(place), embedder=embedder, sharing=Sharing(texts=True)
    ) as memory:
        opened, opened_cpu = time.perf_counter(), time.process_time()
        await memory.recall(Task(text="question 0"), "small", PAIRS)
        first, first_cpu = time.perf_counter(), time.process_time()
        server = await backends(memory) if "://" in place else ()
        asked = [Task(text=text) for text in texts_asked(questions)]
        pairs, pair_times = await _timed(lambda task: memory.recall(task, "small", PAIRS), asked, server)
        memory._sharing = Sharing()
        own, own_times = await _timed(
            lambda task: memory.recall(task, "small", PAIRS, tenant="tenant 7"), asked, server
        )
        tracks, track_times = await _timed(lambda task: memory.track_records(task, AGENTS), asked, server)
        return {
            "opened": (opened - began) * 1e3,
            "opened_cpu": (opened_cpu - used) * 1e3,
            "first": (first - opened) * 1e3,
            "first_cpu": (first_cpu - opened_cpu) * 1e3,
            "times": [vars(one) for one in (pair_times, own_times, track_times)],
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
            "pairs": [[one.auction_id for one in found] for found in pairs],
            "own": [[one.auction_id for one in found] for found in own],
            "tracks": [[_rate(found[agent]) for agent in AGENTS] for found in tracks],
        }


def texts_asked(questions: int) -> list[str]:
    """The questions after the first."""
    return [f"question {number}" for number in range(1, questions + 1)]


def ask_exactly(records: int, questions: int) -> dict[str, Any]:
    """The same by an exact search over full vectors, of records as they were made, without a database."""
    embedder = MixedEmbedder()
    index = RecallIndex(embedder.dimensions)
    written = [record(number) for number in range(min(records, WRITTEN))]
    for start in range(0, records + ALONE, WRITTEN):
        numbers = range(start, min(start + WRITTEN, records + ALONE))
        index.put_tasks(
            [(number, str(number)) for number in numbers], embedder.mixed([f"task {number}" for number in numbers])
        )
        for number in numbers:
            _, done, outcome, tenant = written[number % WRITTEN] if number < records else record(number)
            work = TrackedWork(agent=done.agent, verdict=outcome.verdict)
            index.put(
                IndexedAuction(
                    auction=number,
                    task=number,
                    started=float(number),
                    awarded=True,
                    verdict=outcome.verdict,
                    bidders=AGENTS,
                    work=(work,),
                    tenant=tenant,
                )
            )
    found: dict[str, list[Any]] = {"pairs": [], "own": [], "tracks": []}
    for vector in embedder.mixed(texts_asked(questions)):
        for name, tenants in (("pairs", None), ("own", {"tenant 7"})):
            near = index.examples(vector, "small", PAIRS, require_success=False, tenants=tenants)
            found[name].append([f"a{key}" for key, _ in near])
        tracks = index.tracks(vector, AGENTS)
        found["tracks"].append([_rate(tracks[agent]) for agent in AGENTS])
    return found


async def backends(memory: AuctionMemory) -> tuple[int, ...]:
    """The server's processes for this memory's connections."""
    statement = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sale' AND datname = current_database()"
    return await memory._database.read(
        lambda connection: tuple(int(pid) for (pid,) in connection.exec_driver_sql(statement))
    )


def cpu_seconds(server: Sequence[int]) -> float:
    """Of this process and of the server's for it, so far."""
    fields = (Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split() for pid in server)
    return time.process_time() + sum(int(field[0]) for field in fields) * 1e-9


async def _timed(
    question: Callable[[Task], Awaitable[Any]], asked: Sequence[Task], server: Sequence[int]
) -> tuple[list[Any], Times]:
    found: list[Any] = []
    times = Times()
    for task in asked:
        began, used = time.perf_counter(), cpu_seconds(server)
        found.append(await question(task))
        times.clock.append((time.perf_counter() - began) * 1e3)
        times.cpu.append((cpu_seconds(server) - used) * 1e3)
    return found, times


def _rate(one: TrackRecord) -> float:
    total = one.successes + one.failures
    return one.successes / total if total else 0.5


def asked_by_a_process(place: str, questions: int) -> dict[str, Any]:
    """`ask`, by a process of its own."""
    command = [sys.executable, "-m", "benchmarks.recall", "--ask", place, "--questions", str(questions)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# ----------------------------------------------------------------------------------------------------- what is built


class Clock:
    """Seconds by the clock, and of the processor for this process and all that the server does."""

    def __init__(self, server: Server | None) -> None:
        self._server = server
        self._began = time.perf_counter(), self._cpu()

    def _cpu(self) -> float:
        if self._server is None:
            return time.process_time()
        main = (self._server.data / "postmaster.pid").read_text(encoding="utf-8").split()[0]
        ended = Path(f"/proc/{main}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        seconds = (int(ended[13]) + int(ended[14])) / os.sysconf("SC_CLK_TCK")
        running = Path(f"/proc/{main}/task/{main}/children").read_text(encoding="ascii").split()
        return seconds + cpu_seconds([int(pid) for pid in running])

    def read(self) -> tuple[float, float]:
        """Both, since the beginning."""
        return time.perf_counter() - self._began[0], self._cpu() - self._began[1]


async def build(place: str, records: int, server: Server | None) -> str:
    """Fill a memory; the line of the first table."""
    embedder = MixedEmbedder()
    async with await AuctionMemory.open(place if "://" in place else Path(place), embedder=embedder) as memory:
        await memory.recall(Task(text="question 0"), "small", PAIRS)
        first = min(records, WRITTEN)
        clock = Clock(server)
        seconds = await fill(memory, embedder, 0, first)
        cpu = clock.read()[1]
        served = isinstance(memory._recall, ServerRecall)
        if served:
            await memory._database.write(drop_index)
        for start in range(first, records, first):
            await memory._database.write(lambda connection, start=start: repeat(connection, embedder, start, first))
            if start // first % 10 == 0:
                print(f"{start:,} records", file=sys.stderr, flush=True)
        clock = Clock(server)
        if served:
            await memory._database.write(rebuild_index)
        built = clock.read()
        if server is not None:
            server.run("ANALYZE", url=place)
        await memory.recall(Task(text="question 0"), "small", PAIRS)  # all texts are seen to have their vectors
        clock = Clock(server)
        await alone(memory, records)
        each = clock.read()
        size = (await memory.stats()).file_bytes / 2**20
    return (
        f"{_name(place, records)} {first / seconds:>9,.0f} {cpu / first * 1e3:>7.1f} {built[0]:>9.0f} {built[1]:>7.0f} "
        f"{each[0] / ALONE * 1e3:>9.1f} {each[1] / ALONE * 1e3:>7.1f} {size:>9,.0f}"
    )


def _name(place: str, records: int) -> str:
    return f"{'postgresql' if '://' in place else 'sqlite':>10} {records:>9,}"


def measured(place: str, records: int, questions: int, folder: Path) -> str:
    """The line of the second table."""
    found = asked_by_a_process(place, questions)
    kept = folder / f"exact-{records}-{questions}.json"
    if not kept.exists():
        kept.write_text(json.dumps(ask_exactly(records, questions)), encoding="utf-8")
    exact = json.loads(kept.read_text(encoding="utf-8"))
    cells = (
        f"{_name(place, records)} {found['opened']:>7,.0f} {found['opened_cpu']:>6,.0f} "
        f"{found['first']:>8,.0f} {found['first_cpu']:>7,.0f} {found['peak']:>6,.0f}",
        *(f"{_percentiles(one['clock'])} {_percentiles(one['cpu'])}" for one in found["times"]),
        f"{_overlap(found['pairs'], exact['pairs']):>7.3f} {_overlap(found['own'], exact['own']):>7.3f}",
        f"{np.mean(np.abs(np.array(found['tracks']) - np.array(exact['tracks']))):>7.4f}",
    )
    return "  ".join(cells)


def _percentiles(times: Sequence[float]) -> str:
    return f"{np.percentile(times, 50):>6.1f} {np.percentile(times, 95):>6.1f}"


def _overlap(found: Sequence[Sequence[str]], exact: Sequence[Sequence[str]]) -> float:
    shared = sum(len(set(one) & set(other)) for one, other in zip(found, exact, strict=True))
    return shared / max(sum(map(len, exact)), 1)


BUILT: Final = f"""\
{"":>20} {"insert":>17} {"index":>17} {"one alone":>17} {"on disk":>9}
{"store":>10} {"records":>9} {"records/s":>9} {"cpu ms":>7} {"s":>9} {"cpu s":>7} {"ms":>9} {"cpu ms":>7} {"MiB":>9}"""
_FOUR: Final = f"{'p50':>6} {'p95':>6} {'c50':>6} {'c95':>6}"
ASKED: Final = f"""\
{"":>20} {"open":>14} {"first":>16} {"":>6}  {"8 pairs":>27}  {"8 of one tenant":>27}  {"4 track records":>27}  \
{"against exact":>24}
{"store":>10} {"records":>9} {"ms":>7} {"cpu":>6} {"ms":>8} {"cpu":>7} {"MiB":>6}  {_FOUR}  {_FOUR}  {_FOUR}  \
{"pairs":>7} {"tenant":>7}  {"rates":>7}"""


async def main(arguments: argparse.Namespace) -> None:
    """Print the tables, or what one process found."""
    if arguments.ask:
        print(json.dumps(await ask(arguments.ask, arguments.questions)))
        return
    with ExitStack() as stack:
        folder = arguments.at or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sale-recall-")))
        folder.mkdir(exist_ok=True)
        server = None
        if "postgresql" in arguments.store:
            server = stack.enter_context(started(kept=folder / "server", settings=SETTINGS))
        places: list[tuple[str, int]] = []
        print(BUILT, flush=True)
        for records in arguments.records:
            for store in arguments.store:
                served = server if store == "postgresql" else None
                done = folder / f"{store}-{records}.txt"
                if not done.exists():
                    place = served.database() if served else str(folder / f"{records}.sqlite3")
                    line = await build(place, records, served)
                    done.write_text(f"{place}\n{line}\n", encoding="utf-8")
                place, line, *_ = done.read_text(encoding="utf-8").splitlines()
                places.append((place, records))
                print(line, flush=True)
        print(ASKED, flush=True)
        for place, records in places:
            print(measured(place, records, arguments.questions, folder), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--store", choices=["sqlite", "postgresql"], nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--at", type=Path, help="a folder to keep what was built")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    asyncio.run(main(parser.parse_args()))
