"""`sale models`: the embedded pool's weights on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click

from sale import config
from sale.cli.encode import document
from sale.cli.options import json_option, output
from sale.cli.progress import BYTES, ProgressReport
from sale.cli.tables import make_table
from sale.models.local import catalogue
from sale.models.local.weights import DownloadProgress as Fetched
from sale.models.local.weights import WeightStore


@click.group()
def models() -> None:
    """The embedded pool's weights: list, pull, rm, path."""


@models.command("list")
@json_option
def list_models(*, as_json: bool) -> None:
    """List the catalogue, and the models on this machine."""
    store = _store()
    entries = catalogue.list_entries()
    if as_json:
        rows = [
            {"model": entry, "path": store.path(entry.id), "installed": store.installed(entry.id)} for entry in entries
        ]
        click.echo(document("models", rows))
        return
    table = make_table(
        "id", "parameters", "context", "size", "licence", "here", right=("parameters", "context", "size")
    )
    for entry in entries:
        here = "yes" if store.installed(entry.id) else "no"
        size = f"{entry.size / 1e6:,.0f} MB"
        table.add_row(entry.id, f"{entry.parameters / 1e6:,.0f} M", f"{entry.context:,}", size, entry.licence, here)
    output().print(table)
    output().print(f"In {config.models_path()}")


@models.command()
@click.argument("ids", nargs=-1)
@click.option("--from", "source", type=click.Path(path_type=Path, dir_okay=False), help="A file you have already.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def pull(ids: tuple[str, ...], source: Path | None, *, quiet: bool) -> None:
    """Fetch and verify weights; all of the catalogue unless IDS are named. An interrupted download is resumed."""
    wanted = [catalogue.find(name).id for name in ids] or [entry.id for entry in catalogue.list_entries()]
    if source is not None:
        if len(wanted) != 1:
            raise click.UsageError("--from takes one model id")
        path = _store().adopt(wanted[0], source)
        output().print(f"{wanted[0]}: {path}")
        return
    for name, path in _fetch(wanted, quiet=quiet):
        output().print(f"{name}: {path}")


@models.command()
@click.argument("ids", nargs=-1, required=True)
def rm(ids: tuple[str, ...]) -> None:
    """Remove weights from this machine."""
    for name in ids:
        removed = _store().remove(catalogue.find(name).id)
        output().print(f"{name}: {'removed' if removed else 'was not here'}")


@models.command()
@click.argument("name", required=False)
def path(name: str | None) -> None:
    """Where weights are, or would be."""
    output().print(str(_store().path(catalogue.find(name).id) if name else config.models_path()), soft_wrap=True)


def pull_missing(settings: config.Settings, *, quiet: bool) -> None:
    """Fetch what the pool needs and this machine has not; quick where nothing is missing."""
    store = _store()
    wanted = dict.fromkeys(agent.local for agent in settings.agents if agent.local is not None)
    missing = [catalogue.find(name).id for name in wanted if not store.installed(catalogue.find(name).id)]
    if missing:
        for _ in _fetch(missing, quiet=quiet):
            pass


def _store() -> WeightStore:
    return WeightStore(config.models_path())


def _fetch(names: Iterable[str], *, quiet: bool) -> Iterable[tuple[str, Path]]:
    store = _store()
    with ProgressReport(quiet=quiet) as report:
        for name in names:
            yield name, store.ensure(name, progress=None if quiet else _watch(report, name))


def _watch(report: ProgressReport, name: str) -> Callable[[Fetched], None]:
    row = report.row(name, unit=BYTES)

    def see(fetched: Fetched) -> None:
        row.update(fetched.done, total=fetched.total, title=f"{name} ({fetched.source})")

    return see
