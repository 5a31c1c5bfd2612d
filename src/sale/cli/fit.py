"""`sale fit`: weights from the auctions on record."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import click

from sale import config
from sale.cli.encode import document
from sale.cli.options import config_option, json_option, output
from sale.cli.store import opened
from sale.cli.weights import described
from sale.errors import InputError
from sale.learning.fit import fit as fit_weights
from sale.types import Objective, WeightSet


@click.command()
@click.option(
    "--objective",
    type=click.Choice(["utility", "margin", "minmax"]),
    default="utility",
    show_default=True,
    help="What weights are to achieve; docs/learning.md says how they differ.",
)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only auctions begun on this day (UTC) or later.")
@click.option("--worth", type=click.FloatRange(min=0, min_open=True), help="What a solved task is worth, in dollars.")
@click.option("--folds", default=5, show_default=True, type=click.IntRange(min=2), help="Of the cross-validation.")
@click.option("--seed", default=0, show_default=True, help="Draws the folds.")
@click.option("--use", is_flag=True, help="Put the weights in use at once.")
@config_option
@json_option
def fit(
    *,
    objective: Objective,
    since: datetime | None,
    worth: float | None,
    folds: int,
    seed: int,
    use: bool,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Fit weights to the auctions on record, as the next version.

    Says how the same procedure did on tasks it had not seen. Nothing is decided by the new weights before
    `sale weights use`.
    """
    day = since.replace(tzinfo=UTC) if since else None
    found = asyncio.run(_fit(config.load(config_file), objective, day, worth, folds, seed, use=use))
    if as_json:
        click.echo(document("weights", found))
        return
    output().print(described(found))
    if not found.in_use:
        output().print(f"\nNot in use yet: `sale weights use {found.version}`, `sale replay {found.version}` compares.")


async def _fit(
    settings: config.Settings,
    objective: Objective,
    since: datetime | None,
    worth: float | None,
    folds: int,
    seed: int,
    *,
    use: bool,
) -> WeightSet:
    async with opened(settings) as memory:
        examples = await memory.examples(since)
        if not examples:
            raise InputError(
                "there is no settled auction to learn from",
                hint="Run tasks with a verifier, or say how they came out with `sale feedback`.",
            )
        stamp = since.date().isoformat() if since else None
        found = fit_weights(examples, objective, worth=worth, folds=folds, seed=seed, since=stamp)
        kept = await memory.add_weights(found.weights, found.training)
        if not use:
            return kept
        await memory.use_weights(kept.version)
        return await memory.weights_in_use() or kept
