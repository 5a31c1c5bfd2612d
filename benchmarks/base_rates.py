"""`python -m benchmarks.base_rates`: what the linear rule gains by agents' track records, before anything is fitted.

Every pool on record goes through the market under its stated prior, in random orders, beginning with no memory: it
remembers what came of its own awards, and no more. Every auction is held. Printed are the means over the orders; whole
tasks are drawn again for the intervals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sale.auction.scoring import MAX_SCORE
from sale.bench import online
from sale.bench.market_router import default_weights
from sale.bench.replay import RecordedTasks, load_recorded, merge_records
from sale.bench.report.recorded_embeddings import RecordedEmbeddings
from sale.bench.routers.features import Embeddings
from sale.bench.routers.protocol import Floats
from sale.bench.tasks.hst_open import hst_open
from sale.learning.intervals import mean_interval

RECORDS = Path(__file__).resolve().parent / "records"
POOLS = ("hst-open", "specialists")
TRIED = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
"""What a success rate of 1 against one of 0 is worth, in full marks of the jury."""
ORDERS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One weight on one pool."""

    pool: str
    weight: float
    success: Floats
    """(T,) share of the orders in which the task was solved."""
    work: Floats
    """(T,) dollars of the work."""


def pool(name: str) -> RecordedTasks:
    """The test tasks of a pool, both domains."""
    paths = sorted((RECORDS / name).glob("*-test.jsonl.xz"))
    return merge_records([load_recorded(path, hst_open()) for path in paths])


def lines(name: str, tried: Sequence[float] = TRIED, orders: int = ORDERS) -> Iterator[Line]:
    """Every weight tried on a pool."""
    recorded = pool(name)
    embed = Embeddings(RecordedEmbeddings.read(RECORDS / "embeddings.npz"))
    published, table = default_weights(recorded), recorded.table(planned=False)
    marks = published.entropy + MAX_SCORE * sum(published.jurors.values())
    rows = np.arange(len(table))
    for weight in tried:
        policy = online.OnlinePolicy(name="base rates", weights=replace(published, track=weight * marks), hold=True)
        routings = [online.run(recorded, None, policy, embed, seed).routing for seed in range(orders)]
        yield Line(
            pool=name,
            weight=weight,
            success=np.mean([table.success[rows, routing.chosen] for routing in routings], axis=0),
            work=np.mean([(table.dollars * routing.called).sum(axis=1) for routing in routings], axis=0),
        )


def main() -> None:
    """Print the table."""
    print("| pool | weight | solved, % | work, $ a task, millionths | more than without, points |")
    print("| --- | --- | --- | --- | --- |")
    for name in POOLS:
        without: Line | None = None
        for line in lines(name):
            without = without or line
            groups = np.arange(len(line.success))
            more = [100 * value for value in mean_interval(line.success - without.success, groups)]
            gained = "–" if line is without else f"{more[0]:.1f} ({more[1]:.1f} to {more[2]:.1f})"
            solved, spent = 100 * line.success.mean(), 1e6 * line.work.mean()
            print(f"| {name} | {line.weight:g} | {solved:.1f} | {spent:.1f} | {gained} |", flush=True)


if __name__ == "__main__":
    main()
