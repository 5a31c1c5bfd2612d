"""`sale batch`: many tasks, each done once, within one cap in dollars."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from sale import config
from sale.cli.encode import document
from sale.cli.examples import TASK_LINE, TaskLine, numbered_lines, parse_task
from sale.cli.options import FILE, KEPT_FILE, FiniteRange, config_option, json_option, output
from sale.cli.statuses import DONE, FAILED
from sale.cli.streams import finish
from sale.errors import ConfigError, InputError
from sale.files.reading import read_text
from sale.wording import quantity

if TYPE_CHECKING:
    from sale.batch.results import ResultFile
    from sale.batch.run import BatchRun, BatchState, BatchTask, Ending
    from sale.market import Market

MAX_NAMED = 10
"""Lines of a task file whose faults are named."""


class _BatchOptions(TypedDict):
    out: Path
    cap: float
    name: str | None
    concurrency: int
    judge: str | None
    retry: bool
    live: bool
    ray: str | None
    workers: int | None
    quiet: bool
    config_file: Path | None
    as_json: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchReport:
    """The state of a batch when a process ends its part."""

    ended: Ending
    state: BatchState
    seconds: float
    """Of this process."""
    results: str


@click.command()
@click.argument("tasks", type=FILE)
@click.option("--out", type=KEPT_FILE, required=True, help="Where results go, a line of JSON for each task.")
@click.option(
    "--cap", type=FiniteRange(min=0, min_open=True), required=True, help="The most to spend in all, in dollars."
)
@click.option("--name", help="The batch, by which it is found again; the path of --out unless given.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Tasks at once in this process; with batch APIs, calls at once to other agents.",
)
@click.option("--judge", help="The agent that judges answers to tasks without tests.")
@click.option("--retry", is_flag=True, help="Do those tasks once more for which no auction could be held.")
@click.option("--live", is_flag=True, help="Ask agents with a batch API as all others: at once, at their full price.")
@click.option("--ray", metavar="ADDRESS|auto", help="Do it on the nodes of this Ray cluster.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="With --ray: markets on the cluster, a processor for each; as many as it has processors unless given.",
)
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@config_option
@json_option
def batch(tasks: Path, **options: Unpack[_BatchOptions]) -> None:
    """Put every task of TASKS through the market.

    TASKS is a task file (JSON lines, docs/tasks.md). Each task is done once, and no more than --cap is spent, whatever
    happens. Stop it at any time: the same command goes on where it stopped. Start it several times, and the processes
    share the work. See docs/scale.md.
    """
    lines = read_batch(tasks)
    if options["workers"] is not None and options["ray"] is None:
        raise click.UsageError("--workers goes with --ray; --concurrency is for this machine")
    with _cluster(options["ray"]):
        report = asyncio.run(_batch(lines, options))
    if options["as_json"]:
        click.echo(document("batch", report))
    else:
        output().print(_text(report))
    finish(DONE if report.ended == "done" and report.state.failed == 0 else FAILED)


def read_batch(path: Path) -> Mapping[str, TaskLine]:
    """The tasks of a file, by id.

    Raises:
        InputError: The file cannot be read, lines are not tasks, or an id is there twice; every such line is named.
    """
    found: dict[str, TaskLine] = {}
    places: dict[str, int] = {}
    faults: list[str] = []
    for number, line in numbered_lines(read_text(path)):
        try:
            task = parse_task(line, f"line {number}")
        except InputError as error:
            faults.append(f"line {number}: {error.message}")
            continue
        if task.id in found:
            faults.append(f"line {number}: the id {task.id!r} is that of line {places[task.id]}")
        elif not task.text.strip():
            faults.append(f"line {number}: the text is empty")
        found.setdefault(task.id, task)
        places.setdefault(task.id, number)
    if faults:
        more = f"; and {len(faults) - MAX_NAMED} more" if len(faults) > MAX_NAMED else ""
        raise InputError(
            "; ".join(faults[:MAX_NAMED]) + more,
            where=str(path),
            hint=f"Correct or remove these lines; nothing was done or spent. {TASK_LINE}",
        )
    if not found:
        raise InputError("there are no tasks in it", where=str(path))
    return found


async def _batch(lines: Mapping[str, TaskLine], options: _BatchOptions) -> BatchReport:
    from sale.batch.pool import batch_market, job_pace, without_jobs
    from sale.batch.results import ResultFile
    from sale.batch.run import BatchRun
    from sale.cli.progress import ProgressReport

    began = time.monotonic()
    settings = config.load(options["config_file"])
    if not settings.memory.enabled:
        raise ConfigError(
            "a batch is kept in the auction memory, which is off",
            where=settings.origin,
            hint="Set memory.enabled = true.",
        )
    if options["live"]:
        settings = without_jobs(settings)
    quiet = options["quiet"] or options["as_json"]
    if options["ray"] is None:
        _pull(settings, quiet=quiet)
    else:
        settings = _shared(settings)
    results = ResultFile(options["out"])
    name = options["name"] or str(options["out"].expanduser().resolve())
    async with batch_market(settings) as market:
        tasks = _tasks(lines, market, settings, options["judge"])
        memory = await market.memory()
        if memory is None:
            raise ConfigError("a batch is kept in the auction memory, which is off", hint="Set memory.enabled = true.")
        kept = await memory.batch(name)
        if options["retry"]:
            await kept.retry()
        width, pace = options["concurrency"], job_pace(settings)
        run = BatchRun(market, kept, tasks, results, cap=options["cap"], width=width, pace=pace)
        with ProgressReport(quiet=quiet) as progress:
            row = progress.row("batch", total=len(tasks), unit="task")

            def see(state: BatchState) -> None:
                row.update(state.finished, note=f"{_note(state)}{row.describe_left(state.finished)}")

            if options["ray"] is None:
                ended = await run.run(see)
            else:
                ended = await _on_cluster(run, results, (settings, name, lines, options), see)
        state = await run.state()
    return BatchReport(ended=ended, state=state, seconds=time.monotonic() - began, results=str(options["out"]))


def _pull(settings: config.Settings, *, quiet: bool) -> None:
    from sale.cli.models import pull_missing

    pull_missing(settings, quiet=quiet)


@contextlib.contextmanager
def _cluster(address: str | None) -> Generator[None]:
    """A connection to a cluster, where one is named."""
    if address is None:
        yield
        return
    config.refuse_usage_statistics_of_ray()
    from sale.batch.cluster import connection

    with connection(address):
        yield


def _shared(settings: config.Settings) -> config.Settings:
    from sale.batch.cluster import shared_settings

    return shared_settings(settings)


async def _on_cluster(
    run: BatchRun,
    results: ResultFile,
    of: tuple[config.Settings, str, Mapping[str, TaskLine], _BatchOptions],
    told: Callable[[BatchState], None],
) -> Ending:
    """Have the workers of a cluster do what is left."""
    from sale.batch.cluster import ClusterJob, ClusterRun, count_processors

    settings, name, lines, options = of
    job = ClusterJob(
        settings=settings,
        name=name,
        tasks_of=partial(_worker_tasks, lines=lines, settings=settings, judge=options["judge"]),
        cap=options["cap"],
        width=options["concurrency"],
    )
    workers = options["workers"] or count_processors()
    return await ClusterRun(run=run, job=job, add=results.add, workers=workers).work(told)


def _worker_tasks(
    market: Market, *, lines: Mapping[str, TaskLine], settings: config.Settings, judge: str | None
) -> Mapping[str, BatchTask]:
    """The tasks of a worker on a node, which fetches weights that the node does not have."""
    _pull(settings, quiet=True)
    return _tasks(lines, market, settings, judge)


def _tasks(
    lines: Mapping[str, TaskLine], market: Market, settings: config.Settings, judge: str | None
) -> Mapping[str, BatchTask]:
    from sale.batch.calls import digest
    from sale.batch.run import BatchTask
    from sale.cli.verifiers import judging_agent, verifier_of

    if judge is not None:
        judging_agent(market, judge)

    def task_of(line: TaskLine) -> BatchTask:
        return BatchTask(
            task=line.task,
            digest=digest(line.model_dump(mode="json")),
            # A label that the author of an answer cannot know, and that is the same when the task is taken up again.
            verifier_of=lambda auction_id: verifier_of(
                line, market, settings.sandbox, judge=judge, draw=lambda: digest("verdict", auction_id)
            ),
        )

    return {name: task_of(line) for name, line in lines.items()}


def _note(state: BatchState) -> str:
    from sale.cli.board import money

    spent = f"{money(state.dollars)} of {money(state.cap)}"
    if state.unknown:
        spent += f" (and at most {money(state.unknown)} unknown)"
    right = f", {state.success / state.judged:.0%} right of {state.judged} judged" if state.judged else ""
    failed = f", {state.failed} without a result" if state.failed else ""
    return spent + right + failed


def _text(report: BatchReport) -> str:
    from sale.cli.progress import describe_seconds

    state = report.state
    left = state.total - state.finished
    lines = [
        f"{state.finished} of {quantity(state.total, 'task')}, {_note(state)}, in {describe_seconds(report.seconds)}.",
        f"Results: {report.results}",
    ]
    if report.ended == "cap":
        lines.append(
            f"Stopped at the cap: {quantity(left, 'task')} left. The same command with a higher --cap goes on."
        )
    elif left:
        lines.append(f"{quantity(left, 'task')} left. The same command goes on.")
    if state.failed:
        lines.append("Tasks without a result say why in `error`; the same command with --retry does them once more.")
    return "\n".join(lines)
