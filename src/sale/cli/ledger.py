"""`sale ledger`: old lines of the gateway's ledger, moved to files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from sale.cli.encode import document
from sale.cli.keys import with_store
from sale.cli.options import DAYS, config_option, json_option, output
from sale.cli.tables import make_table
from sale.wording import quantity


@click.group()
def ledger() -> None:
    """The gateway's ledger: archive, archives. What it comes to is said by `sale spend`."""


@ledger.command()
@click.option(
    "--to",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The directory for the file; all machines that sum the ledger must see it.",
)
@click.option("--before", type=click.DateTime(["%Y-%m-%d"]), help="Lines from before this day (UTC).")
@click.option("--keep-days", type=DAYS, help="Lines from before today and so many days (UTC).")
@config_option
@json_option
def archive(
    directory: Path, before: datetime | None, keep_days: int | None, config_file: Path | None, *, as_json: bool
) -> None:
    """Move old lines to a Parquet file.

    They are deleted from the database once the file is on disk, and `sale spend` counts them as before. DuckDB, pandas
    and others read the file. A file that was not put on record, since the command was killed, counts for nothing.
    """
    if (before is None) == (keep_days is None):
        raise click.UsageError("give one of --before and --keep-days")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    end = today - timedelta(days=keep_days) if keep_days is not None else (before or today).replace(tzinfo=UTC)
    if end > today:
        raise click.UsageError("--before lies ahead: lines of today are still being written")
    from sale.server.store import archives

    made = with_store(config_file, lambda store: archives.archive(store.database, end, directory))
    if as_json:
        click.echo(document("archive", made))
    elif made is None:
        output().print(f"There are no lines from before {end:%Y-%m-%d}.")
    else:
        said = f"{quantity(made.requests, 'line')}, {made.first_at:%Y-%m-%d} to {made.last_at:%Y-%m-%d}"
        output().print(f"{said}: {made.place}", soft_wrap=True)


@ledger.command()
@config_option
@json_option
def archives(config_file: Path | None, *, as_json: bool) -> None:
    """List the files that lines were moved to."""
    from sale.server.store.archives import list_archives

    found = with_store(config_file, lambda store: store.database.read(list_archives))
    if as_json:
        click.echo(document("archives", found))
    elif not found:
        output().print("No lines were moved to files.")
    else:
        table = make_table("first", "last", "lines", "file", right=("lines",))
        for one in found:
            table.add_row(f"{one.first_at:%Y-%m-%d}", f"{one.last_at:%Y-%m-%d}", f"{one.requests:,}", one.place)
        output().print(table)
