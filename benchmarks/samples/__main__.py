"""`python -m benchmarks.samples record STUDY`: record the samples of an experiment; stopped at any time, it goes on.

`report STUDY` writes what came of it into its page, once the record is whole. `ids STUDY` draws its tasks anew, by the
rule in docs/research; they are in the repository. Tasks come from the public hub, or from a folder that `--data` or the
environment variable SALE_BENCH_DATA names.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.samples import bids_report, compute_report
from benchmarks.samples.bids import load_samples
from benchmarks.samples.recorder import SampleRecorder
from benchmarks.samples.studies import STUDIES, Study, chosen_ids, source_tasks, study_tasks, used_ids
from benchmarks.ways import page_with
from sale import config
from sale.agents.tools.sandbox import find_sandbox
from sale.bench.recording.log import unpack
from sale.bench.recording.pools import for_recording
from sale.bench.recording.run import RecordingProgress
from sale.errors import InputError
from sale.wording import quantity

PAGES = Path(__file__).parents[2] / "docs" / "research"
BEGIN, END = "<!-- samples: begin -->", "<!-- samples: end -->"
REPORTS = {"samples-as-bids": bids_report.report, "compute-as-agent": compute_report.report}


def main(given: Sequence[str] | None = None) -> None:
    """Draw tasks, or record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samples", description=__doc__)
    parser.add_argument("what", choices=["record", "report", "ids"])
    parser.add_argument("study", choices=list(STUDIES))
    parser.add_argument("--data", type=Path, help="Where the sources are, in place of the public hub.")
    parser.add_argument("--first", type=int, help="Only so many tasks.")
    asked = parser.parse_args(given)
    study = STUDIES[asked.study]
    named = os.environ.get("SALE_BENCH_DATA")
    data = asked.data or (Path(named) if named else None)
    if asked.what == "ids":
        ids = chosen_ids(study.counts, source_tasks(study, data).values(), used_ids())
        study.ids.write_text("".join(f"{name}\n" for name in ids), encoding="ascii")
        return
    if asked.what == "report":
        write_report(study, data)
        return
    asyncio.run(record(study, data, asked.first))


def write_report(study: Study, data: Path | None) -> None:
    """Write what came of a study into its page.

    Raises:
        InputError: The record is not whole: nothing is read from it before.
    """
    tasks = study_tasks(study, data)
    paths = (study.record, study.record.with_name(f"{study.record.name}.xz"))
    record = next((path for path in paths if path.exists()), None)
    if record is None:
        raise InputError("nothing is recorded yet", where=str(study.record))
    samples = load_samples(record)
    wanted = [(task.id, agent, least) for task in tasks for agent, least in study.plan.least.items()]
    if missing := sum(len(samples.get((task, agent), ())) < least for task, agent, least in wanted):
        hint = f"python -m benchmarks.samples record {study.name}"
        raise InputError(
            f"the record is not whole: {missing} of {len(wanted)} are missing", where=str(record), hint=hint
        )
    page = PAGES / f"{study.name}.md"
    page.write_text(page_with(page.read_text(encoding="utf-8"), REPORTS[study.name](tasks, samples), BEGIN, END))


async def record(study: Study, data: Path | None, first: int | None) -> None:
    """Record every sample that is not on record."""
    tasks = study_tasks(study, data)[:first]
    packed = study.record.with_name(f"{study.record.name}.xz")
    if not study.record.exists() and packed.exists():
        unpack(packed, study.record)
    settings = for_recording(config.load(study.pool), "coding")
    async with SampleRecorder(study.record, tasks, settings, study.plan, sandbox=find_sandbox()) as recorder:
        recorder.begin(f"{study.name}, {quantity(len(tasks), 'task')}")
        await recorder.sample(_tell)


def _tell(progress: RecordingProgress) -> None:
    sys.stderr.write(
        f"{progress.done} of {quantity(progress.of, 'task')}, {quantity(progress.calls, 'new call')}: {progress.what}\n"
    )


if __name__ == "__main__":
    main()
