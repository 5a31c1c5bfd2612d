"""The verifier of a line of a task file: what the line names, then what the settings name, then what the task shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import sale
from sale.errors import InputError, SandboxError

if TYPE_CHECKING:
    from sale.auction.protocols import Juror
    from sale.cli.examples import TaskLine
    from sale.config import SandboxSettings


def verifier_of(
    line: TaskLine,
    market: sale.Market,
    box: SandboxSettings,
    *,
    judge: str | None,
    draw: Callable[[], str] | None = None,
) -> sale.Verifier | None:
    """Tests before a judging model, that before a reference answer; then what the settings name, and the task shows.

    Args:
        line: The task.
        market: Whose agents may judge.
        box: Where code runs.
        judge: The agent that judges.
        draw: Draws the label before a judge's verdict; at random unless given.

    Raises:
        InputError: There is no such agent on the jury.
    """
    if line.tests is not None:
        return market.tests(line.tests, prelude=line.prelude)
    if judge is not None:
        juror = judging_agent(market, judge)
        drawn = sale.ModelJudge(juror, line.reference)
        return drawn if draw is None else sale.ModelJudge(juror, line.reference, seconds=LONG, draw=draw)
    if line.reference is not None:
        return sale.ExactMatch(line.reference, line.aliases)
    return market.verifier or _shown(line, box)


LONG = 1e7
"""Seconds: no limit, for a judge whose calls have limits of their own."""


def judging_agent(market: sale.Market, judge: str) -> Juror:
    """The agent of this name, as a juror.

    Raises:
        InputError: There is none.
    """
    jurors = {agent.name: agent.juror for agent in market.agents if agent.juror is not None}
    if judge not in jurors:
        raise InputError(f"no agent {judge!r} on the jury", hint=f"There are: {', '.join(jurors)}.")
    return jurors[judge]


def _shown(line: TaskLine, box: SandboxSettings) -> sale.Verifier | None:
    """The examples in the task itself; nothing where code cannot be isolated, as they are only a convenience."""
    from sale.agents.task_examples import examples_of
    from sale.agents.tools.sandbox import open_sandbox

    if examples_of(line.text) is None:
        return None
    try:
        sandbox, limits = open_sandbox(box)
    except SandboxError:
        return None
    return sale.TaskExamples(sandbox=sandbox, limits=limits)
