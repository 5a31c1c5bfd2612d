"""A batch on a Ray cluster: workers on its nodes do the tasks, and this process writes their lines.

Ray places workers and carries lines; it decides nothing. Who has a task, which calls are settled and what is left of
the money is decided by the ledger in PostgreSQL, as among processes of one machine. So a worker that is lost is
replaced by a new one that knows nothing of it, and Ray is never asked to restart one or to repeat what it did.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, cast

import ray as untyped_ray
from ray.exceptions import RayError, RayTaskError

from sale.batch.pool import batch_market, job_pace
from sale.batch.results import Entry
from sale.batch.run import BatchRun, BatchTask, Ending, Told
from sale.config import Settings, memory_place
from sale.errors import ConfigError, InputError, SaleError
from sale.market import Market
from sale.memory.batches import Batch
from sale.wording import quantity

ray: Final = cast("Any", untyped_ray)
"""Much of its interface has no types."""
VERSION: Final = version("sale")
LOG: Final = logging.getLogger("sale.batch")
MAX_LOST: Final = 8
"""Workers in a row that are lost before any has finished a task, after which a batch stops: they run out of memory,
say, and each may have left calls whose bill is not known."""
PATIENCE: Final = 60.0
"""Seconds after which a worker that has not started is worth a warning: the cluster may have no processor free."""
SPREAD: Final = "SPREAD"
"""Ray's strategy of placing workers on different nodes where it can."""

Message = tuple[Literal["open"], None] | tuple[Literal["lines"], Sequence[Entry]] | tuple[Literal["end"], Ending]
"""From a worker: its market is open; lines of finished tasks; nothing is left that it could do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterJob:
    """All that a worker on another machine needs to know of a batch; keys come from the environment it runs in."""

    settings: Settings
    """With the URL of the memory."""
    name: str
    """Of the batch."""
    tasks_of: Callable[[Market], Mapping[str, BatchTask]]
    """Makes the tasks, by id; it must be a function of a module, or a `partial` of one."""
    cap: float
    """Dollars for the whole batch."""
    width: int
    """Tasks at one time in a worker."""
    version: str = VERSION


@contextlib.contextmanager
def connection(address: str) -> Generator[None]:
    """A connection to a cluster that runs already; workers of this process end with it.

    Nothing is written to standard output within the block.

    Args:
        address: `auto`, or host and port of the head.

    Raises:
        ConfigError: There is no such cluster, or it cannot be joined from here.
    """
    if "://" in address:
        raise ConfigError(
            f"--ray {address!r}: a batch is run from a node of the cluster, not through a Ray client",
            hint="Start the command on a node, or by `ray job submit`, with --ray auto.",
        )
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"no Ray cluster can be joined at {address!r} ({said})",
            hint="Start one with `ray start --head`, with the same versions of Python and Ray, or correct the address.",
        ) from error
    finally:
        signal.signal(signal.SIGTERM, before)  # Ray would end this process by its own
    # Ray prints logs of nodes that end to standard output, which is for results, and has no switch for it.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            yield
        finally:
            ray.shutdown()


def count_processors() -> int:
    """Processors that the cluster offers, at least one."""
    return max(1, int(ray.cluster_resources().get("CPU", 0)))


def shared_settings(settings: Settings) -> Settings:
    """The settings with the URL of the memory in them, for other machines.

    Raises:
        ConfigError: The memory is a file, which other machines do not see.
    """
    place = memory_place(settings)
    if not isinstance(place, str):
        raise ConfigError(
            f"a batch on Ray needs a memory that all nodes reach, and {place} is a file of this machine",
            where=settings.origin,
            hint='Name a database: [memory] url = "postgresql://user@host:5432/name"; see docs/memory-postgres.md.',
        )
    return settings.model_copy(update={"memory": settings.memory.model_copy(update={"url": place, "path": None})})


class _Outbox:
    """Lines on their way from a worker to the process that writes them."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[Sequence[Entry] | None] = asyncio.Queue()

    async def present(self) -> frozenset[tuple[str, int]]:
        return frozenset()

    async def add(self, entries: Iterable[Entry]) -> None:
        self.waiting.put_nowait(tuple(entries))


class BatchWorker:
    """A market on a node, at work on a batch; an actor of Ray."""

    async def run(self, job: ClusterJob) -> AsyncGenerator[Message]:
        """Do tasks until none is left.

        Raises:
            SaleError: As for `BatchRun.run`, or another version of `sale` is installed here.
        """
        if job.version != VERSION:
            raise ConfigError(
                f"a node has sale {VERSION}, and the batch was started by {job.version}",
                hint="Install the same version on all nodes.",
            )
        outbox = _Outbox()
        async with batch_market(job.settings) as market:
            batch = await batch_of(market, job.name)
            tasks, pace = job.tasks_of(market), job_pace(job.settings)
            run = BatchRun(market, batch, tasks, outbox, cap=job.cap, width=job.width, pace=pace)
            yield ("open", None)
            working = asyncio.create_task(run.work())
            working.add_done_callback(lambda _: outbox.waiting.put_nowait(None))
            try:
                while (entries := await outbox.waiting.get()) is not None:
                    yield ("lines", entries)
                yield ("end", await working)
            finally:
                working.cancel()
                await asyncio.wait([working])


async def batch_of(market: Market, name: str) -> Batch:
    """Open a batch in the memory of a market.

    Raises:
        InputError: The market has no memory.
        StoreError: The memory cannot be written.
    """
    memory = await market.memory()
    if memory is None:
        raise InputError("a batch is kept in the auction memory", hint="Set memory.enabled = true in sale.toml.")
    return await memory.batch(name)


@dataclass(kw_only=True)
class ClusterRun:
    """The process that has workers on a cluster do a batch, and writes the results."""

    run: BatchRun
    """Of this process, with the file of results. It does no task itself."""
    job: ClusterJob
    add: Callable[[Iterable[Entry]], Any]
    """Writes lines, as `ResultFile.add` does."""
    workers: int
    _lost: int = 0
    _started: set[int] = field(default_factory=set[int])
    """Workers whose market is open."""
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a worker has found that nothing is left."""

    async def work(self, told: Told) -> Ending:
        """Have all done that is left, as far as the money goes.

        Args:
            told: Called about once a second with how far the batch is, and at the end.

        Raises:
            SaleError: As for `BatchRun.run`, or workers are lost again and again.
        """
        await self.run.prepare()
        async with self.run.telling(told):
            ended = await self._round()
            # What a worker gave back after the others had found nothing left.
            while ended == "done" and (await self.run.state()).waiting:
                ended = await self._round()
        await self.run.complete()
        told(await self.run.state())
        return ended

    async def _round(self) -> Ending:
        """Start workers, and wait until those that have started have ended."""
        self._over.clear()
        self._started.clear()
        job = ray.put(self.job)
        slots = {asyncio.create_task(self._slot(number, job)): number for number in range(self.workers)}
        over = asyncio.create_task(self._over.wait())
        endings: list[Ending] = []
        try:
            waiting: set[asyncio.Task[Any]] = {over, *slots}
            while waiting - {over}:
                finished, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                endings += [one.result() for one in finished if one is not over and not one.cancelled()]
                if self._over.is_set():
                    # Workers that the cluster has had no room for so far have nothing left to do.
                    for slot in [one for one in slots if one in waiting and slots[one] not in self._started]:
                        slot.cancel()
        finally:
            left = [one for one in (over, *slots) if not one.done()]
            for one in left:
                one.cancel()
            if left:
                await asyncio.wait(left)
        return "cap" if "cap" in endings else "done"

    async def _slot(self, number: int, job: object) -> Ending:
        """Keep one worker at work, a new one in place of each that is lost."""
        while True:
            actor = ray.remote(num_cpus=1, max_restarts=0)(BatchWorker)
            worker = actor.options(scheduling_strategy=SPREAD).remote()
            try:
                async with contextlib.aclosing(_messages(worker, job)) as messages:
                    async for message in messages:
                        if message[0] == "end":
                            self._over.set()
                            return message[1]
                        await self._take(number, message[1])
            except RayTaskError as error:
                if isinstance(error.cause, SaleError):
                    raise error.cause from error
                raise
            except RayError as error:
                self._started.discard(number)
                self._lose(error)
            finally:
                ray.kill(worker)
            await self.run.complete()  # what it finished, and could not send
            if self._over.is_set():
                return "done"

    async def _take(self, number: int, lines: Sequence[Entry] | None) -> None:
        self._started.add(number)
        if lines:
            self._lost = 0
            await self.add(lines)

    def _lose(self, error: RayError) -> None:
        self._lost += 1
        said = str(error).strip().partition("\n")[0]
        LOG.warning("a worker was lost, and a new one takes its place: %s", said)
        if self._lost >= MAX_LOST:
            raise SaleError(
                f"{quantity(self._lost, 'worker')} in a row were lost before any task was finished; the last: {said}",
                hint="See the logs of Ray: a node may have run out of memory. The same command goes on.",
            ) from error


async def _messages(worker: Any, job: object) -> AsyncGenerator[Message]:  # noqa: ANN401  Ray's handle of an actor
    """The messages of a worker; a warning where it does not start."""
    late = asyncio.get_running_loop().call_later(PATIENCE, _warn)
    try:
        async for reference in worker.run.remote(job):
            late.cancel()
            yield await reference
    finally:
        late.cancel()


def _warn() -> None:
    LOG.warning("a worker has waited %.0f s for a processor of the cluster; it goes on waiting", PATIENCE)
