"""`sale bench cross`: work on another agent's recorded plans."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypedDict, Unpack

import click

from sale import config
from sale.agents.tools.sandbox import find_sandbox
from sale.bench.recording.calls import RunStoppedError
from sale.bench.recording.crossed import CrossedRecorder, RecordedPlans, compare_anew, read_plans
from sale.bench.recording.log import unpack
from sale.bench.recording.pools import for_recording
from sale.bench.tasks.files import read_tasks
from sale.bench.tasks.hst_open import hst_open
from sale.bench.tasks.schema import BenchTask, Domain, Split
from sale.cli.bench_run import bench_tools, progress_row, spread
from sale.cli.options import FILE, KEPT_FILE, config_option, output
from sale.cli.progress import ProgressReport
from sale.config import Settings
from sale.errors import InputError, SaleError, first_error
from sale.wording import quantity


class _CrossOptions(TypedDict):
    plans: Path
    planner: str
    executor: str
    domain: Domain
    split: Split
    task_file: Path | None
    corpus: Path | None
    first: int | None
    anew: int
    width: int
    config_file: Path | None


@click.command()
@click.argument("record", type=KEPT_FILE)
@click.option("--plans", type=FILE, required=True, help="The finished record that has the plans, packed or not.")
@click.option("--planner", required=True, help="The agent whose plans are followed.")
@click.option("--executor", required=True, help="The cheaper agent that does the work.")
@click.option("--domain", type=click.Choice(["coding", "search"]), required=True, help="Which tasks.")
@click.option("--split", type=click.Choice(["dev", "test"]), default="test", show_default=True, help="Which tasks.")
@click.option("--tasks", "task_file", type=FILE, help="A task file in place of HST-open.")
@click.option("--corpus", type=FILE, help="Passages to search in place of HST-open's.")
@click.option("--first", type=click.IntRange(min=1), help="Only so many tasks, in the order of the run.")
@click.option(
    "--anew",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Do so many tasks without a plan, too, to see whether work comes out as on the record of the plans.",
)
@click.option("--width", type=click.IntRange(min=1), default=1, show_default=True, help="Tasks done at once.")
@config_option
def cross_plans(record: Path, **options: Unpack[_CrossOptions]) -> None:
    """Record in RECORD what an agent does with another agent's plans.

    The plans are those on a record of `sale bench run`; none is made anew. Stop it at any time: the same command goes
    on where it stopped. A RECORD that is not there is unpacked from RECORD.xz, if that is.
    """
    plans = read_plans(options["plans"], options["planner"])
    domain, split, task_file = options["domain"], options["split"], options["task_file"]
    known = read_tasks(task_file) if task_file else hst_open(domain=domain, split=split)
    tasks = tuple(spread([one for one in known if one.domain == domain and one.split == split], options["first"]))
    if not any(task.id in plans.texts for task in tasks):
        raise InputError(f"no {domain} task of the {split} split has a plan there", where=str(options["plans"]))
    settings = for_recording(config.load(options["config_file"]), domain)
    packed = record.with_name(record.name + ".xz")
    if not record.exists() and packed.exists():
        unpack(packed, record)
    try:
        asyncio.run(_cross(record, tasks, plans, settings, options))
    except* RunStoppedError as stopped:
        reason = first_error(stopped)
        hint = "What is done is on record: the same command goes on."
        raise SaleError(f"the run stopped: {reason}", hint=hint) from None
    if options["anew"]:
        found = compare_anew(record, options["plans"], options["executor"])
        output().print(
            f"Without a plan, done anew: {quantity(found.tasks, 'task')}; {found.outcomes} with the recorded outcome, "
            f"{found.answers} with the recorded answer to the letter."
        )


async def _cross(
    record: Path, tasks: tuple[BenchTask, ...], plans: RecordedPlans, settings: Settings, options: _CrossOptions
) -> None:
    domain, executor, anew = options["domain"], options["executor"], min(options["anew"], len(tasks))
    async with bench_tools(settings, domain, options["corpus"]) as tools:
        recorder = CrossedRecorder(
            record,
            tasks,
            settings,
            plans=plans,
            executor=executor,
            sandbox=find_sandbox(allow_unsafe=settings.sandbox.unsafe_subprocess) if domain == "coding" else None,
            tools=tools,
            width=options["width"],
        )
        with ProgressReport() as report:
            async with recorder:
                note = f"{domain}, {quantity(len(tasks), 'task')}, {executor} on the plans of {plans.planner}"
                recorder.begin(note, plans=plans.digest)
                if anew:
                    await recorder.work_anew(anew, progress_row(report, "without a plan", anew))
                await recorder.cross(progress_row(report, "on the plans", len(recorder.planned)))
                await recorder.checks()


cross = cross_plans
