"""`sale trial`: would a market pay on these tasks, and which one?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import click

from sale import config
from sale.agents.tools.sandbox import find_sandbox
from sale.bench.recording.calls import RunStoppedError
from sale.bench.replay import load_recorded
from sale.bench.routers.features import Embeddings
from sale.bench.tasks.load import load as load_source
from sale.bench.tasks.loaders.sources import SOURCES
from sale.bench.tasks.schema import BenchTask
from sale.bench.trial.recommend import recommended_text
from sale.bench.trial.run import Ending, Enough, Told, TrialRecorder, run_sample
from sale.bench.trial.tasks import done_without_gap, shuffle_tasks, tasks_of_folder, tasks_of_lines
from sale.bench.trial.verdict import MIN_TASKS, TrialReport, Way, agents_clear, judge_trial
from sale.cli.encode import document
from sale.cli.examples import examples, read_tasks
from sale.cli.options import FILE, KEPT_FILE, FiniteRange, config_option, json_option, output
from sale.cli.past_files import FileOptions, file_options, said_of
from sale.cli.past_screen import past_screen
from sale.cli.past_trial import PastTrialResult, comparison, judge_files
from sale.cli.trial_screen import screen, show_trial_progress
from sale.errors import ConfigError, InputError, SaleError, leaves_of
from sale.files.reading import read_text
from sale.files.writing import write_text
from sale.models.embedding import MiniLMEmbedder, check_embedding_packages
from sale.wording import quantity

RECORD = "trial.jsonl"
RECOMMENDED = "sale.recommended.toml"


class _TrialOptions(FileOptions):
    cap: float | None
    past: tuple[Path, ...]
    source: str | None
    first: int | None
    judge: str | None
    margin: float
    attempts: int
    record: Path
    out: Path
    keep_going: bool
    config_file: Path | None
    quiet: bool
    as_json: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialResult:
    """The result of a trial."""

    report: TrialReport
    ended: Ending
    of: int
    """Tasks there are."""
    spent: float
    """Dollars, over all runs of the record."""
    cap: float
    record: str
    written: str | None
    """The sale.toml it recommends; `None` where it could not be written."""


@click.command()
@click.argument("tasks", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--cap", type=FiniteRange(min=0, min_open=True), help="The most to spend, in dollars.")
@click.option(
    "--from",
    "past",
    type=FILE,
    multiple=True,
    help="Look at past work in a file that `sale import` reads, in place of doing tasks. Nothing is called.",
)
@file_options
@click.option("--source", type=click.Choice(list(SOURCES)), help="Tasks of a source of the bench, from the public hub.")
@click.option("--first", type=click.IntRange(min=1), help="At most so many tasks, drawn at random.")
@click.option("--judge", help="The agent that judges answers to tasks without a check.")
@click.option(
    "--margin",
    type=FiniteRange(0, 0.5, min_open=True),
    default=0.05,
    show_default=True,
    help="As good means: worse on no more than this share of the tasks.",
)
@click.option(
    "--attempts", type=click.IntRange(min=2), default=2, show_default=True, help="Of the market with attempts."
)
@click.option("--record", type=KEPT_FILE, default=Path(RECORD), show_default=True, help="Where everything is recorded.")
@click.option("--out", type=KEPT_FILE, default=Path(RECOMMENDED), show_default=True, help="The recommended sale.toml.")
@click.option(
    "--keep-going", is_flag=True, help="Do all tasks that the cap allows, even if the answer is clear before."
)
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@config_option
@json_option
def trial(tasks: Path | None, **options: Unpack[_TrialOptions]) -> None:
    """Would a market pay on TASKS, and which one?

    TASKS is a task file (JSON lines, docs/tasks.md) or a folder of prompts; without it, the tasks that come with sale.
    Every agent of sale.toml does each task of a sample, and an auction is held for it. The screen compares each agent
    alone with the market, without and with auctions and attempts. No more than --cap is spent, whatever happens.
    Stop it at any time: the same command goes on where it stopped.

    With --from nothing is done and nothing spent: what agents did in the past says what each of them, and a market,
    would have come to.
    """
    if options["past"]:
        _trial_of_past(tasks, options)
        return
    if options["cap"] is None:
        raise click.UsageError("--cap is needed: the most to spend, in dollars.")
    result, fault = asyncio.run(_trial(_tasks_of(tasks, options), options, options["cap"]))
    if options["as_json"]:
        click.echo(document("trial", result))
    else:
        output().print(screen(result.report, ended=result.ended, of=result.of, spent=result.spent, cap=result.cap))
        if result.written is not None:
            share = 1.0 if result.report.recommended.attempts > 1 else None
            output().print(_next_steps(result.written, result.record, share))
    if fault is not None:
        raise fault


def _tasks_of(path: Path | None, options: _TrialOptions) -> list[BenchTask]:
    if path is not None and options["source"] is not None:
        raise click.UsageError("TASKS and --source both say which tasks: give one of them.")
    if options["source"] is not None:
        found = list(load_source(options["source"]).tasks)
    elif path is None:
        found = tasks_of_lines(examples(), "the examples")
    elif path.is_dir():
        found = tasks_of_folder(path)
    else:
        found = tasks_of_lines(read_tasks(path), str(path))
    unjudged = [task.id for task in found if task.kind == "judged"]
    if unjudged and options["judge"] is None:
        raise InputError(
            f"the task {unjudged[0]!r} has no check"
            + (f" (nor have {len(unjudged) - 1} more)" if unjudged[1:] else ""),
            where=str(path),
            hint="Give it a `reference` or `tests`, or name an agent that judges by --judge.",
        )
    return shuffle_tasks(found)[: options["first"]]


def _trial_of_past(tasks: Path | None, options: _TrialOptions) -> None:
    given = {"TASKS": tasks, "--cap": options["cap"], "--source": options["source"], "--first": options["first"]}
    given |= {"--judge": options["judge"], "--keep-going": options["keep_going"] or None}
    if said := [name for name, value in given.items() if value is not None]:
        raise click.UsageError(f"With --from no task is done, so {said[0]} has no meaning.")
    settings = config.load(options["config_file"])
    how = comparison(settings, options["margin"], options["attempts"])
    result = PastTrialResult(report=judge_files(options["past"], said_of(options), settings, how))
    chosen, fault = result.recommended, None
    if chosen is not None and result.report.in_pool:
        written, fault = _write(config.find(options["config_file"]), options["out"], chosen)
        result = replace(result, written=written)
    if options["as_json"]:
        click.echo(document("past-trial", result))
    else:
        output().print(past_screen(result.report))
        if result.written is not None:
            files = " ".join(str(path) for path in options["past"])
            output().print(_next_steps(result.written, files, result.spend))
    if fault is not None:
        raise fault


def _next_steps(written: str, record: str, share: float | None) -> str:
    spend = "" if share is None else f" --spend {share:g}"
    return (
        f"{written} is the sale.toml that does so. Next, with it:\n"
        f"  sale import {record} --config {written}   what every agent did counts from now on\n"
        f"  sale fit --use{spend} --config {written}   weights of your own tasks"
    )


async def _trial(
    tasks: Sequence[BenchTask], options: _TrialOptions, cap: float
) -> tuple[TrialResult, SaleError | None]:
    found = config.find(options["config_file"])
    settings = config.load(options["config_file"])
    if len(settings.agents) < 2:
        raise ConfigError("a trial compares agents, and there is only one", where=settings.origin, hint="Add another.")
    check_embedding_packages("the comparison at the end of a trial", otherwise="")  # before anything is paid
    pool = settings.model_copy(update={"auction": replace(settings.auction, allowance=None, explore=0.0)})
    coding = any(task.kind == "tests" for task in tasks)
    sandbox = find_sandbox(allow_unsafe=settings.sandbox.unsafe_subprocess) if coding else None
    record = options["record"]
    recorder = TrialRecorder(record, tasks, pool, cap=cap, sandbox=sandbox, judge=options["judge"])
    async with recorder:
        recorder.begin(f"trial, {quantity(len(tasks), 'task')}")
        with show_trial_progress(recorder.purse, len(tasks), quiet=options["quiet"] or options["as_json"]) as see:

            def enough(done: Sequence[BenchTask]) -> bool:
                seen = done_without_gap(tasks, done)
                if options["keep_going"] or len(seen) < min(MIN_TASKS, len(tasks)):
                    return False
                table = load_recorded(record, seen, planned=False, checked=False).table(planned=False)
                return agents_clear(table.success, table.dollars, options["margin"]) is not None

            ended = await _run(recorder, tasks, enough, lambda done: see(len(done)))
        await recorder.checks()
        spent = recorder.purse.spent
    whole = load_recorded(record, tasks, planned=False, checked=False)
    if not whole.tasks:
        raise InputError(
            f"the cap of ${cap:g} does not allow a single task", hint="Raise --cap, or take cheaper agents."
        )
    embed = Embeddings(MiniLMEmbedder())
    report = await asyncio.to_thread(judge_trial, whole, embed, options["margin"], options["attempts"])
    written, fault = _write(found, options["out"], report.recommended)
    result = TrialResult(
        report=report,
        ended=ended,
        of=len(tasks),
        spent=spent,
        cap=cap,
        record=str(record),
        written=written,
    )
    return result, fault


async def _run(recorder: TrialRecorder, tasks: Sequence[BenchTask], enough: Enough, told: Told) -> Ending:
    stopped: list[str] = []
    ended: Ending = "done"
    try:
        ended = await run_sample(recorder, tasks, enough, told)
    except* RunStoppedError as group:
        stopped = [str(error) for error in leaves_of(group)]
    if stopped:
        raise SaleError(f"the trial stopped: {stopped[0]}", hint="What is done is on record: the same command goes on.")
    return ended


def _write(found: Path | None, target: Path, chosen: Way) -> tuple[str | None, SaleError | None]:
    """Write what is recommended. A fault is given back, not raised: the report, which is paid for, is shown before."""
    try:
        text = config.shipped_text() if found is None else read_text(found)
        base = None if found is None else found.absolute().parent
        changed = recommended_text(text, chosen, origin=str(found or "the embedded pool"), base=base)
        write_text(target, changed)
    except SaleError as error:
        return None, error
    with contextlib.suppress(SaleError):
        config.allow(target)  # it is the user's own, even in a repository
    return str(target), None
