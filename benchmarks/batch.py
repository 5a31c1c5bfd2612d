"""What `sale batch` itself costs: tasks a second, and own processor time a task, by the number of processes.

    python -m benchmarks.batch [--tasks 200] [--workers 1 2 4] [--store sqlite postgresql]

Two agents over HTTP to an instant endpoint in a process of its own, so that nearly all of the time is the market's and
the ledger's. Each number of workers does a batch of its own with a memory of its own; each worker is a process, has
done a task before the clock starts, and shares the batch with the others. Everything runs on the same cores, the
endpoint and the database server too: the ratios to one worker are of this machine, in this run.

`writing` is the part of that in which no other process can write: of the thread that writes, and of its connection at
the server. On PostgreSQL also what a task costs the server: processor time of all its processes, transactions, bytes of
its log (WAL) and bytes that the database has grown by. It does not wait for the disk here (fsync is off), which changes
none of these.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import platform
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from sqlalchemy import Connection

from benchmarks.auction import serve_instantly, wait_until_up
from sale import ExactMatch, Task, config
from sale.batch.calls import digest
from sale.batch.pool import batch_market
from sale.batch.results import ResultFile
from sale.batch.run import BatchRun, BatchTask
from sale.market import Market
from tests.support.postgres import Server, started

CAP = 1000.0
WIDTH = 16
"""Tasks at one time in each process, as `sale batch` has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerCost:
    """What one process used, from its start signal to the end of the batch."""

    cpu: float
    wall: float
    mib: float
    turn: float
    """Processor seconds that it and its connection to a server have written for: no other process can meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What one process is to do."""

    folder: Path
    tasks: int
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerLoad:
    """What a database server has done so far."""

    cpu: float
    """Seconds."""
    transactions: int
    log: int
    """Bytes."""
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchCost:
    """What one batch cost, by the task."""

    rate: float
    """Tasks a second."""
    cpu: float
    """Milliseconds of all workers."""
    mib: float
    """The most memory of a worker."""
    turn: float
    """Milliseconds of the processor within writing transactions, for which all workers wait."""
    server: ServerLoad | None
    """The whole batch's."""


def read_load(server: Server, url: str) -> ServerLoad:
    """What a server has done so far, and how large one of its databases is."""
    query = (
        "SELECT xact_commit + xact_rollback, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0'), "
        "pg_database_size(datname) FROM pg_stat_database WHERE datname = current_database()"
    )
    ((transactions, log, size),) = server.run(query, url=url)
    first = int((server.data / "postmaster.pid").read_text(encoding="ascii").split()[0])
    return ServerLoad(
        cpu=tree_seconds(first), transactions=int(str(transactions)), log=int(str(log)), size=int(str(size))
    )


def tree_seconds(first: int) -> float:
    """Processor seconds of a process and all it has started, those that have ended too."""
    ticks = 0
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            fields = place.read_text(encoding="utf-8").rpartition(")")[2].split()
            own = int(place.parent.name) == first
            if own or int(fields[1]) == first:
                ticks += sum(map(int, fields[11:15] if own else fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def write_settings(folder: Path, port: int, url: str | None) -> None:
    """Two agents at the instant endpoint, with a memory of their own."""
    agents = "".join(
        f'[[agents]]\nname = "{name}"\nendpoint = "http://127.0.0.1:{port}/v1"\nmodel = "{name}"\nprice = {price}\n'
        "logprobs = 0\nanswer_tokens = 64\n"
        for name, price in (("a-4b", 0.05), ("d-32b", 0.36))
    )
    place = f'url = "{url}"' if url else f'path = "{folder / "memory.sqlite3"}"'
    (folder / "sale.toml").write_text(f"{agents}[memory]\n{place}\n", encoding="utf-8")


def tasks_of(count: int, name: str) -> Mapping[str, BatchTask]:
    """So many tasks, whose answers are checked."""
    texts = {f"{name}{at}": f"Task {at} of {name}: sort {at} records by field {at % 7}." for at in range(count)}
    return {
        task: BatchTask(task=Task(text=text, id=task), digest=digest(text), verifier_of=lambda _: ExactMatch("yes"))
        for task, text in texts.items()
    }


async def do_batch(market: Market, folder: Path, name: str, count: int) -> None:
    """Do one batch, or a share of it."""
    memory = await market.memory()
    if memory is None:
        raise SystemExit("the market has no memory")
    results = ResultFile(folder / f"{name}.jsonl")
    run = BatchRun(market, await memory.batch(name), tasks_of(count, name), results, cap=CAP, width=WIDTH)
    await run.run(lambda _: None)


def work(job: Job, start: Barrier, costs: Queue[WorkerCost]) -> None:
    """One process: get ready, wait for the others, do a share of the batch."""

    async def go() -> WorkerCost:
        async with batch_market(config.load(job.folder / "sale.toml")) as market:
            await do_batch(market, job.folder, f"warm{job.number}-", 1)
            await asyncio.to_thread(start.wait)
            writing = await writer_of(market)
            cpu, wall, turn = time.process_time(), time.perf_counter(), writing()
            await do_batch(market, job.folder, "batch", job.tasks)
            cpu, wall, turn = time.process_time() - cpu, time.perf_counter() - wall, writing() - turn
        return WorkerCost(cpu=cpu, wall=wall, turn=turn, mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    costs.put(asyncio.run(go()))


async def writer_of(market: Market) -> Callable[[], float]:
    """The processor seconds so far of the thread that writes for a market, and of its connection at the server."""
    memory = await market.memory()
    if memory is None:
        raise SystemExit("the market has no memory")
    database = memory._database  # pyright: ignore[reportPrivateUsage]

    def look(connection: Connection) -> tuple[int, int | None]:
        on_server = connection.dialect.name == "postgresql"
        backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() if on_server else None
        return time.pthread_getcpuclockid(threading.get_ident()), backend

    clock, backend = await database.write(look)

    def seconds() -> float:
        return time.clock_gettime(clock) + (0.0 if backend is None else tree_seconds(backend))

    return seconds


def measure_map(port: int, tasks: int) -> float:
    """Milliseconds of own processor time a task of `Market.map`: the same market, without a ledger."""

    async def go(folder: Path) -> float:
        async with Market.from_config(settings=config.load(folder / "sale.toml")) as market:
            for count, name in ((4, "warm"), (tasks, "batch")):
                cpu = time.process_time()
                texts = [Task(text=one.task.text) for one in tasks_of(count, name).values()]
                async for outcome in market.map(texts, concurrency=WIDTH, verifier_of=lambda _: ExactMatch("yes")):
                    if outcome.error is not None:
                        raise SystemExit(str(outcome.error))
            return 1e3 * (time.process_time() - cpu) / tasks

    with tempfile.TemporaryDirectory() as name:
        write_settings(Path(name), port, None)
        return asyncio.run(go(Path(name)))


def measure(port: int, tasks: int, workers: int, server: Server | None) -> BatchCost:
    """Do one batch with so many processes, on the server or in a file."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder, url = Path(name), server.database() if server else None
        write_settings(folder, port, url)
        start, costs = spawn.Barrier(workers + 1), spawn.Queue()
        jobs = [Job(folder=folder, tasks=tasks, number=number) for number in range(workers)]
        processes = [spawn.Process(target=work, args=(job, start, costs)) for job in jobs]
        for process in processes:
            process.start()
        start.wait()
        before = read_load(server, url) if server and url else None
        found: list[WorkerCost] = [costs.get() for _ in processes]
        for process in processes:
            process.join()
        after = read_load(server, url) if server and url else None
        lines = (folder / "batch.jsonl").read_text(encoding="utf-8").splitlines()
    if len(lines) != tasks:
        raise SystemExit(f"{len(lines)} lines for {tasks} tasks")
    load = None
    if before and after:
        load = ServerLoad(
            cpu=after.cpu - before.cpu,
            transactions=after.transactions - before.transactions,
            log=after.log - before.log,
            size=after.size - before.size,
        )
    return BatchCost(
        rate=tasks / max(one.wall for one in found),
        cpu=1e3 * sum(one.cpu for one in found) / tasks,
        mib=max(one.mib for one in found),
        turn=1e3 * sum(one.turn for one in found) / tasks,
        server=load,
    )


def print_costs(port: int, tasks: int, workers: Sequence[int], server: Server | None) -> None:
    """Measure and print a table, with what the server did where there is one."""
    more = "  server ms/task  transactions/task  log KiB/task  kept KiB/task" if server else ""
    print("postgresql" if server else "sqlite")
    print(f"workers  tasks/s  ratio  own CPU ms/task  ratio  writing ms/task  MiB{more}")
    first: BatchCost | None = None
    for count in workers:
        cost = measure(port, tasks, count, server)
        first = first or cost
        line = f"{count:7} {cost.rate:8.1f} {cost.rate / first.rate:6.2f} {cost.cpu:16.1f} {cost.cpu / first.cpu:6.2f}"
        line += f" {cost.turn:16.1f} {cost.mib:4.0f}"
        if load := cost.server:
            line += f" {1e3 * load.cpu / tasks:15.1f} {load.transactions / tasks:18.1f}"
            line += f" {load.log / tasks / 1024:13.1f} {load.size / tasks / 1024:14.1f}"
        print(line, flush=True)
    print()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What sale batch itself costs.")
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--store", choices=["sqlite", "postgresql"], nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--port", type=int, default=18_437)
    given = parser.parse_args()
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {given.tasks} tasks, 2 agents, {WIDTH} at once\n"
    )
    endpoint = multiprocessing.get_context("spawn").Process(target=serve_instantly, args=(given.port,), daemon=True)
    endpoint.start()
    try:
        asyncio.run(wait_until_up(given.port))
        if "sqlite" in given.store:
            print(f"Market.map, without a ledger: {measure_map(given.port, given.tasks):.1f} ms of own CPU a task\n")
            print_costs(given.port, given.tasks, given.workers, None)
        if "postgresql" in given.store:
            with started() as server:
                print_costs(given.port, given.tasks, given.workers, server)
    finally:
        endpoint.terminate()
        endpoint.join()


if __name__ == "__main__":
    main()
