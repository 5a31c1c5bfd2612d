"""`sale bench annotate` and `times`: people solve tasks against the clock, and what their times say."""

from __future__ import annotations

import asyncio
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from sale import config
from sale.agents.tools.sandbox import find_sandbox
from sale.bench.annotate.agreement import RESAMPLES, Agreement
from sale.bench.annotate.attempts import AnnotatorAttempt, attempts_of
from sale.bench.annotate.events import read_events
from sale.bench.annotate.serve import PORT, serve
from sale.bench.annotate.session import AnnotationSession
from sale.bench.annotate.shown import usual_tools
from sale.bench.annotate.times import TaskTimes, Times, with_times
from sale.bench.annotate.times import times as times_of
from sale.bench.annotate.verdicts import Judge
from sale.bench.judging import verifier_of
from sale.bench.tasks.files import read_tasks, write_tasks
from sale.bench.tasks.schema import BIN_EDGES, BenchTask
from sale.cli.encode import document
from sale.cli.options import FILE, KEPT_FILE, config_option, json_option, output
from sale.cli.tables import make_table
from sale.errors import InputError
from sale.wording import quantity

RIGHT = {"success": True, "failure": False}


@click.command()
@click.argument("task_file", metavar="TASKS", type=FILE)
@click.option("--annotator", required=True, help="Who solves them: letters, digits, `.`, `_` and `-`.")
@click.option("--record", type=KEPT_FILE, help="Where it is recorded.  [default: <TASKS>.<annotator>.jsonl, here]")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 for any that is free.")
@click.option("--tools", help="What may be used, in words, in place of the usual for each kind of task.")
@click.option("--open/--no-open", "open_page", default=True, show_default=True, help="Open the page in a browser.")
@config_option
def annotate(
    task_file: Path,
    annotator: str,
    record: Path | None,
    port: int,
    tools: str | None,
    config_file: Path | None,
    *,
    open_page: bool,
) -> None:
    """Serve a page on which one person solves TASKS against the clock, on this machine only.

    Stop it with Ctrl-C at any time: the same command goes on where it stopped.
    """
    tasks = read_tasks(task_file)
    record = record or Path(f"{task_file.stem}.{annotator}.jsonl")
    if record.exists() and record.samefile(task_file):
        raise InputError("the record cannot be the task file", where=str(record))
    with AnnotationSession(tasks, annotator, record, tools=(lambda _: tools) if tools else usual_tools) as session:
        judge = judge_of(tasks, config_file)
        try:
            serve_annotator(session, judge=judge, port=port, open_page=open_page)
        except KeyboardInterrupt:
            output().print(f"{session.done} of {quantity(session.total, 'task')} done; all is in {record}")


def judge_of(tasks: Sequence[BenchTask], config_file: Path | None) -> Judge:
    """The judge of agents' answers; a sandbox is found only if a task needs one.

    Raises:
        SandboxError: A task is judged by running code, which cannot be isolated here.
    """
    unsafe = config.load(config_file).sandbox.unsafe_subprocess
    sandbox = find_sandbox(allow_unsafe=unsafe) if any(task.kind == "tests" for task in tasks) else None

    async def judge(task: BenchTask, answer: str) -> bool | None:
        outcome = await verifier_of(task, sandbox=sandbox).verify(task.task, answer)
        return RIGHT.get(outcome.verdict)

    return judge


def serve_annotator(session: AnnotationSession, *, judge: Judge, port: int, open_page: bool) -> None:
    """Serve until interrupted.

    Args:
        session: The annotator's work.
        judge: Who says whether an answer is right.
        port: Where; 0 for any that is free.
        open_page: Whether to open a browser.
    """

    def ready(address: str) -> None:
        click.echo(
            f"{session.annotator}: {session.done} of {quantity(session.total, 'task')} done. Open {address}", err=True
        )
        click.echo(f"Recording to {session.record}. Stop with Ctrl-C.", err=True)
        if open_page:
            webbrowser.open(address)

    asyncio.run(serve(session, judge, port=port, ready=ready))


@click.command()
@click.argument("records", nargs=-1, required=True, metavar="RECORD...", type=FILE)
@click.option("--tasks", "task_file", type=FILE, help="The tasks that were timed.")
@click.option("--out", type=FILE, help="Where the tasks are written, with their new times; needs --tasks.")
@json_option
def times(records: tuple[Path, ...], task_file: Path | None, out: Path | None, *, as_json: bool) -> None:
    """Human times from RECORDs, and how far people agree.

    The time of a task is the mean of at least three right answers, without those beyond two standard deviations.
    """
    if out is not None and task_file is None:
        raise click.UsageError("--out needs --tasks: the tasks to write")
    tasks = None if task_file is None else read_tasks(task_file)
    found = times_of(_attempts(records), tasks)
    if out is not None and tasks is not None:
        write_tasks(with_times(tasks, found), out)
    if as_json:
        click.echo(document("times", found))
        return
    _show(found, output(out))
    if out is not None:
        output(out).print(f"Written to {out}")


def _attempts(records: Sequence[Path]) -> list[AnnotatorAttempt]:
    attempts: list[AnnotatorAttempt] = []
    for path in records:
        if not path.exists():
            raise InputError("there is no such record", where=str(path))
        events = read_events(path)
        try:
            attempts += attempts_of(events).values()
        except InputError as error:
            raise InputError(error.message, where=f"{path}, {error.where}", hint=error.hint) from error
    return attempts


def _show(found: Times, console: Console) -> None:
    timed = [one for one in found.tasks if one.status == "timed"]
    if timed:
        console.print(_table(timed))
    others = [one for one in found.tasks if one.status != "timed"]
    for status in ("not yet", "out of range", "invalid"):
        listed = [one for one in others if one.status == status]
        if listed:
            console.print(f"\n{status.capitalize()} timed:" if status == "not yet" else f"\n{status.capitalize()}:")
            for one in listed:
                console.print(f"  {one.task}: {one.missing}", soft_wrap=True)
    console.print(
        f"\n{len(timed)} of {quantity(len(found.tasks), 'task')} timed, by {', '.join(found.annotators) or 'nobody'}",
        soft_wrap=True,
    )
    for count, what in (
        (found.repeated, "by somebody who had tried the task before"),
        (found.unfinished, "without an end"),
        (found.changed, "at another text than the task file's"),
        (found.strangers, "at tasks that are not in the task file"),
    ):
        if count:
            console.print(f"Left out: {count} {'attempt' if count == 1 else 'attempts'} {what}")
    console.print("\nKrippendorff's α over right answers, outliers included:")
    for one in found.agreement:
        console.print(f"  {_agreement(one)}", soft_wrap=True)


def _table(timed: Sequence[TaskTimes]) -> Table:
    figures = ("minutes", "bin", "people", "dropped", "wrong", "paused", "reported")
    table = make_table("task", *figures, right=figures)
    for one in timed:
        edge = "" if one.bin is None else f"≤ {BIN_EDGES[one.bin]:g}"
        counts = (len(one.kept), len(one.dropped), one.wrong, one.interrupted, len(one.flags))
        table.add_row(one.task, f"{one.minutes:.3g}", edge, *map(str, counts))
    return table


def _agreement(one: Agreement) -> str:
    if one.alpha is None:
        return f"{one.level}: none. {one.note}"
    drawn = f"{one.resamples} of {RESAMPLES} resamples" if one.resamples < RESAMPLES else f"{RESAMPLES} resamples"
    caution = f". Mind: {one.note}" if one.note else ""
    basis = f"{quantity(one.tasks, 'task')}, {quantity(one.times, 'time')}"
    if one.low is None:
        return f"{one.level}: {one.alpha:.3f}, no interval ({basis}){caution}"
    return (
        f"{one.level}: {one.alpha:.3f}, 95 % interval {one.low:.3f} to {one.high:.3f} "
        f"({basis}; {drawn} of tasks, seed {one.seed}){caution}"
    )
