"""`sale bench tasks`: what there is to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import click
from rich.table import Table

from sale.bench.tasks.files import write_tasks
from sale.bench.tasks.hst_open import hst_open
from sale.bench.tasks.load import LoadedTasks, load
from sale.bench.tasks.schema import Split
from sale.cli.encode import document
from sale.cli.options import FILE, json_option, output
from sale.cli.tables import make_table
from sale.wording import quantity

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("source", default="hst-open")
@click.option("--from", "path", type=PATH, help="A local copy: a file, or a directory with the source's files.")
@click.option("--split", type=click.Choice(["dev", "test"]), help="Only this split; `test` where a source is named.")
@click.option("--first", type=click.IntRange(min=1), help="Only so many.")
@click.option("--out", type=FILE, help="Write the tasks there, as JSON lines.")
@json_option
def tasks(
    source: str, path: Path | None, split: Split | None, first: int | None, out: Path | None, *, as_json: bool
) -> None:
    """The tasks of SOURCE: hst-open, which comes with the package, or a source of HST-Bench.

    Without --from a source is read from the public hub, which needs `pip install 'sale[bench]'`.
    """
    if source == "hst-open":
        loaded = LoadedTasks(tasks=tuple(hst_open(split=split)[:first]))
    else:
        loaded = load(source, path=path, split=split or "test", limit=first)
    if out is not None:
        write_tasks(loaded.tasks, out)
    counts = Counter((task.domain, task.split, task.source, task.time.label) for task in loaded.tasks)
    if as_json:
        rows = [
            dict(zip(("domain", "split", "source", "bin", "tasks"), (*key, n), strict=True))
            for key, n in counts.items()
        ]
        click.echo(document("tasks", {"counts": rows, "dropped": loaded.dropped, "notes": loaded.notes}))
        return
    console = output(out)
    console.print(_table(counts))
    for reason, count in loaded.dropped.items():
        console.print(f"left out, {count}: {reason}")
    for note in loaded.notes:
        console.print(note)
    if out is not None:
        console.print(f"{quantity(len(loaded.tasks), 'task')} in {out}")


def _table(counts: Mapping[tuple[str, str, str, str], int]) -> Table:
    table = make_table("domain", "split", "source", "human minutes", "tasks", right=("tasks",))
    for key, count in counts.items():
        table.add_row(*key, str(count))
    return table
