"""The two experiments: which tasks, which pool, how many samples. Frozen in docs/research before any is recorded."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.samples.recorder import SamplingPlan
from sale.bench.tasks.files import read_tasks
from sale.bench.tasks.hst_open import hst_open
from sale.bench.tasks.load import load
from sale.bench.tasks.schema import BenchTask, Split
from sale.errors import InputError

HERE = Path(__file__).parent
BENCHMARKS = HERE.parent
IDS = HERE / "ids"
SPLITS: tuple[Split, ...] = ("test", "dev")
DIRECT = 3
"""Samples in a bid of the first experiment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """One experiment."""

    name: str
    counts: Mapping[str, int]
    """How many tasks of each source."""
    loaded: tuple[str, ...]
    """Sources of `sale bench tasks` that have them."""
    plan: SamplingPlan

    @property
    def pool(self) -> Path:
        """Its agents."""
        return BENCHMARKS / "pools" / f"{self.name}.toml"

    @property
    def ids(self) -> Path:
        """Its tasks, an id a line, in the order in which they are done."""
        return IDS / f"{self.name}.txt"

    @property
    def record(self) -> Path:
        """Where it is recorded."""
        return BENCHMARKS / "records" / self.name / "coding-test.jsonl"


STUDIES = {
    study.name: study
    for study in (
        Study(
            name="samples-as-bids",
            counts={"mmlu": 150, "javascript": 100},
            loaded=("coding-mcq",),
            plan=SamplingPlan(
                draws={"small": DIRECT, "large": DIRECT, "small-reasons": 1, "large-reasons": 3},
                reasoning=frozenset({"small-reasons", "large-reasons"}),
            ),
        ),
        Study(
            name="compute-as-agent",
            counts={"mbpp": 140, "humaneval": 60},
            loaded=("mbpp", "humaneval"),
            plan=SamplingPlan(draws={"small": 20, "large": 5}, stop=True),
        ),
    )
}


def chosen_ids(counts: Mapping[str, int], tasks: Iterable[BenchTask], used: frozenset[str]) -> list[str]:
    """The ids of a study: of each source those of the smallest SHA-256 that nothing has used, all in that order.

    Raises:
        InputError: A source has too few.
    """
    free: dict[str, list[str]] = {source: [] for source in counts}
    for name in {task.id for task in tasks} - used:
        source = name.split("/")[0]
        if source in free:
            free[source].append(name)
    if short := [source for source, count in counts.items() if len(free[source]) < count]:
        raise InputError(f"too few unused tasks of {', '.join(short)}", hint="Name the folder that has all of them.")
    kept = [name for source, count in counts.items() for name in sorted(free[source], key=_order)[:count]]
    return sorted(kept, key=_order)


def _order(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def used_ids() -> frozenset[str]:
    """Tasks of other recorded runs: HST-open, private knowledge, the thirty examples."""
    private = read_tasks(BENCHMARKS / "pools" / "private-knowledge" / "tasks.jsonl")
    return frozenset({task.id for task in (*hst_open(), *private)} | set(_thirty()))


def _thirty() -> Iterator[str]:
    for name in ("thirty", "thirty-direct"):
        with gzip.open(BENCHMARKS / "records" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            yield from (json.loads(line)["id"] for line in lines if line.strip())


def source_tasks(study: Study, data: Path | None) -> dict[str, BenchTask]:
    """All tasks of a study's sources by id; from the public hub unless a folder is named."""
    found: dict[str, BenchTask] = {}
    for source in study.loaded:
        for split in SPLITS:
            try:
                tasks = load(source, path=data, split=split).tasks
            except InputError:
                continue  # a source without this split
            found |= {task.id: task for task in tasks if task.id not in found}
    return found


def study_tasks(study: Study, data: Path | None) -> tuple[BenchTask, ...]:
    """The tasks of a study, in its order.

    Raises:
        InputError: One is not in the sources.
    """
    known = source_tasks(study, data)
    ids = study.ids.read_text(encoding="ascii").split()
    if missing := [name for name in ids if name not in known]:
        raise InputError(f"{missing[0]} is not among the tasks of {', '.join(study.loaded)}", where=str(data or "hub"))
    return tuple(known[name].model_copy(update={"split": "test"}) for name in ids)
