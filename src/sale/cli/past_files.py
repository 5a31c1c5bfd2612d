"""Files of past work on the command line: what the user says of them, and which agents of the pool they name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import click

from sale import config
from sale.agents.pool import agent_price
from sale.cli.options import F, FiniteRange
from sale.errors import InputError, UnpricedAgentError
from sale.memory.importers.past_work import ReadOptions
from sale.memory.importers.read import IMPORTERS, ReadFile, read_past_work
from sale.types import Price

MAX_SHOWN = 20
"""Faults that an error lists."""


class FileOptions(TypedDict):
    """Options of a command that describe the files."""

    format_name: str | None
    agent: str | None
    renamed: Mapping[str, str]
    score: str | None
    pass_mark: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """The same, for readers."""

    format_name: str | None
    reading: ReadOptions
    renamed: Mapping[str, str]


def said_of(options: FileOptions) -> Said:
    """Return what the options say of the files, for readers."""
    reading = ReadOptions(agent=options["agent"], score=options["score"], pass_mark=options["pass_mark"])
    return Said(format_name=options["format_name"], reading=reading, renamed=options["renamed"])


def _renamed(_: click.Context, __: click.Parameter, pairs: tuple[str, ...]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, agent = pair.partition("=")
        if not (name and equals and agent):
            raise click.BadParameter(f"{pair!r} is not of the form NAME=AGENT.")
        found[name] = agent
    return found


def file_options(command: F) -> F:
    """`--format`, `--agent`, `--as`, `--score`, `--pass-mark`."""
    for option in (
        click.option(
            "--format", "format_name", type=click.Choice(list(IMPORTERS)), help="Found by content if not given."
        ),
        click.option("--agent", help="Whose work it is, where the file does not say."),
        click.option(
            "--as",
            "renamed",
            metavar="NAME=AGENT",
            multiple=True,
            callback=_renamed,
            help="Take what the file calls NAME for the agent AGENT of sale.toml. Models are matched by themselves.",
        ),
        click.option("--score", help="Which score decides the outcome; the first one unless given."),
        click.option(
            "--pass-mark",
            type=FiniteRange(),
            default=0.5,
            show_default=True,
            help="A numeric score is a success from here up.",
        ),
    ):
        command = option(command)
    return command


def read_files(paths: Sequence[Path], said: Said, settings: config.Settings) -> list[ReadFile]:
    """Read the files, with agents under the names that sale.toml has for them.

    Raises:
        InputError: A file cannot be read.
    """
    known = agents_by_model(settings)
    return [
        _named(read_past_work(path, said.reading, format_name=said.format_name), said.renamed, known) for path in paths
    ]


def _named(file: ReadFile, renamed: Mapping[str, str], known: Mapping[str, str]) -> ReadFile:
    names = {agent: renamed.get(agent) or _known(agent, known) for agent in {work.agent for work in file.works}}
    return replace(file, works=tuple(replace(work, agent=names[work.agent]) for work in file.works))


def _known(agent: str, known: Mapping[str, str]) -> str:
    return known.get(agent) or known.get(agent.rpartition("/")[2]) or agent


def agents_by_model(settings: config.Settings) -> Mapping[str, str]:
    """The agents of the pool by the model they alone use, and by their own names."""
    models = [agent.model or agent.local for agent in settings.agents]
    counts = Counter(models)
    pairs = zip(models, settings.agents, strict=True)
    found = {model: agent.name for model, agent in pairs if model is not None and counts[model] == 1}
    return found | {agent.name: agent.name for agent in settings.agents}


def pool_prices(settings: config.Settings) -> Mapping[str, Price]:
    """Prices of the pool's agents, as far as they are known."""
    found: dict[str, Price] = {}
    for agent in settings.agents:
        try:
            found[agent.name] = agent_price(agent)
        except UnpricedAgentError:
            continue
    return found


def refuse_bad(files: Sequence[ReadFile], hint: str) -> None:
    """See that no unit of the files is malformed.

    Raises:
        InputError: Some are; the message names them.
    """
    bad = [fault for file in files for fault in file.bad]
    if not bad:
        return
    shown = "\n".join(bad[:MAX_SHOWN]) + (f"\n(and {len(bad) - MAX_SHOWN} more)" if len(bad) > MAX_SHOWN else "")
    raise InputError(f"{len(bad)} parts of the file are malformed:\n{shown}" if len(bad) > 1 else shown, hint=hint)
