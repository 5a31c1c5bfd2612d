"""`sale bench run` and `pack`: recorded runs."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypedDict, Unpack

import click
import platformdirs

from sale import config
from sale.agents.protocol import Tool
from sale.agents.tools.sandbox import find_sandbox
from sale.bench.corpus import CorpusSearch, open_corpus
from sale.bench.recording.calls import RunStoppedError
from sale.bench.recording.log import pack as pack_record
from sale.bench.recording.log import unpack
from sale.bench.recording.pools import for_recording, has_specialists, own_libraries
from sale.bench.recording.run import Recorder, RecordingProgress, Report
from sale.bench.tasks.files import read_tasks
from sale.bench.tasks.hst_open import corpus_path, hst_open
from sale.bench.tasks.schema import BenchTask, Domain, Split
from sale.cli.board import money
from sale.cli.indexing import indexing
from sale.cli.options import FILE, KEPT_FILE, config_option, output
from sale.cli.progress import ProgressReport
from sale.config import Settings
from sale.errors import InputError, SaleError, first_error
from sale.models.embedding import MiniLMEmbedder
from sale.wording import quantity


class _RunOptions(TypedDict):
    domain: Domain
    split: Split
    task_file: Path | None
    corpus: Path | None
    first: int | None
    orders: int
    judge: str | None
    width: int
    borrow: tuple[Path, ...]
    config_file: Path | None


@click.command()
@click.argument("record", type=KEPT_FILE)
@click.option("--domain", type=click.Choice(["coding", "search"]), required=True, help="Which tasks.")
@click.option("--split", type=click.Choice(["dev", "test"]), default="test", show_default=True, help="Which tasks.")
@click.option("--tasks", "task_file", type=FILE, help="A task file in place of HST-open.")
@click.option("--corpus", type=FILE, help="Passages to search in place of HST-open's.")
@click.option("--first", type=click.IntRange(min=1), help="Only so many tasks, in the file's order.")
@click.option(
    "--orders",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Also the whole market over so many random task orders.",
)
@click.option("--judge", help="Also ask this agent, shown the reference, about every short answer.")
@click.option(
    "--width", type=click.IntRange(min=1), default=4, show_default=True, help="Calls of one model made at once."
)
@click.option("--borrow", type=FILE, multiple=True, help="Another record: calls on it are copied, not made again.")
@config_option
def run(record: Path, **options: Unpack[_RunOptions]) -> None:
    """Record a run in RECORD, a file of JSON lines.

    Every agent bids and judges; every agent does every task without a plan, and with its own. Where agents look before
    they bid, what they found is judged, too, in an auction of its own without plans. Stop it at any time: the same
    command goes on where it stopped. A RECORD that is not there is unpacked from RECORD.xz, if that is.
    """
    task_file, domain, split = options["task_file"], options["domain"], options["split"]
    tasks = read_tasks(task_file) if task_file else hst_open(domain=domain, split=split)
    chosen = spread([task for task in tasks if task.domain == domain and task.split == split], options["first"])
    if not chosen:
        raise InputError(f"there are no {domain} tasks in the {split} split", where=str(task_file or "HST-open"))
    packed = record.with_name(record.name + ".xz")
    if not record.exists() and packed.exists():
        unpack(packed, record)
    try:
        asyncio.run(_run(record, chosen, options))
    except* RunStoppedError as stopped:
        reason = first_error(stopped)
        hint = "What is done is on record: the same command goes on."
        raise SaleError(f"the run stopped: {reason}", hint=hint) from None


@click.command()
@click.argument("record", type=FILE)
def pack(record: Path) -> None:
    """Compress RECORD to RECORD.xz."""
    if not record.exists():
        raise InputError("there is no such record", where=str(record))
    packed = pack_record(record)
    output().print(f"{packed}: {packed.stat().st_size / 1e6:.1f} MB, from {record.stat().st_size / 1e6:.1f} MB")


def spread(tasks: Sequence[BenchTask], first: int | None) -> list[BenchTask]:
    """Tasks with their sources mixed evenly, so that a run that is stopped has some of each."""
    by_source: dict[str, list[BenchTask]] = {}
    for task in tasks:
        by_source.setdefault(task.source, []).append(task)
    placed = [
        ((at + 0.5) / len(part), source, task) for source, part in by_source.items() for at, task in enumerate(part)
    ]
    return [task for _, _, task in sorted(placed, key=lambda place: place[:2])][:first]


@asynccontextmanager
async def bench_tools(settings: Settings, domain: Domain, corpus: Path | None) -> AsyncGenerator[tuple[Tool, ...]]:
    """The tools of a recorded run: a search of the bench's passages, for agents that have none of their own.

    Args:
        settings: The pool.
        domain: Of the tasks.
        corpus: Passages in place of HST-open's.
    """
    if own_libraries(settings) or (domain != "search" and not has_specialists(settings)):
        yield ()
        return
    cache = platformdirs.user_cache_path(config.APP) / "corpora"
    place = corpus or corpus_path()
    with indexing(place) as progress:
        found = await open_corpus(place, embedder=MiniLMEmbedder(), cache=cache, progress=progress)
    with found:
        yield (CorpusSearch(found),)


async def _run(record: Path, tasks: Sequence[BenchTask], options: _RunOptions) -> None:
    settings = config.load(options["config_file"])
    domain, orders, judge = options["domain"], options["orders"], options["judge"]
    async with AsyncExitStack() as stack:
        tools = await stack.enter_async_context(bench_tools(settings, domain, options["corpus"]))
        sandbox = find_sandbox(allow_unsafe=settings.sandbox.unsafe_subprocess) if domain == "coding" else None
        recorder = Recorder(
            record,
            tasks,
            for_recording(settings, domain),
            sandbox=sandbox,
            tools=tools,
            width=options["width"],
            borrow=options["borrow"],
        )
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        report = stack.enter_context(ProgressReport())
        async with recorder:
            recorder.begin(f"{domain}, {quantity(len(tasks), 'task')}, {quantity(orders, 'order')}")
            await recorder.base(progress_row(report, "first bids and work", len(tasks)))
            await recorder.checks()
            # Within an order each task waits for the one before; side by side the orders keep an engine's width busy.
            async with asyncio.TaskGroup() as group:
                for seed in range(1, orders + 1):
                    group.create_task(recorder.order(seed, scratch, progress_row(report, f"order {seed}", len(tasks))))
            if judge is not None:
                await recorder.opinions(judge, progress_row(report, "opinions", len(tasks)))


def progress_row(report: ProgressReport, title: str, total: int) -> Report:
    """A row of the progress of a run."""
    row = report.row(title, total=total, unit="task")

    def see(progress: RecordingProgress) -> None:
        spent = f"{quantity(progress.calls, 'new call')}, {money(progress.dollars)}"
        row.update(progress.done, note=f"{spent} {progress.what}".rstrip())

    return see
