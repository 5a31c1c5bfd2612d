"""`sale import`: past work from logs of other programs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import click

from sale import config
from sale.cli.board import money, plain
from sale.cli.encode import document
from sale.cli.options import FILE, config_option, json_option, output
from sale.cli.past_files import FileOptions, file_options, pool_prices, read_files, refuse_bad, said_of
from sale.cli.store import enter_memory
from sale.cli.tables import make_table
from sale.errors import InputError
from sale.memory.importers.into_memory import observed_prices, with_prices
from sale.memory.importers.past_work import PastWork
from sale.memory.importers.read import ReadFile
from sale.types import Price
from sale.wording import quantity


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentWork:
    """Counts and costs of one agent's works in the files of an import."""

    agent: str
    in_pool: bool
    works: int
    judged: int
    successes: int
    costed: int
    """Works whose dollars are known."""
    dollars: float
    """Of those."""
    price: float | None
    """Dollars per million tokens; `None` where it is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastWorkReport:
    """The result of an import."""

    formats: Mapping[str, str]
    """By file."""
    added: int
    present: int
    passed_by: int
    bad: tuple[str, ...]
    stored: bool
    agents: tuple[AgentWork, ...]


class _ImportOptions(FileOptions):
    no_texts: bool
    skip_bad: bool
    dry_run: bool
    config_file: Path | None
    as_json: bool


@click.command(name="import")
@click.argument("files", nargs=-1, required=True, type=FILE)
@file_options
@click.option("--no-texts", is_flag=True, help="Keep embeddings and outcomes alone, no text of a task or an answer.")
@click.option("--skip-bad", is_flag=True, help="Leave out what is malformed, instead of importing nothing.")
@click.option("--dry-run", is_flag=True, help="Say what is in the files, and import nothing.")
@config_option
@json_option
def import_(files: tuple[Path, ...], **options: Unpack[_ImportOptions]) -> None:
    """Add past work in FILES to the auction memory: it counts in track records, in costs and in `sale fit`.

    Read are logs of Inspect, results of Harbor and Terminal-Bench, spend logs of LiteLLM, OpenTelemetry spans (OTLP
    JSON), exports of Langfuse and LangSmith, and CSV tables: task,agent,success,dollars,tokens,text. What is there
    already stays as it is. `sale memory forget --source import:FILE` takes a file's work out again.
    """
    settings = config.load(options["config_file"])
    found = read_files(files, said_of(options), settings)
    if not options["skip_bad"]:
        refuse_bad(found, "Nothing was imported. --skip-bad leaves out what is malformed.")
    if not any(file.works for file in found):
        raise InputError("there is no work in it", where=", ".join(file.name for file in found))
    report = asyncio.run(_import(settings, found, texts=not options["no_texts"], store=not options["dry_run"]))
    if options["as_json"]:
        click.echo(document("import", report))
        return
    _print(report)


async def _import(settings: config.Settings, files: Sequence[ReadFile], *, texts: bool, store: bool) -> PastWorkReport:
    prices = pool_prices(settings)
    added = present = 0
    if store:
        async with enter_memory(settings) as memory:
            for file in files:
                done = await memory.import_work(file, prices=prices, texts=texts)
                added, present = added + done.added, present + done.present
    works = with_prices([work for file in files for work in file.works], prices)
    return PastWorkReport(
        formats={file.name: file.format for file in files},
        added=added,
        present=present,
        passed_by=sum(file.passed_by for file in files),
        bad=tuple(fault for file in files for fault in file.bad),
        stored=store,
        agents=tuple(_summaries(works, prices, {agent.name for agent in settings.agents})),
    )


def _summaries(works: Sequence[PastWork], prices: Mapping[str, Price], pool: set[str]) -> list[AgentWork]:
    rates = observed_prices(works, prices)
    found: list[AgentWork] = []
    for name in sorted({work.agent for work in works}):
        own = [work for work in works if work.agent == name]
        paid = [work.dollars for work in own if work.dollars is not None]
        found.append(
            AgentWork(
                agent=name,
                in_pool=name in pool,
                works=len(own),
                judged=sum(work.verdict != "unknown" for work in own),
                successes=sum(work.verdict == "success" for work in own),
                costed=len(paid),
                dollars=sum(paid),
                price=rates.get(name),
            )
        )
    return found


def _print(report: PastWorkReport) -> None:
    screen = output()
    for name, kind in report.formats.items():
        screen.print(f"{plain(name)}: {kind}")
    figures = ("works", "solved", "cost of a task", "$ per million tokens")
    table = make_table("agent", *figures, right=figures)
    for one in report.agents:
        solved = f"{one.successes} of {one.judged}" if one.judged else "not judged"
        cost = money(one.dollars / one.costed) if one.costed else "not known"
        price = "not known" if one.price is None else f"{one.price:.4g}"
        table.add_row(plain(one.agent), str(one.works), solved, cost, price)
    screen.print(table)
    if report.stored:
        screen.print(
            f"{quantity(report.added, 'work')} added; here already: {report.present:,}; malformed: {len(report.bad):,}"
        )
    else:
        screen.print(f"Nothing was imported (--dry-run); {len(report.bad)} malformed")
    if report.passed_by:
        screen.print(f"{report.passed_by} parts are no work of a model, and were passed by")
    for fault in report.bad:
        screen.print(f"  {plain(fault)}")
    strangers = [one.agent for one in report.agents if not one.in_pool]
    if strangers:
        names = ", ".join(strangers)
        screen.print(f"Not in sale.toml, so no track record of its agents: {names}. --as NAME=AGENT says who they are.")
