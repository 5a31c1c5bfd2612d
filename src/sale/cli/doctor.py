"""`sale doctor`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from sale import config
from sale.cli.board import money, plain
from sale.cli.encode import document
from sale.cli.options import config_option, json_option, output
from sale.cli.progress import ProgressReport
from sale.cli.streams import tell
from sale.cli.tables import make_table
from sale.config.own_address import own_endpoints

if TYPE_CHECKING:
    from sale.agents.checkup import Checkup
    from sale.agents.jury_seats import JurorCheckup

NOTHING_TO_READ = (
    "No agent looks before it bids, so it has nothing to read. Set look = 1 in the table of an agent, or "
    'reads = "plan" or "bid" in that of the juror.'
)


@click.command()
@config_option
@json_option
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@click.option(
    "--abilities", is_flag=True, help="Also ask each endpoint what it takes: a dozen small requests, a few tokens each."
)
@click.option("--quick", is_flag=True, help="Ask for no plans and no ballots: one tiny call for each agent.")
def doctor(config_file: Path | None, *, as_json: bool, quiet: bool, abilities: bool, quick: bool) -> None:
    """Check every agent: is it there, can it bid, and what does the auction miss?

    One tiny call shows whether an agent is there. Then it is asked for a plan of a small task, and if it judges for the
    scores of one; --quick leaves that out. Programs and functions, and jurors that sale.toml names, are asked nothing.

    Where an endpoint refuses that call, a dozen small requests find out which fields and contents it does not take
    (`max_tokens`, a temperature, schemas, tools, images, …), and what to write into sale.toml is shown. --abilities
    asks every endpoint so.

    Ends with code 1 if an agent cannot be reached, no agent can bid, or a juror cannot be made.
    """
    settings = config.load(config_file)
    for place, url in own_endpoints(settings).items():
        tell(f"{place}: at {url} `sale serve` itself would listen with these settings, so it refuses to start")
    checkups, jurors = asyncio.run(_examine(settings, quiet=quiet, abilities=abilities, quick=quick))
    if as_json:
        click.echo(document("doctor", checkups, jurors=jurors))
    else:
        output().print(f"Settings: {settings.origin}")
        output().print(_table(checkups))
        output().print(f"{plain(_jury(settings))}\n")
        for checkup in checkups:
            _print_checkup(checkup)
        for juror in jurors:
            _print_juror(juror)
    if not as_json and not any(_can_bid(one) for one in checkups):
        output().print(Text("No agent can bid, so no auction can be held.", style="red"))
    sound = all(one.reachable for one in checkups) and any(_can_bid(one) for one in checkups)
    if not sound or any(juror.fault for juror in jurors):
        raise click.exceptions.Exit(1)


def _can_bid(checkup: Checkup) -> bool:
    return checkup.reachable and checkup.plan is not False


def _jury(settings: config.Settings) -> str:
    """The line that says who judges bids."""
    agents = [agent.name for agent in settings.agents if settings.judges(agent)]
    jurors = [juror.name for juror in settings.jurors]
    named = ", ".join([*jurors, *agents]) or "none"
    left_out = bool(jurors) and any(agent.juror and not settings.judges(agent) for agent in settings.agents)
    why = "; with [[jurors]] an agent judges only where its table has judge = true" if left_out else ""
    return f"On the jury: {named}{why}."


def _print_checkup(checkup: Checkup) -> None:
    for lack in checkup.lacks:
        output().print(Text.assemble((f"{checkup.agent}: ", "bold"), plain(lack.what)))
        output().print(f"  It costs the auction: {lack.costs}. {plain(lack.remedy)}")
    for name, why in checkup.unknown.items():
        output().print(Text.assemble((f"{checkup.agent}: ", "bold"), plain(f"{name} is not known: {why}")))
    if checkup.write:
        output().print(f"Write into the table of {checkup.agent} in sale.toml:")
        for line in checkup.write:
            output().print(Text(f"  {line}"))


def _print_juror(juror: JurorCheckup) -> None:
    name = (f"Juror {juror.juror}: ", "bold")
    if juror.fault is not None:
        output().print(Text.assemble(name, (plain(juror.fault), "red")))
        return
    output().print(Text.assemble(name, plain(f"kind {juror.kind}, reads {juror.reads}; ready")))
    if juror.idle:
        output().print(Text(f"  {NOTHING_TO_READ}"))


async def _examine(
    settings: config.Settings, *, quiet: bool, abilities: bool, quick: bool
) -> tuple[list[Checkup], list[JurorCheckup]]:
    """One agent after the other: small machines answer several at once slowly, and the times would mislead."""
    from sale.agents.checkup import examine
    from sale.agents.jury_seats import examine_jurors
    from sale.agents.pool import build_agents

    contractors = build_agents(settings)
    tables = {agent.name: agent for agent in settings.agents}
    checkups: list[Checkup] = []
    try:
        with ProgressReport(quiet=quiet) as report:
            row = report.row("checking", total=len(contractors), unit="agent", every=0.0)
            for done, contractor in enumerate(contractors):
                row.update(done, note=f"{contractor.name} …")
                table = tables[contractor.name]
                rules = None if quick else settings.auction
                judges = settings.judges(table)
                checkups.append(await examine(contractor, table, abilities=abilities, rules=rules, judges=judges))
        return checkups, examine_jurors(settings, contractors)
    finally:
        for contractor in contractors:
            await contractor.aclose()


def _table(checkups: list[Checkup]) -> Table:
    figures = ("$/Mt", "seconds", "cost")
    found = ("there", "log-\nprobs", "schema", "plan", "ballot")
    spare = ("cost", "seconds", "$/Mt")
    table = make_table("agent", "$/Mt", *found, "seconds", "cost", right=figures, whole=("agent",), spare=spare)
    for one in checkups:
        table.add_row(
            one.agent,
            f"{one.price.blended:g}",
            *map(_tick, (one.reachable, one.logprobs, one.json_schema, one.plan, one.ballot)),
            "–" if one.seconds is None else f"{one.seconds:.2f}",
            "–" if one.dollars is None else money(one.dollars),
        )
    return table


def _tick(good: bool | None) -> Text:
    if good is None:
        return Text("–")
    return Text("yes", style="green") if good else Text("no", style="red")
