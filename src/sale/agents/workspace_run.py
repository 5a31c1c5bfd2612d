"""Work in a copy of a repository: with tools, step by step, or by handing in changes. The answer is the patch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from sale.agents.execution import work_with_tools
from sale.agents.patch_loop import work_by_patches
from sale.agents.protocol import Agent, Movable
from sale.agents.steps import work_in_steps
from sale.agents.tools.workspace.copy_tools import make_copy_tools
from sale.agents.tools.workspace.tree import WorkingCopy
from sale.agents.tools.workspace.workspace import Workspace
from sale.agents.worklog import WorkItem
from sale.config import STEP_WAYS, TOOL_WAYS
from sale.errors import ConfigError, SaleError
from sale.models.protocol import Model
from sale.types import Execution, Task

EMPTY = "call.bad_reply"


def in_workspace(agents: Sequence[Agent], workspace: Workspace) -> tuple[Agent, ...]:
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


async def work_in_workspace(
    model: Model, workspace: Workspace, item: WorkItem, task: Task, strategy: str | None, way: str
) -> Execution:
    """Do a task on a fresh copy.

    Args:
        model: What thinks.
        workspace: Where.
        item: How long, and how often.
        task: What is to be done.
        strategy: The plan it follows, if any.
        way: `tools`, `steps` and `choose` work with the tools of a workspace; all others hand in changes.
    """
    if way not in TOOL_WAYS:
        return await work_by_patches(model, workspace, item, task, strategy)
    copy = workspace.copy()
    tools = make_copy_tools(copy, workspace.box)
    if way in STEP_WAYS:
        done = await work_in_steps(model, tools, item, task, strategy)
    else:
        done = await work_with_tools(model, tools, item)
    return await _handed_in(done, workspace, copy)


async def _handed_in(done: Execution, workspace: Workspace, copy: WorkingCopy) -> Execution:
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
