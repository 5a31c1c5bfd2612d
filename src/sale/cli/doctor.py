"""`sale doctor`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table
from rich.text import Text

from sale import config
from sale.cli.board import money, plain
from sale.cli.encode import document
from sale.cli.options import config_option, json_option, output

if TYPE_CHECKING:
    from sale.agents.checkup import Checkup


@click.command()
@config_option
@json_option
def doctor(config_file: Path | None, *, as_json: bool) -> None:
    """Check every agent with one tiny call: is it there, and what does the auction miss?

    Ends with code 1 if an agent cannot be reached.
    """
    settings = config.load(config_file)
    checkups = asyncio.run(_examine(settings))
    if as_json:
        click.echo(document("doctor", checkups))
    else:
        output().print(f"Settings: {settings.origin}")
        output().print(_table(checkups))
        for checkup in checkups:
            for lack in checkup.lacks:
                output().print(Text.assemble((f"{checkup.agent}: ", "bold"), plain(lack.what)))
                output().print(f"  It costs the auction: {lack.costs}. {plain(lack.remedy)}")
    if not all(checkup.reachable for checkup in checkups):
        raise click.exceptions.Exit(1)


async def _examine(settings: config.Settings) -> list[Checkup]:
    """One agent after the other: small machines answer several at once slowly, and the times would mislead."""
    from sale.agents.checkup import examine
    from sale.agents.pool import build_agents

    contractors = build_agents(settings)
    try:
        return [await examine(contractor) for contractor in contractors]
    finally:
        for contractor in contractors:
            await contractor.aclose()


def _table(checkups: list[Checkup]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("agent", "$/Mtok", "reachable", "log-probabilities", "JSON schema", "seconds", "cost"):
        table.add_column(heading)
    for one in checkups:
        table.add_row(
            one.agent,
            f"{one.price.blended:g}",
            _tick(good=one.reachable),
            _tick(good=one.logprobs),
            _tick(good=one.json_schema),
            "–" if one.seconds is None else f"{one.seconds:.2f}",
            "–" if one.dollars is None else money(one.dollars),
        )
    return table


def _tick(*, good: bool) -> Text:
    return Text("yes", style="green") if good else Text("no", style="red")
