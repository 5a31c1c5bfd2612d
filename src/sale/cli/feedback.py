"""`sale feedback`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from sale import config
from sale.cli.options import config_option, output
from sale.cli.store import enter_memory
from sale.types import USER, Verdict


@click.command()
@click.argument("auction")
@click.argument("verdict", type=click.Choice(["success", "failure", "unknown"]))
@click.option("--detail", default="", help="Why, in a few words.")
@config_option
def feedback(auction: str, verdict: Verdict, detail: str, config_file: Path | None) -> None:
    """Set the outcome of a past auction. AUCTION is its id or the beginning of it; `sale memory list` shows them."""
    asyncio.run(_feedback(config.load(config_file), auction, verdict, detail))
    output().print(f"auction {auction}: {verdict}, by user")


async def _feedback(settings: config.Settings, auction: str, verdict: Verdict, detail: str) -> None:
    async with enter_memory(settings) as memory:
        await memory.feedback(auction, verdict, judged_by=USER, detail=detail)
