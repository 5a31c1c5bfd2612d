"""`sale bench map`: when an auction pays, by recorded outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from sale.bench.report.paying import paying
from sale.bench.report.recorded_embeddings import RecordedEmbeddings
from sale.bench.routers.features import Embeddings
from sale.bench.tasks.files import read_tasks
from sale.bench.tasks.hst_open import hst_open
from sale.cli.encode import document
from sale.cli.options import FILE, json_option, output
from sale.models.embedding import MiniLMEmbedder


@click.command("map")
@click.argument("records", type=click.Path(path_type=Path, file_okay=False, exists=True), nargs=-1, required=True)
@click.option("--tasks", "task_file", type=FILE, help="In place of HST-open.")
@click.option("--embeddings", type=FILE, help="Sentence embeddings made before, in place of making them.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write tables and figure there.")
@json_option
def break_even(
    records: Sequence[Path], task_file: Path | None, embeddings: Path | None, out: Path | None, *, as_json: bool
) -> None:
    """When does an auction pay? By the records in the folders RECORDS, a pool each.

    Jurors that rank bids well or badly are simulated on recorded outcomes. For each quality of jurors the map says how
    much an auction may cost, as a share of what the work costs, before awarding by past outcomes alone is as good; and
    where the pool's own jurors stand.
    """
    tasks = list(read_tasks(task_file) if task_file else hst_open())
    features = Embeddings(RecordedEmbeddings.read(embeddings) if embeddings else MiniLMEmbedder())
    found = paying({folder.resolve().name: folder for folder in records}, tasks, features)
    if out is not None:
        for path in found.write(out):
            click.echo(str(path), err=True)
    if as_json:
        click.echo(document("break_even", found.pools))
    elif out is None:
        output().print("\n\n".join(sheet.markdown() for sheet in found.sheets()), soft_wrap=True)


map = break_even
