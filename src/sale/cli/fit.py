"""`sale fit`: weights from the auctions on record."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import click

from sale import config
from sale.cli.encode import document
from sale.cli.options import FiniteRange, config_option, json_option, output
from sale.cli.store import enter_memory
from sale.cli.weights import describe_version
from sale.cli.weights_in_force import explain_given, in_force
from sale.errors import InputError
from sale.learning.check_errors import usual_errors
from sale.learning.fit import fit as fit_weights
from sale.learning.objectives import BaseObjective, objective_of
from sale.learning.refit_trigger import RefitTrigger, check_refit
from sale.learning.spending import BEYOND, MatchBestAgent, SpendShare, Wanted
from sale.learning.verdicts import weigh_verdicts
from sale.types import AuctionRules, CheckErrors, WeightSet


class _FitOptions(TypedDict):
    objective: str | None
    since: datetime | None
    worth: float | None
    spend: float | Literal["match"] | None
    beyond: float | None
    folds: int
    seed: int
    use: bool
    if_due: bool
    config_file: Path | None
    as_json: bool


def _share(_: click.Context, __: click.Parameter, value: str | None) -> float | Literal["match"] | None:
    """`match`, or a share."""
    if value is None or value == "match":
        return value
    try:
        share = float(value)
    except ValueError:
        share = math.nan
    if not 0.0 < share < math.inf:
        raise click.BadParameter(f"{value!r} is no share: give a number above 0, 0.5 for half, or match.")
    return share


@click.command()
@click.option(
    "--objective",
    metavar="NAME",
    help="What weights are to achieve: utility, margin, minmax, one of an installed package, or package.module:Name. "
    "Unless given, as [learning] in sale.toml says, else utility; docs/learning.md says how they differ.",
)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only auctions begun on this day (UTC) or later.")
@click.option("--worth", type=FiniteRange(min=0, min_open=True), help="What a solved task is worth, in dollars.")
@click.option(
    "--spend",
    metavar="match|SHARE",
    callback=_share,
    help="In its place: `match`, as little as solves as many as the best agent; or a share of what that one costs. "
    "Else as the weights in use were told, or `match`.",
)
@click.option(
    "--beyond",
    type=FiniteRange(min=0),
    help="With `match`: a solved task more may always cost so many times what the best agent alone pays for one; "
    f"0: nothing beyond the match. Else as the weights in use were told, or {BEYOND:g}.",
)
@click.option("--folds", default=5, show_default=True, type=click.IntRange(min=2), help="Of the cross-validation.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws the folds.")
@click.option("--use", is_flag=True, help="Put the weights in use at once.")
@click.option("--if-due", is_flag=True, help="Only if drift or new outcomes ask for it; says why, or why not.")
@config_option
@json_option
def fit(**options: Unpack[_FitOptions]) -> None:
    """Fit weights to the auctions on record, as the next version.

    Says how the same procedure did on tasks it had not seen. Nothing is decided by the new weights before
    `sale weights use`. From time to time, `sale fit --if-due --use` keeps them up to date; `sale weights list` shows
    what was in use when, and `sale weights use` goes back.
    """
    settings, as_json = config.load(options["config_file"]), options["as_json"]
    _check_goal(options)
    since = options["since"].replace(tzinfo=UTC) if options["since"] else None
    if options["if_due"]:
        asked = asyncio.run(_due(settings, since))
        if not (as_json and asked.due):
            click.echo(document("due", asked)) if as_json else output().print("\n".join(asked.reasons), soft_wrap=True)
        if not asked.due:
            return
    found = asyncio.run(_fit(settings, since, options))
    if as_json:
        click.echo(document("weights", found))
        return
    output().print(describe_version(found))
    if not found.in_use:
        output().print(f"\nNot in use yet: `sale weights use {found.version}`, `sale replay {found.version}` compares.")
    if given := explain_given(settings):
        output().print(f"\n{given}")


async def _due(settings: config.Settings, since: datetime | None) -> RefitTrigger:
    async with enter_memory(settings) as memory:
        used, later = await in_force(memory, settings)
        answers, errors = await memory.checked_answers(), settings.auction.check
        return check_refit(await memory.examples(since), used, weigh_verdicts(later, answers, errors))


def _objective(learning: config.LearningSettings, named: str | None) -> BaseObjective:
    """The one the command line names, else that of the settings, with what they say of it."""
    own = named is None or named == learning.objective
    return objective_of(named or learning.objective, learning.options if own else None)


def _asked(options: _FitOptions, used: WeightSet | None, rules: AuctionRules, check: CheckErrors) -> Wanted:
    """The goal the command line names, else that of the weights in use: a refit must not change how much is spent."""
    worth, spend, beyond = options["worth"], options["spend"], options["beyond"]
    told: Mapping[str, float | str] = used.training.settings if used is not None else {}
    if worth is None and spend is None and beyond is None and "worth" in told and "spend" not in told:
        worth = float(told["worth"])
    if worth is not None:
        return worth
    if spend is None:
        spend = "match" if beyond is not None else told.get("spend", "match")
    if spend != "match":
        return SpendShare(float(spend), rules.attempts, rules.hold, check)
    before = float(told.get("beyond", 0.0)) if told.get("spend") == "match" else BEYOND
    return MatchBestAgent(rules.attempts, rules.hold, before if beyond is None else beyond, check)


def _check_goal(options: _FitOptions) -> None:
    worth, spend, beyond = options["worth"], options["spend"], options["beyond"]
    if worth is not None and spend is not None:
        raise click.UsageError("--worth and --spend both say what a solved task is worth: give one of them.")
    if beyond is not None and (worth is not None or spend not in {None, "match"}):
        raise click.UsageError("--beyond goes with --spend match only.")


async def _fit(settings: config.Settings, since: datetime | None, options: _FitOptions) -> WeightSet:
    objective = _objective(settings.learning, options["objective"])
    async with enter_memory(settings) as memory:
        examples = await memory.examples(since)
        if not examples:
            raise InputError(
                "there is no settled auction to learn from",
                hint="Run tasks with a verifier, or say how they came out with `sale feedback`.",
            )
        used = (await in_force(memory, settings))[0]
        answers, errors = await memory.checked_answers(), settings.auction.check
        stamp = since.date().isoformat() if since else None
        found = fit_weights(
            weigh_verdicts(examples, answers, errors),
            objective,
            worth=_asked(options, used, settings.auction, usual_errors(answers, errors)),
            folds=options["folds"],
            seed=options["seed"],
            since=stamp,
        )
        kept = await memory.add_weights(found.weights, found.training)
        if not options["use"]:
            return kept
        await memory.use_weights(kept.version)
        return await memory.weights_in_use() or kept
