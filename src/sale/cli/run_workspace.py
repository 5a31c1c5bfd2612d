"""`sale run --workspace`: a task in a copy of a repository, whose result is a patch."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import dataclass
from pathlib import Path

import click
from rich.text import Text

import sale
from sale import config
from sale.cli.board import auction_board, money_part, outcome_line, plain
from sale.cli.consoles import PlainConsole
from sale.cli.encode import document
from sale.cli.live import watching
from sale.cli.statuses import FAILED, HELD_BACK, status_of
from sale.cli.streams import finish, showing, tell
from sale.errors import OutputError, SaleError
from sale.files.private import make_directory
from sale.files.reading import STANDARD
from sale.files.writing import write_text
from sale.types import Attempt
from sale.wording import quantity

LEFT_OUT = 5
"""Number of paths that were left out that are named."""
UNTOLD = "Find out why the command that checks this repository fails, and repair it."


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkspaceRequest:
    """The request of the command line."""

    directory: Path
    task: str
    verify: str | None
    patch: Path | None
    apply: bool
    check: bool
    """True where only work that the command has found right counts as done."""
    allow_removals: bool
    """True where a patch may remove more than the task asks for."""
    settings: config.Settings
    as_json: bool
    quiet: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ending:
    """A result, and what became of its patch."""

    result: sale.Result
    changed: tuple[str, ...] = ()
    """The paths that the patch was applied to."""
    removed: tuple[str, ...] = ()
    """A line for each file from which the patch removes more than was asked for."""
    unapplied: str = ""
    """Says why a patch that was to be applied was not."""


def run_in_workspace(request: WorkspaceRequest) -> None:
    """Run it; the patch goes to standard output or a file, all else to standard error. Ends with 1 without a patch.

    A patch that removes more than the task asks for is held back, and kept in a file of its own; that ends with 3. One
    XX
    Args:
        request: What is asked for.

    Raises:
        SaleError: Whatever a market raises.
    """
    ended = asyncio.run(_run(request))
    result = ended.result
    console = PlainConsole(stderr=True)
    if not request.quiet:
        _show(console, result)
    if result.unkept is not None:
        tell(result.unkept)
    if ended.changed:
        console.print(f"applied to {request.directory}: {', '.join(ended.changed)}")
    handed_out = result.answer if result.outcome.verdict != "failure" else ""
    with showing(result.auction.id, kept=result.unkept is None):
        if request.as_json:
            click.echo(document("result", result))
        if ended.removed:
            finish(_hold_back(request, result, ended.removed))
            return
        applied = request.apply and not ended.unapplied
        if handed_out and ended.unapplied:
            tell(ended.unapplied)
        written = _hand_out(request, handed_out, applied=applied) if handed_out else False
    finish(status_of(result, check=request.check) if written and not ended.unapplied else FAILED)


def _hand_out(request: WorkspaceRequest, patch: str, *, applied: bool) -> bool:
    """Give the patch to whom it is for; whether it has got there.

    Args:
        request: What is asked for.
        patch: The patch.
        applied: Whether the directory has it already.

    Raises:
        OSError: Standard output cannot be written.
    """
    if request.patch is None:
        if not request.as_json and not applied:
            write_text(STANDARD, patch)
        return True
    try:
        write_text(request.patch, patch)
    except OutputError as error:
        tell(str(error))
        if request.as_json:
            return False  # it is in the document already
        tell("the patch goes to standard output instead")
        write_text(STANDARD, patch)
        return False
    return True


def _show(console: PlainConsole, result: sale.Result) -> None:
    """Print the auction, how each attempt ended, and what it cost."""
    console.print(auction_board(result.auction))
    for attempt in (*result.attempts, Attempt(execution=result.execution, outcome=result.outcome)):
        console.print(Text.assemble((f"{attempt.execution.agent}  ", "bold"), outcome_line(attempt.outcome)))
        if attempt.execution.error:
            console.print(Text(f"  {plain(attempt.execution.error)}", style="red"))
    console.print(money_part(result))


def _hold_back(request: WorkspaceRequest, result: sale.Result, removed: tuple[str, ...]) -> int:
    """Keep a patch that removes more than was asked for apart from all others, and say so; returns the status."""
    tell("held back: the patch removes more than the task asks for")
    for line in removed:
        tell(f"  {plain(line)}")
    place = config.held_patches_path() / f"{result.auction.id}.patch"
    try:
        make_directory(place.parent)
        write_text(place, result.answer, private=True)
    except (OSError, OutputError) as error:
        tell(f"it cannot be kept in {place}: {error}")
        if not request.as_json:  # else it has been printed
            write_text(STANDARD, result.answer)
        return HELD_BACK
    command = f"git -C {shlex.quote(str(request.directory))} apply {shlex.quote(str(place))}"
    tell(f"It is kept. Read it, then apply it by hand: {command}")
    tell("Or run the task again with --allow-removals.")
    return HELD_BACK


async def _run(request: WorkspaceRequest) -> _Ending:
    """Have the task done, and apply its patch where that is asked for and the command has found it right."""
    workspace = await sale.Workspace.open(request.directory, verify=request.verify, settings=request.settings.workspace)
    if not request.quiet:
        _tell(workspace)
    async with sale.Market.from_config(settings=request.settings) as market:
        with watching(quiet=request.quiet) as observe:
            task = workspace.task(request.task)
            result = await market.within(workspace).run(task, verifier=workspace, observe=observe)
    if result.outcome.verdict == "failure" or not result.answer:
        return _Ending(result=result)
    if not request.allow_removals:
        removed = await asyncio.to_thread(workspace.removals, request.task, result.answer)
        if removed:
            return _Ending(result=result, removed=removed)
    if not request.apply:
        return _Ending(result=result)
    if result.outcome.verdict != "success":
        detail = f": {plain(result.outcome.detail)}" if result.outcome.detail else ""
        return _Ending(result=result, unapplied=f"not applied: the command could not check the patch{detail}")
    try:
        return _Ending(result=result, changed=await workspace.apply(result.answer))
    except SaleError as error:  # the patch was paid for, and is handed out all the same
        return _Ending(result=result, unapplied=f"not applied: {error}")
    except OSError as error:
        return _Ending(result=result, unapplied=f"not applied, or not to its end: {error}")


def _tell(workspace: sale.Workspace) -> None:
    console = PlainConsole(stderr=True, soft_wrap=True)
    console.print(f"{quantity(len(workspace.tree), 'file')} copied from {workspace.directory}", style="dim")
    for line in workspace.left_out[:LEFT_OUT]:
        console.print(f"left out: {plain(line)}", style="dim")
    if len(workspace.left_out) > LEFT_OUT:
        console.print(f"left out: and {len(workspace.left_out) - LEFT_OUT} more", style="dim")
    if workspace.inner:
        names = ", ".join(map(plain, workspace.inner))
        console.print(f"repositories of their own, copied as they are checked out: {names}", style="dim")
    if workspace.before is not None and workspace.before.passed:
        console.print(f"{workspace.command}: passes already; it has to pass afterwards, too", style="dim")
