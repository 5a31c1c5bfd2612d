"""`sale shadow`: what a switch from the incumbent to the market would save."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from sale import config
from sale.cli.board import money, plain
from sale.cli.encode import document
from sale.cli.options import DAYS, config_option, json_option, output
from sale.cli.store import enter_memory
from sale.cli.tables import make_table
from sale.server.shadow_report import ALARMS, ArmReport, Estimate, ShadowReport, read_report
from sale.server.store.store import ServerStore

ROWS = (
    *("conversations", "requests", "with the incumbent", "with the market", "of it auctions", "saved", "95 %"),
    *("share saved", "95 %", "success", "judged", "undecided"),
)


@click.group()
def shadow() -> None:
    """Report on the market that runs in the incumbent's shadow."""


@shadow.command()
@click.option("--days", type=DAYS, help="Conversations that began in the last so many days.")
@config_option
@json_option
def report(days: int | None, config_file: Path | None, *, as_json: bool) -> None:
    """Show what the market would have saved (shadow), what it does save (canary), and whether it does worse."""
    since = None if days is None else datetime.now(UTC) - timedelta(days=days)
    found = asyncio.run(_read(config_file, since))
    if as_json:
        click.echo(document("shadow", found))
    elif not (found.shadow.conversations or found.canary.conversations):
        waiting = found.shadow.undecided + found.canary.undecided
        more = f" {waiting:,} without an auction so far." if waiting else ""
        output().print(
            f'No conversation has been compared yet. [server] mode = "shadow" begins it.{more}', markup=False
        )
    else:
        _print(found)


async def _read(config_file: Path | None, since: datetime | None) -> ShadowReport:
    settings = config.load(config_file)
    config.secure_data_directory()
    async with await ServerStore.open(config.server_database(settings)) as store:
        if not settings.memory.enabled:
            return await read_report(store.shadow, None, since)
        async with enter_memory(settings) as memory:
            return await read_report(store.shadow, memory, since)


def _print(found: ShadowReport) -> None:
    table = make_table("", "shadow", "canary", right=("shadow", "canary"))
    for cells in zip(ROWS, _cells(found.shadow), _cells(found.canary), strict=True):
        table.add_row(*cells)
    output().print(table)
    for name, arm in (("would have chosen", found.shadow), ("chose", found.canary)):
        if arm.agents:
            chosen = ", ".join(f"{plain(agent)} {count:,}" for agent, count in arm.agents.items())
            output().print(f"The market {name}: {chosen}.")
    if (difference := found.success_difference) is not None:
        output().print(
            f"Success of the canary less the shadow's: {difference.value:+.1%} ({_range(difference, share=True)})."
        )
    output().print("The other's bill is an estimate: the same tokens at its price. Auctions count against the market.")
    for kind in found.alarms:
        output().print(f"Alarm: {ALARMS[kind]}, with 95 % confidence.")


def _cells(arm: ArmReport) -> tuple[str, ...]:
    return (
        f"{arm.conversations:,}",
        f"{arm.requests:,}",
        money(arm.incumbent_dollars),
        money(arm.market_dollars),
        money(arm.auction_dollars),
        "–" if arm.saved is None else _signed(arm.saved.value),
        _range(arm.saved),
        "–" if arm.share is None else f"{arm.share.value:.1%}",
        _range(arm.share, share=True),
        "–" if arm.success is None else f"{arm.success:.1%}",
        f"{arm.judged:,}",
        f"{arm.undecided:,}",
    )


def _range(estimate: Estimate | None, *, share: bool = False) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return "–"
    if share:
        return f"{estimate.low:.1%} to {estimate.high:.1%}"
    return f"{_signed(estimate.low)} to {_signed(estimate.high)}"


def _signed(dollars: float) -> str:
    return f"{'−' if dollars < 0 else ''}{money(abs(dollars))}"
