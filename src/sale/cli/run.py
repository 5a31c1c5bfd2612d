"""`sale run` and `sale bid`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import click

import sale
from sale import config
from sale.cli.encode import document
from sale.cli.examples import FIRST, TaskLine, examples, pick, read_tasks
from sale.cli.options import FILE, F, config_option, json_option, output
from sale.cli.statuses import status_of
from sale.cli.streams import finish, read_input, showing, tell
from sale.cli.verifiers import verifier_of
from sale.errors import AuctionError, InputError, NoBidsError, StoreError
from sale.files.reading import read_text
from sale.types import Holding, JuryMode

if TYPE_CHECKING:
    from sale.cli.run_workspace import WorkspaceRequest

_DIRECTORY = click.Path(path_type=Path, file_okay=False, exists=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """The request of the command line."""

    line: TaskLine
    settings: config.Settings
    as_json: bool
    quiet: bool


def task_options(command: F) -> F:
    """Where the task comes from, and under which rules it is auctioned."""
    for option in (
        click.argument("task", required=False),
        click.option("--file", "task_file", type=FILE, help="A task file (JSON lines); see docs/tasks.md."),
        click.option("--id", "task_id", help="Which task of the file."),
        click.option("--example", help="One of the tasks that come with sale: an id, or `list`."),
        click.option("--jury", type=click.Choice(get_args(JuryMode)), help="How the jury sits."),
        click.option("--hold", type=click.Choice(get_args(Holding)), help="When an auction is held at all."),
        click.option("--quiet", is_flag=True, help="No progress on stderr."),
    ):
        command = option(command)
    return config_option(json_option(command))


@click.command()
@task_options
@click.option("--tests", type=FILE, help="Python tests the answer must pass.")
@click.option("--expect", help="The right answer, compared after normalisation.")
@click.option("--judge", help="An agent that judges the answer.")
@click.option("--check", is_flag=True, help="End with status 1 unless the answer is found right.")
@click.option("--workspace", type=_DIRECTORY, help="A repository to work on; the work is done in a copy of it.")
@click.option("--verify", help='With --workspace: the command that checks the work, "pytest -q".')
@click.option("--patch", type=FILE, help="With --workspace: where the patch goes; to standard output unless given.")
@click.option("--apply", is_flag=True, help="With --workspace: apply the patch if the command passes with it.")
@click.option("--allow-removals", is_flag=True, help="With --workspace: a patch may remove more than the task says.")
def run(tests: Path | None, expect: str | None, judge: str | None, *, check: bool, **given: object) -> None:
    """Run a task through the market: auction, work, verification, settlement.

    TASK is the text of the task, or - to read it from standard input. Without a task, an example is run.

    With --workspace the result is a patch: what makes the repository right. See docs/workspace.md.
    """
    from sale.cli.board import result_board
    from sale.cli.run_workspace import run_in_workspace

    site = _site(given, (tests, expect, judge), check=check)
    if site is not None:
        run_in_workspace(site)
        return
    request = _request(given, tests=tests, expect=expect, checked=check and judge is None)
    if request is None:
        return
    with _as_document(request):
        result = asyncio.run(_run(request, judge, check=check))
    if result.unkept is not None:
        tell(result.unkept)
    with showing(result.auction.id, kept=result.unkept is None):
        if request.as_json:
            click.echo(document("result", result))
        else:
            output().print(result_board(result))
    finish(status_of(result, check=check))


@click.command()
@task_options
def bid(**given: object) -> None:
    """Hold the auction only: who would do the task, and why. Nothing is executed."""
    from sale.cli.board import auction_board

    request = _request(given)
    if request is None:
        return
    with _as_document(request):
        auction, unkept = asyncio.run(_bid(request))
    if unkept is not None:
        tell(unkept)
    with showing(auction.id, kept=unkept is None):
        if request.as_json:
            click.echo(document("auction", auction))
        else:
            output().print(auction_board(auction))


@contextlib.contextmanager
def _as_document(request: RunRequest) -> Generator[None]:
    """Print an auction's error as JSON, too, where JSON is asked for: a program reads what was spent."""
    try:
        yield
    except AuctionError as error:
        if request.as_json:
            dollars = error.dollars if isinstance(error, NoBidsError) else None
            click.echo(document("error", {"code": error.code, "message": str(error), "dollars": dollars}))
        raise


async def _run(request: RunRequest, judge: str | None, *, check: bool) -> sale.Result:
    from sale.cli.live import watching

    async with sale.Market.from_config(settings=request.settings) as market:
        verifier = verifier_of(request.line, market, request.settings.sandbox, judge=judge)
        if check and verifier is None:
            raise _unchecked()
        with watching(quiet=request.quiet) as observe:
            return await market.run(request.line.task, verifier=verifier, observe=observe)


async def _bid(request: RunRequest) -> tuple[sale.Auction, str | None]:
    """The auction, which was paid for, and why it is not on record if it is not."""
    from sale.auction.events import Awarded, Event
    from sale.cli.live import watching

    held: list[sale.Auction] = []
    async with sale.Market.from_config(settings=request.settings) as market:
        with watching(quiet=request.quiet) as observe:

            def note(event: Event) -> None:
                if isinstance(event, Awarded):
                    held.append(event.auction)
                observe(event)

            try:
                return await market.auction(request.line.task, observe=note), None
            except StoreError as error:
                if not held:
                    raise
                return held[-1], f"the auction is not on record: {error}"


def _unchecked() -> InputError:
    hint = "Give --tests, --expect or --judge, or name a [verifier] in sale.toml."
    return InputError("--check needs something to check by", hint=hint)


def _request(
    given: dict[str, object], *, tests: Path | None = None, expect: str | None = None, checked: bool = False
) -> RunRequest | None:
    """The command line as a request; `None` if it only asked for the list of examples."""
    from sale.agents.task_examples import examples_of
    from sale.cli.board import clip

    if given["example"] == "list":
        for line in examples():
            click.echo(f"{line.id:<42} {line.source:<18} {clip(line.text.splitlines()[0], 70)}")
        return None
    line = _line(given)
    if tests is not None:
        line = line.model_copy(update={"tests": read_text(tests), "domain": "coding"})
    if expect is not None:
        line = line.model_copy(update={"reference": expect})
    settings = _settings(given)
    bare = line.tests is None and line.reference is None and settings.verifier is None
    if checked and bare and examples_of(line.text) is None:
        raise _unchecked()
    return RunRequest(line=line, settings=settings, as_json=bool(given["as_json"]), quiet=bool(given["quiet"]))


def _site(given: dict[str, object], otherwise: tuple[object, ...], *, check: bool) -> WorkspaceRequest | None:
    """The command line as a request for work in a repository; `None` where it names none."""
    from sale.cli.run_workspace import UNTOLD, WorkspaceRequest

    directory, verify, patch = (given.pop(name) for name in ("workspace", "verify", "patch"))
    apply, allow_removals = bool(given.pop("apply")), bool(given.pop("allow_removals"))
    if not isinstance(directory, Path):
        if verify is not None or patch is not None or apply or allow_removals:
            raise InputError(
                "--verify, --patch, --apply and --allow-removals go with --workspace",
                hint="Name the repository with it.",
            )
        return None
    if any(given[name] is not None for name in ("task_file", "task_id", "example")) or any(otherwise):
        raise InputError(
            "a task in a workspace is a text, checked by --verify", hint="Leave out --file, --example and the like."
        )
    task = read_input() if given["task"] == "-" else given["task"]
    if not (isinstance(task, str) and task.strip()) and verify is None:
        raise InputError("the task is empty", hint="Say what is to be done, or how it is checked: --verify.")
    for option, asked in (("--apply", apply), ("--check", check)):
        if asked and verify is None:
            raise InputError(f"{option} needs --verify", hint='Say how the work is checked: --verify "pytest -q".')
    return WorkspaceRequest(
        directory=directory,
        task=task if isinstance(task, str) and task.strip() else UNTOLD,
        verify=verify if isinstance(verify, str) else None,
        patch=patch if isinstance(patch, Path) else None,
        apply=apply,
        check=check,
        allow_removals=allow_removals,
        settings=_settings(given, directory),
        as_json=bool(given["as_json"]),
        quiet=bool(given["quiet"]),
    )


def _settings(given: dict[str, object], workspace: Path | None = None) -> config.Settings:
    """The settings in force, with weights that are missing fetched."""
    from sale.cli.indexing import prepare_pool

    config_file = given["config_file"]
    settings = config.load(config_file if isinstance(config_file, Path) else None, workspace=workspace)
    settings = settings.under(jury=cast("JuryMode | None", given["jury"]), hold=cast("Holding | None", given["hold"]))
    prepare_pool(settings, quiet=bool(given["quiet"]))
    return settings


def _line(given: dict[str, object]) -> TaskLine:
    task, task_file, example = given["task"], given["task_file"], given["example"]
    task_id = given["task_id"] if isinstance(given["task_id"], str) else None
    if sum(source is not None for source in (task, task_file, example)) > 1:
        raise InputError("several tasks were given", hint="Give a text, or --file, or --example.")
    if task_id is not None and task_file is None:
        raise InputError("--id goes with --file", hint="--example takes the id of an example.")
    if isinstance(task_file, Path):
        return pick(read_tasks(task_file), task_id, str(task_file))
    if task is None:
        return pick(examples(), str(example or FIRST), "the examples")
    text = read_input() if task == "-" else str(task)
    if not text.strip():
        raise InputError("the task is empty", hint="Say what is to be done.")
    return TaskLine(id=sale.Task(text=text).id, text=text)
