"""Work in a copy of a repository: with tools, step by step, or by handing in changes. The answer is the patch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from sale.agents.execution import Shift, work_with_tools
from sale.agents.mending import mend
from sale.agents.protocol import Agent, Movable
from sale.agents.steps import work_in_steps
from sale.agents.tools.workspace.kit import kit_over
from sale.agents.tools.workspace.tree import Copy
from sale.agents.tools.workspace.workspace import Workspace
from sale.config import STEP_WAYS, TOOL_WAYS
from sale.errors import ConfigError, SaleError
from sale.models.protocol import Model
from sale.types import Execution, Task

EMPTY = "call.bad_reply"


def placed(agents: Sequence[Agent], workspace: Workspace) -> tuple[Agent, ...]:
    """Those agents that can work in a workspace, at work there.

    Raises:
        ConfigError: There are none.
    """
    found = tuple(agent.within(workspace) for agent in agents if isinstance(agent, Movable))
    if not found:
        raise ConfigError(
            "none of the agents can work in a repository", hint="Agents over a model can; adapters answer in text."
        )
    return found


async def work_on_site(
    model: Model, workspace: Workspace, shift: Shift, task: Task, strategy: str | None, way: str
) -> Execution:
    """Do a task on a fresh copy.

    Args:
        model: What thinks.
        workspace: Where.
        shift: How long, and how often.
        task: What is to be done.
        strategy: The plan it follows, if any.
        way: `tools`, `steps` and `choose` work with the tools of a workspace; all others hand in changes.
    """
    if way not in TOOL_WAYS:
        return await mend(model, workspace, shift, task, strategy)
    copy = workspace.copy()
    tools = kit_over(copy, workspace.box)
    if way in STEP_WAYS:
        done = await work_in_steps(model, tools, shift, task, strategy)
    else:
        done = await work_with_tools(model, tools, shift)
    return await _handed_in(done, workspace, copy)


async def _handed_in(done: Execution, workspace: Workspace, copy: Copy) -> Execution:
    """The patch in place of the last words, which stay in the trace."""
    last = {"role": "words", "content": done.answer}
    try:
        patch = await asyncio.to_thread(workspace.patch, copy.tree)
    except SaleError as error:
        return replace(done, answer="", error=f"{error.code}: {error}", trace=(*done.trace, last))
    error = done.error
    if patch and error is not None and error.startswith(EMPTY):
        error = None  # it had nothing to add
    if not patch:
        error = error or "execution.unchanged: nothing in the copy was changed"
    return replace(done, answer=patch, error=error, trace=(*done.trace, last))
