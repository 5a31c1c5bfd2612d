"""`sale spend`: what went through the gateway, and what it cost."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.table import Table

from sale.cli.board import money, plain
from sale.cli.encode import document
from sale.cli.keys import with_store
from sale.cli.options import DAYS, config_option, json_option, output
from sale.cli.tables import make_table
from sale.server.store.types import Grouping, Spending

SHOWN_OF_AN_ID = 8
"""Characters; --json has all."""
_DRAWN = re.compile(r"[0-9a-fA-F-]{32,36}")


@click.command()
@click.option(
    "--by",
    type=click.Choice(["day", "agent", "key", "session", "path", "model"]),
    default="day",
    show_default=True,
    help="What to sum by.",
)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="From this day on (UTC).")
@click.option("--days", type=DAYS, help="Today and the days before it, so many in all (UTC).")
@config_option
@json_option
def spend(by: Grouping, since: datetime | None, days: int | None, config_file: Path | None, *, as_json: bool) -> None:
    """Show what requests through the gateway have cost, and what always using the largest agent would have."""
    if since is not None and days is not None:
        raise click.UsageError("--since and --days say the same thing; give one.")
    start = since.replace(tzinfo=UTC) if since else None
    if days is not None:
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        start = today - timedelta(days=days - 1)
    found = with_store(config_file, lambda store: store.spend(start, by))
    if as_json:
        click.echo(document("spend", found))
    elif not found:
        output().print("Nothing is on the ledger.")
    else:
        output().print(_table(found, by))
        output().print(
            "What the largest agent would have cost is an estimate: the same tokens at its price. Requests to an "
            "agent by name count as what they cost: nothing is saved by them."
        )


def _table(found: tuple[Spending, ...], by: Grouping) -> Table:
    headings = (by, "requests", "failed", "tokens in", "out", "work", "auctions", "total", "always largest", "saved")
    table = make_table(*headings, right=headings[1:], spare=("out", "tokens in", "failed", "auctions", "work"))
    table.show_footer = len(found) > 1
    for column, footer in zip(table.columns, _cells(_total(found)), strict=True):
        column.footer = footer
    for one in found:
        name, *figures = _cells(one)
        table.add_row(_short(name) if by == "session" else name, *figures)
    return table


def _short(session: str) -> str:
    """The beginning of an id that was drawn at random; another name of a session as it is."""
    return f"{session[:SHOWN_OF_AN_ID]}…" if _DRAWN.fullmatch(session) else session


def _cells(one: Spending) -> tuple[str, ...]:
    share = f" ({one.saved / one.largest_dollars:.0%})" if one.largest_dollars > 0 else ""
    return (
        plain(one.label),
        f"{one.requests:,}",
        f"{one.failures:,}",
        f"{one.input_tokens:,}",
        f"{one.output_tokens:,}",
        money(one.work_dollars),
        money(one.auction_dollars),
        money(one.dollars),
        money(one.largest_dollars),
        f"{'−' if one.saved < 0 else ''}{money(abs(one.saved))}{share}",
    )


def _total(found: tuple[Spending, ...]) -> Spending:
    return Spending(
        label="all",
        requests=sum(one.requests for one in found),
        failures=sum(one.failures for one in found),
        input_tokens=sum(one.input_tokens for one in found),
        output_tokens=sum(one.output_tokens for one in found),
        cached_tokens=sum(one.cached_tokens for one in found),
        work_dollars=sum(one.work_dollars for one in found),
        auction_dollars=sum(one.auction_dollars for one in found),
        largest_dollars=sum(one.largest_dollars for one in found),
    )
