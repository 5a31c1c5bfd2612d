"""`python -m benchmarks.samples record STUDY`: record the samples of an experiment; stopped at any time, it goes on.

`ids STUDY` draws its tasks anew, by the rule in docs/research; they are in the repository. Tasks come from the public
hub, or from a folder that `--data` or the environment variable SALE_BENCH_DATA names.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.samples.recorder import SampleRecorder
from benchmarks.samples.studies import STUDIES, Study, chosen_ids, source_tasks, study_tasks, used_ids
from sale import config
from sale.agents.tools.sandbox import find_sandbox
from sale.bench.recording.crossed import with_wall_time
from sale.bench.recording.log import unpack
from sale.bench.recording.pools import for_recording
from sale.bench.recording.run import RecordingProgress
from sale.wording import quantity


def main(given: Sequence[str] | None = None) -> None:
    """Draw tasks, or record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samples", description=__doc__)
    parser.add_argument("what", choices=["record", "ids"])
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
    asyncio.run(record(study, data, asked.first))


async def record(study: Study, data: Path | None, first: int | None) -> None:
    """Record every sample that is not on record."""
    tasks = study_tasks(study, data)[:first]
    packed = study.record.with_name(f"{study.record.name}.xz")
    if not study.record.exists() and packed.exists():
        unpack(packed, study.record)
    settings = with_wall_time(for_recording(config.load(study.pool), "coding"))
    async with SampleRecorder(study.record, tasks, settings, study.plan, sandbox=find_sandbox()) as recorder:
        recorder.begin(f"{study.name}, {quantity(len(tasks), 'task')}")
        await recorder.sample(_tell)


def _tell(progress: RecordingProgress) -> None:
    sys.stderr.write(
        f"{progress.done} of {quantity(progress.of, 'task')}, {quantity(progress.calls, 'new call')}: {progress.what}\n"
    )


if __name__ == "__main__":
    main()
