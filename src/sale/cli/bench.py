"""`sale bench`: the tasks, recorded runs, and what they say."""

from __future__ import annotations

import click

from sale.cli.lazy import LazyGroup

VERBS = {
    "tasks": ("bench_tasks", "List tasks of HST-open or of any source, and write them to a file."),
    "run": ("bench_run", "Record every agent on every task, and the market over several task orders."),
    "cross": ("bench_cross", "Record what an agent does with another agent's plans."),
    "pack": ("bench_run", "Compress a finished record."),
    "report": ("bench_report", "Tables and figures from recorded runs."),
    "map": ("bench_map", "When an auction pays: jurors' quality against the cost of an auction."),
    "annotate": ("bench_annotate", "A page on which people solve tasks against the clock."),
    "times": ("bench_annotate", "Human times, and how far people agree, from annotations."),
}


@click.group(cls=LazyGroup, verbs=VERBS, extras=dict.fromkeys(VERBS, "bench"))
def bench() -> None:
    """Benchmark tasks, recorded runs, routers replayed over them, reports."""
