"""What it is worth to know how often a check is wrong: attempts on the recorded pools, with that knowledge and without.

    python -m benchmarks.checks

Every agent's work is on record, so what comes of any plan of attempts under a check of any errors is known exactly: the
mean over what the check may say is taken, nothing is drawn. Chances come from success models that had not seen the
task. Each plan is made twice: by somebody who takes the check for right, and by somebody who knows its errors. The same
check judges both. Compared is what is left of the worth of solved tasks after all work is paid for, task by task.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sale.auction.attempt_order import PERFECT
from sale.bench.online import Embed, examples_of
from sale.bench.replay import load_recorded, merge_records
from sale.bench.report.recorded_embeddings import RecordedEmbeddings
from sale.bench.routers.features import Embeddings
from sale.bench.tasks.hst_open import hst_open
from sale.learning.attempts import AttemptOutcomes, follow_attempts
from sale.learning.intervals import mean_interval
from sale.learning.prepared_data import PreparedData, prepare_data
from sale.learning.spending import best_agent_cost
from sale.types import CheckErrors

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "benchmarks" / "records"
PAGE = ROOT / "docs" / "checks.md"
POOLS = ("hst-open", "specialists")
ERRORS = ((0.0, 0.0), (0.1, 0.05), (0.3, 0.0), (0.3, 0.2), (0.5, 0.0), (0.5, 0.2), (0.8, 0.1), (1.0, 0.0))
"""False-pass and false-fail rates."""
WORTHS = (1.0, 4.0, 16.0)
"""What a solved task is worth, in costs of the best agent's work."""
BEGIN, END = "<!-- checks -->\n", "<!-- end -->"


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One check in one pool at one worth of a solved task."""

    pool: str
    false_pass: float
    false_fail: float
    worth: float
    """In costs of the best agent's work."""
    plain: AttemptOutcomes
    known: AttemptOutcomes
    gain: tuple[float, float, float]
    """What the knowledge is worth a task, in hundredths of the best agent's work, with its 95 % interval, paired."""


def ready(pool: str, embed: Embed) -> PreparedData:
    """A pool's test tasks, ready for models."""
    paths = sorted((RECORDS / pool).glob("*-test.jsonl.xz"))
    return prepare_data(examples_of(merge_records([load_recorded(path, hst_open()) for path in paths]), embed))


def compared(pool: str, given: PreparedData) -> Iterator[Compared]:
    """Every check at every worth."""
    table, expected = given.table, given.models[0].prospects
    if expected is None:
        raise ValueError("success models have prospects")
    attempts, everywhere = len(table.agents), np.ones(len(table), np.bool_)
    unit = best_agent_cost(table)
    for worth in WORTHS:
        for false_pass, false_fail in ERRORS:
            check = CheckErrors(false_pass=false_pass, false_fail=false_fail)
            plain, known = (
                follow_attempts(expected, given.completed, everywhere, worth * unit, attempts, check, believed)
                for believed in (PERFECT, check)
            )
            left = [worth * one.success - one.dollars / unit for one in (plain, known)]
            yield Compared(
                pool=pool,
                false_pass=false_pass,
                false_fail=false_fail,
                worth=worth,
                plain=plain,
                known=known,
                gain=mean_interval(100.0 * (left[1] - left[0]), table.group),
            )


def rows(found: Sequence[Compared]) -> list[tuple[str, ...]]:
    """A table."""
    head = (
        "pool",
        "wrong answers passed, %",
        "right answers failed, %",
        "worth of a solved task",
        "solved without, %",
        "solved with, %",
        "$/task without, millionths",
        "with",
        "worth of knowing",
    )
    lines: list[tuple[str, ...]] = [head]
    for one in found:
        gain, low, high = (f"{value:.1f}".replace("-", "−").replace("−0.0", "0.0") for value in one.gain)
        lines.append(
            (
                one.pool,
                f"{100 * one.false_pass:.0f}",
                f"{100 * one.false_fail:.0f}",
                f"{one.worth:g}",
                *(f"{100 * part.success.mean():.1f}" for part in (one.plain, one.known)),
                *(f"{1e6 * part.dollars.mean():.1f}" for part in (one.plain, one.known)),
                f"{gain} ({low} to {high})",
            )
        )
    return lines


def study() -> list[Compared]:
    """All pools."""
    embed = Embeddings(RecordedEmbeddings.read(RECORDS / "embeddings.npz"))
    return [one for pool in POOLS for one in compared(pool, ready(pool, embed))]


def main() -> None:
    """Print the table as CSV, and write it into the page."""
    lines = rows(study())
    csv.writer(sys.stdout, lineterminator="\n").writerows(lines)
    table = [f"| {' | '.join(line)} |" for line in (lines[0], ["---"] * len(lines[0]), *lines[1:])]
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest[rest.index(END) :]
    PAGE.write_text(before + BEGIN + "\n".join(table) + "\n" + after, encoding="utf-8")


if __name__ == "__main__":
    main()
