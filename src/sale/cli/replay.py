"""`sale replay`: what other weights would have chosen on past traffic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict, Unpack

import click
from rich.table import Table

from sale import config
from sale.cli.board import money
from sale.cli.encode import document
from sale.cli.options import FiniteRange, config_option, json_option, output
from sale.cli.store import enter_memory
from sale.cli.tables import make_table
from sale.errors import InputError
from sale.learning.compare import ReplayedDecisions, compare
from sale.types import Example, Weights
from sale.wording import quantity

SAYS = (
    "What past auctions would have come to with each version of the weights: the share of tasks solved, dollars a "
    "task, and how many awards stay the same. Where that is not known, the bounds."
)


class _ReplayOptions(TypedDict):
    since: datetime | None
    imported: bool
    margin: float
    config_file: Path | None
    as_json: bool


@click.command()
@click.argument("versions", nargs=-1, type=int)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only auctions begun on this day (UTC) or later.")
@click.option(
    "--imported", is_flag=True, help="Of past work that was imported: what agents and a market would have done."
)
@click.option(
    "--margin",
    type=FiniteRange(0, 0.5, min_open=True),
    default=0.05,
    show_default=True,
    help="With --imported: as good means worse on no more than this share of the tasks.",
)
@config_option
@json_option
def replay(versions: tuple[int, ...], **options: Unpack[_ReplayOptions]) -> None:
    """Decide past auctions again by VERSIONS of the weights; by all of them where none is named.

    What would have come of an award that was not made is known only where the same agent worked on the task. Where it
    is not, the table gives the bounds, and for how many tasks.

    What is compared is the first award, by the best single bid: plans of several attempts rest on what a verifier finds
    at each, which no record of another award can tell.

    With --imported it says what each agent alone, and a market without auctions, would have made of past work that
    `sale import` added: dollars, share solved, intervals.
    """
    day = options["since"].replace(tzinfo=UTC) if options["since"] else None
    settings = config.load(options["config_file"])
    if options["imported"]:
        _replay_imported(settings, versions, day, options)
        return
    examples, named = asyncio.run(_read(settings, versions, day))
    found = compare(examples, named)
    if options["as_json"]:
        click.echo(document("replay", found))
        return
    output().print(SAYS)
    output().print(_table(found))
    fitted = ", ".join(name for name in found if name in named)
    output().print(
        f"{quantity(len(examples), 'auction')} on record. Weights look better on what they were fitted to: {fitted}."
    )


def _replay_imported(
    settings: config.Settings, versions: Sequence[int], since: datetime | None, options: _ReplayOptions
) -> None:
    if versions:
        raise click.UsageError("--imported fits weights on the imported work itself: name no VERSIONS with it.")
    # scikit-learn and the bench are slow to load, and `sale replay` of own traffic needs neither
    from sale.cli.past_screen import past_screen
    from sale.cli.past_trial import comparison, judge_memory

    report = judge_memory(settings, since, comparison(settings, options["margin"]))
    if options["as_json"]:
        click.echo(document("past-trial", {"report": report}))
        return
    output().print(past_screen(report))


async def _read(
    settings: config.Settings, versions: Sequence[int], since: datetime | None
) -> tuple[Sequence[Example], Mapping[str, Weights]]:
    async with enter_memory(settings) as memory:
        kept = {one.version: one.weights for one in await memory.weight_sets()}
        examples = await memory.examples(since)
    missing = [version for version in versions if version not in kept]
    if missing:
        raise InputError(
            f"there are no weights of version {missing[0]}", hint="`sale weights list` shows what there is."
        )
    wanted = versions or tuple(kept)
    if not wanted:
        raise InputError("there are no weights to compare yet", hint="`sale fit` makes some.")
    return examples, {f"version {version}": kept[version] for version in wanted}


def _table(found: Mapping[str, ReplayedDecisions]) -> Table:
    figures = ("solved", "cost of a task", "largest agent", "same award")
    table = make_table("weights", *figures, "awards", right=figures)
    for name, one in found.items():
        success = _between(one.success.value, one.success.low, one.success.high, "{:.0%}".format)
        dollars = _between(one.dollars.value, one.dollars.low, one.dollars.high, money)
        awards = ", ".join(f"{agent} {count}" for agent, count in one.awards.items())
        table.add_row(name, success, dollars, f"{one.reliance:.0%}", f"{one.agreed:.0%}", awards)
    return table


def _between(value: float | None, low: float, high: float, show: Callable[[float], str]) -> str:
    interval = f"{show(low)} to {show(high)}"
    return f"unknown, {interval}" if value is None else f"{show(value)} ({interval})"
