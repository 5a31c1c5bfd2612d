"""`sale weights`: the versions on record, which is in use, and how two differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sale import config
from sale.auction.scoring import (
    PRIOR_BUDGET,
    PRIOR_ENTROPY_SHARE,
    PRIOR_EVIDENCE,
    PRIOR_PLAN_TOKENS,
    PRIOR_TRACK,
)
from sale.cli.encode import document
from sale.cli.options import config_option, json_option, output
from sale.cli.store import with_memory
from sale.cli.tables import make_table
from sale.cli.weights_in_force import explain_given, in_force, prior_of
from sale.errors import InputError
from sale.learning.drift import DriftFinding, drift
from sale.learning.verdicts import weigh_verdicts
from sale.learning.weight_terms import explain_decision, list_terms
from sale.memory.records import WeightUse
from sale.memory.store import AuctionMemory
from sale.shipped import SOURCE, knowledge_of
from sale.types import CheckedAnswer, Example, Training, Weights, WeightSet
from sale.wording import quantity

if TYPE_CHECKING:
    from sale.learning.health import JurorHealth

DEFAULT = "default"
MAX_DIGITS = 9
"""Of a version."""
DEFAULT_SAYS = (
    "Weights default: a stated prior, fitted on nothing. Full marks of the jury and full entropy are worth "
    f"{PRIOR_BUDGET:g} plans of {PRIOR_PLAN_TOKENS} tokens at the pool's highest price, {PRIOR_ENTROPY_SHARE:.0%} of "
    f"it for entropy. Points for what an agent found count {PRIOR_EVIDENCE:g} times as much. Success at all "
    f"like tasks against none is worth {PRIOR_TRACK:g} times that. `sale fit` makes others from your "
    "own records."
)
"""Return the default weights in words."""
HEADLINE = {"pass@1": "solved", "dollars": "$ a task", "reliance": "dearest"}
"""Held-out measures that the list shows, and their headings."""
LISTED = (
    "How weights fitted the same way did on tasks they had not seen, with 95 % intervals: the share of tasks solved, "
    "dollars a task, and the share given to the dearest agent."
)
JURY_SAYS = (
    "Can the jury be believed? tells success from failure: how often the juror scored a success above a failure at "
    "tasks of one kind; 0.5 is chance, 1 is always (the area under the curve). score − success: 0 is right, above it "
    "the juror is too kind. With 95 % intervals."
)
SAID = {
    "pass@1": "share of tasks solved (pass@1)",
    "dollars": "dollars a task, auction included",
    "reliance": "share of tasks given to the dearest agent (reliance)",
    "regret": "share of tasks that a perfect choice solves beyond (regret)",
    "gain": "share of tasks solved beyond the dearest agent alone (gain)",
    "slope": "do chances spread as outcomes do? 1 is right, below 1 they spread too far (calibration slope)",
    "bias": "are chances too low or too high? 0 is right (calibration bias)",
}
"""Held-out measures in words."""


@click.group()
def weights() -> None:
    """Fitted weights: list, show, use, diff, check; how the jury does; when auctions pay. `sale fit` makes them."""


@weights.command("list")
@config_option
@json_option
def list_weights(config_file: Path | None, *, as_json: bool) -> None:
    """Every version, and how it did on tasks it had not seen."""
    found, uses = with_memory(config_file, _listed)
    settings = config.load(config_file)
    given = explain_given(settings)
    found = [_in_force(one, settings) for one in found]
    if as_json:
        click.echo(document("weight_sets", found))
        return
    if not found:
        own = "shipped" if knowledge_of(settings) else "default"
        output().print(f"Only the {own} weights so far; `sale fit` makes others.")
        if given:
            output().print(given)
        return
    figures = tuple(HEADLINE.values())
    table = make_table("version", "made (UTC)", "objective", "auctions", *figures, "in use", right=figures)
    for one in found:
        figures = [_figure(one.training, name) for name in HEADLINE]
        cells = (str(one.version), one.made_at[:16].replace("T", " "), one.training.objective)
        table.add_row(*cells, str(one.training.auctions), *figures, "yes" if one.in_use else "")
    output().print(LISTED)
    output().print(table)
    if given:
        output().print(given)
    if uses:
        output().print("Used: " + ", ".join(f"{_named(use.version)} from {use.at:%Y-%m-%d %H:%M}" for use in uses))


@weights.command()
@click.argument("version", required=False)
@config_option
@json_option
def show(version: str | None, config_file: Path | None, *, as_json: bool) -> None:
    """One version: what it weighs, what it was fitted on, how it did held out.

    VERSION is a number, or `shipped`: what comes with sale for the embedded pool, or `default`: what decides where
    nothing was fitted. Without it the weights in use are shown.
    """
    if version is None:
        settings = config.load(config_file)
        used, _ = with_memory(config_file, lambda memory: in_force(memory, settings))
        version = DEFAULT if used is None else str(used.version or SOURCE)
        if (given := explain_given(settings)) and not as_json:
            output().print(given)
    if version == DEFAULT:
        click.echo(document("weights", None)) if as_json else output().print(describe_default(config_file))
        return
    if version == SOURCE:
        found = _shipped(config.load(config_file))
    else:
        number = _number_of(version, SOURCE)
        found = _in_force(with_memory(config_file, lambda memory: _version(memory, number)), config.load(config_file))
    if as_json:
        click.echo(document("weights", found))
    else:
        output().print(describe_version(found))


def describe_default(config_file: Path | None) -> Group:
    """The default weights in words, and in the numbers of the pool where it can be made."""
    prior = prior_of(config.load(config_file))
    return Group(Text(DEFAULT_SAYS), *([] if prior is None else [Text(), *_term_tables(prior)]))


@weights.command()
@click.argument("version")
@config_option
def use(version: str, config_file: Path | None) -> None:
    """Decide auctions by VERSION from now on, or by the default weights again: `sale weights use default`."""
    number = None if version == DEFAULT else _number_of(version, DEFAULT)
    settings = config.load(config_file)
    with_memory(config_file, lambda memory: memory.use_weights(number))
    known = knowledge_of(settings) if number is None else None
    output().print(f"Auctions are decided by {'the shipped weights' if known else _named(number)} from now on.")
    if settings.weights is not None:
        output().print(f"But not while {settings.origin} has weights of its own: remove its [weights].")


@weights.command()
@click.argument("before", type=int)
@click.argument("after", type=int)
@config_option
def diff(before: int, after: int, config_file: Path | None) -> None:
    """Show the differences of two versions."""

    async def both(memory: AuctionMemory) -> tuple[WeightSet, WeightSet]:
        return await _version(memory, before), await _version(memory, after)

    old, new = ({term.label: term.value for term in list_terms(one.weights)} for one in with_memory(config_file, both))
    versions = (f"version {before}", f"version {after}")
    table = make_table("term", *versions, right=versions)
    names = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    for name in names:
        table.add_row(name, _number(old.get(name)), _number(new.get(name)))
    output().print(table if names else "They weigh alike.")


@weights.command()
@config_option
@json_option
def check(config_file: Path | None, *, as_json: bool) -> None:
    """Check the weights in use by the outcomes since they were made. Proposes a refit; changes nothing."""
    settings = config.load(config_file)

    async def both(memory: AuctionMemory) -> tuple[WeightSet | None, Sequence[Example]]:
        used, later = await in_force(memory, settings)
        return used, weigh_verdicts(later, await memory.checked_answers(), settings.auction.check)

    used, examples = with_memory(config_file, both)
    if used is None:
        raise InputError(
            "the default weights are in use: they are a prior, and claim nothing that could be checked",
            hint="`sale fit --use` puts fitted ones in use.",
        )
    found = find_drift(examples, used)
    if as_json:
        click.echo(document("findings", found))
        return
    if given := explain_given(settings):
        output().print(given)
    judged = sum(len(example.work) for example in examples)
    for one in found:
        output().print(one.message)
    verdict = "`sale fit` makes new ones." if found else "nothing speaks against them."
    since = "since they were made" if used.made_at else "on record"
    output().print(f"Weights {used.version or SOURCE}, {quantity(judged, 'judged execution')} {since}: {verdict}")


@weights.command()
@config_option
@json_option
def jury(config_file: Path | None, *, as_json: bool) -> None:
    """Jury health: how well each juror's scores tell success from failure, and whether they mean what they say.

    By all outcomes on record. An area of 0.5 says nothing; 1 is a juror that scores every success above every failure.
    """
    from sale.learning.health import jury_health

    found = jury_health(with_memory(config_file, lambda memory: memory.examples()))
    if as_json:
        click.echo(document("jurors", found))
        return
    output().print(JURY_SAYS if found else "No work on record was both scored by a juror and judged.")
    if found:
        output().print(_jury_table(found))


@weights.command("map")
@config_option
@json_option
def break_even(config_file: Path | None, *, as_json: bool) -> None:
    """When an auction pays: how well jurors must tell, and how little an auction may cost, by your own records.

    Past auctions are awarded again with simulated jurors of each quality; see "When an auction pays" in the docs. Where
    only the winner's outcome is known the others are drawn from a success model fitted on what is known.
    """
    from sale.cli.break_even import described_map, own_map

    found = own_map(with_memory(config_file, lambda memory: memory.examples()))
    if as_json:
        click.echo(document("break_even", found))
    else:
        output().print(described_map(found))


@weights.command()
@config_option
@json_option
def checks(config_file: Path | None, *, as_json: bool) -> None:
    """Show how often checks of answers are wrong, by later feedback, and whether each is strong enough to pay.

    A check is a verifier: tests, a reference answer, a judging model. Feedback is `sale feedback`, or the gateway's.
    """
    from sale.cli.checks import SAYS, check_table, estimate_checks

    settings = config.load(config_file)

    async def both(memory: AuctionMemory) -> tuple[Sequence[CheckedAnswer], WeightSet | None, Sequence[Example]]:
        used, _ = await in_force(memory, settings)
        return await memory.checked_answers(), used, await memory.examples()

    answers, used, examples = with_memory(config_file, both)
    found = estimate_checks(answers, settings.auction, used.weights if used else None, examples)
    if as_json:
        click.echo(document("checks", found))
        return
    output().print(SAYS if found else "No answer on record was judged by a check.")
    if found:
        output().print(check_table(found))


def _jury_table(found: Sequence[JurorHealth]) -> Table:
    figures = ("scored", "silent", "tells success\nfrom failure", "score −\nsuccess")
    table = make_table("juror", *figures, "solved, by score", right=figures)
    for one in found:
        bands = ", ".join(f"{band.low:.1f}–{band.high:.1f}: {band.solved} of {band.scored}" for band in one.bands)
        table.add_row(one.juror, str(one.scored), str(one.silent), _interval(one.area), _interval(one.bias), bands)
    return table


def _interval(found: tuple[float, float, float] | None) -> str:
    return "–" if found is None else f"{found[0]:.2f} ({found[1]:.2f} to {found[2]:.2f})"


def describe_version(found: WeightSet) -> Group:
    """A version in full, for people."""
    training = found.training
    since = f" since {training.since}" if training.since else ""
    heading = Text(f"Weights, {f'version {found.version}' if found.version else SOURCE}", style="bold")
    heading.append("  in use" if found.in_use else "", style="green")
    when = f"{found.made_at[:16].replace('T', ' ')} UTC " if found.made_at else ""
    seen = f"{quantity(training.auctions, 'auction')}{since}, {quantity(training.judged, 'judged execution')}"
    made = f"{training.objective}, fitted {when}on {seen}"
    held = make_table("on tasks not seen in fitting", "mean", "95 % interval", right=("mean", "95 % interval"))
    for name, (value, low, high) in training.held_out.items():
        held.add_row(SAID.get(name, name), _number(value), f"{_number(low)} to {_number(high)}")
    settings = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in training.settings.items()
    )
    notes = [Text(f"Note: {note}") for note in training.notes]
    decided = Text(explain_decision(found.weights))
    measured = [] if not training.held_out else [Text("How weights fitted the same way did:"), held]
    fitted = [Text(f"Settings of the fit: {settings}")] if settings else []
    return Group(heading, Text(made), *fitted, Text(), decided, Text(), *_term_tables(found.weights), *measured, *notes)


def _term_tables(found: Weights) -> list[RenderableType]:
    """Return the terms of weights, each group under a sentence that says what it is."""
    parts: list[RenderableType] = []
    for group, terms in groupby(list_terms(found), key=lambda term: term.group):
        listed = tuple(terms)
        table = make_table(group, "value", right=("value",))
        for term in listed:
            table.add_row(term.name, _number(term.value))
        parts += [Text(listed[0].explained), table] if listed else []
    return parts


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _figure(training: Training, name: str) -> str:
    if name not in training.held_out:
        return "–"
    value, low, high = training.held_out[name]
    return f"{_number(value)} ({_number(low)} to {_number(high)})"


def _named(version: int | None) -> str:
    return "the default weights" if version is None else f"version {version}"


async def _listed(memory: AuctionMemory) -> tuple[Sequence[WeightSet], Sequence[WeightUse]]:
    return await memory.weight_sets(), await memory.weight_uses()


def find_drift(examples: Sequence[Example], used: WeightSet) -> tuple[DriftFinding, ...]:
    """Where the success model of weights is off.

    Raises:
        InputError: They have none.
    """
    if used.weights.model is None:
        raise InputError(
            f"weights {used.version} hold no success model, so they predict nothing that could be checked",
            hint="`sale fit --objective utility` makes weights that do.",
        )
    return drift(examples, used.weights.model)


def _in_force(found: WeightSet, settings: config.Settings) -> WeightSet:
    """Return a version, not in use where the settings have weights of their own."""
    return replace(found, in_use=found.in_use and settings.weights is None)


def _shipped(settings: config.Settings) -> WeightSet:
    """Return the weights that come with sale, as version 0.

    Raises:
        InputError: It is not for this pool.
    """
    known = knowledge_of(settings)
    if known is None:
        raise InputError("nothing is shipped for this pool", hint="It is for the embedded pool, unchanged.")
    return known.weight_set


def _number_of(version: str, otherwise: str) -> int:
    if not version.isdecimal() or len(version) > MAX_DIGITS:
        raise InputError(
            f"{version!r} is no version", hint=f"A number that `sale weights list` shows, or `{otherwise}`."
        )
    return int(version)


async def _version(memory: AuctionMemory, version: int) -> WeightSet:
    for one in await memory.weight_sets():
        if one.version == version:
            return one
    raise InputError(f"there are no weights of version {version}", hint="`sale weights list` shows what there is.")
