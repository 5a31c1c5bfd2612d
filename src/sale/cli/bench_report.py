"""`sale bench report`: tables from recorded runs."""

from __future__ import annotations

from pathlib import Path

import click

from sale import config
from sale.bench.report.make import make
from sale.bench.routers.features import Embeddings
from sale.bench.tasks.files import read_tasks
from sale.bench.tasks.hst_open import hst_open
from sale.cli.encode import document
from sale.cli.options import FILE, config_option, json_option, output
from sale.models.embedding import MiniLMEmbedder


@click.command()
@click.argument("records", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--tasks", "task_file", type=FILE, help="In place of HST-open.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write report and tables there.")
@config_option
@json_option
def report(records: Path, task_file: Path | None, out: Path | None, config_file: Path | None, *, as_json: bool) -> None:
    """Compare every router over the same recorded work: the records in the folder RECORDS.

    RECORDS holds coding-test.jsonl, search-test.jsonl and, to train the baselines on, coding-dev.jsonl and
    search-dev.jsonl, as `sale bench run` writes them, packed or not. Routers that [[bench.routers]] of sale.toml names
    are compared with the others.
    """
    tasks = read_tasks(task_file) if task_file else hst_open()
    routers = config.load(config_file).bench.routers
    found = make(records, tasks, Embeddings(MiniLMEmbedder()), routers=routers)
    if out is not None:
        for path in found.write(out):
            click.echo(str(path), err=True)
    if as_json:
        click.echo(document("report", found.sheets))
    elif out is None:
        output().print(found.markdown(), soft_wrap=True)
