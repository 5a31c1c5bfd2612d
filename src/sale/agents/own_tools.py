"""Tools and verifiers that settings name: what comes with sale, and what other packages add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from sale.agents.protocol import Agent, Tool, Verifier
from sale.agents.task_examples import TaskExamples
from sale.agents.tools.sandbox import open_sandbox
from sale.agents.verify import ModelJudge
from sale.auction.protocols import Juror
from sale.config import OwnToolSettings, SandboxSettings, Settings
from sale.errors import ConfigError
from sale.extensions import make


def own_tools(tools: Sequence[OwnToolSettings], box: SandboxSettings) -> tuple[Tool, ...]:
    """A tool for each `[[tools.own]]`. A kind of tool is given `box`, where code runs, if its signature has it.

    Raises:
        ConfigError: A kind of tool is not there or cannot be made, or two tools share a name.
    """
    made = [
        make("tools", one.kind, Tool, given={"box": box}, options=one.options, where=f"[[tools.own]] {one.kind}")
        for one in tools
    ]
    names = [tool.info.name for tool in made]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"tools share a name: {', '.join(twice)}", where="[[tools.own]]")
    return tuple(made)


def configured_verifier(settings: Settings, agents: Sequence[Agent]) -> Verifier | None:
    """Return the verifier that the settings name; `None` where they name none.

    A kind of verifier is given `models`, what can be asked of the pool's models by the name of the agent, and `box`,
    where code runs, where its signature has them.

    Raises:
        ConfigError: The kind is not there or cannot be made.
        SandboxError: It runs code, and code cannot be isolated here.
    """
    named = settings.verifier
    if named is None:
        return None
    models = {agent.name: cast("Juror", agent) for agent in agents if getattr(agent, "judge", None) is not None}
    given = {"models": models, "box": settings.sandbox}
    return make("verifiers", named.kind, Verifier, given=given, options=named.options, where="[verifier]")


def examples_verifier(box: SandboxSettings) -> Verifier:
    """A verifier of kind `examples`.

    Raises:
        SandboxError: Code cannot be isolated here, and the settings do not say to run it all the same.
    """
    sandbox, limits = open_sandbox(box)
    return TaskExamples(sandbox=sandbox, limits=limits)


def model_verifier(models: Mapping[str, Juror], agent: str, reference: str | None = None) -> Verifier:
    """A verifier of kind `model`: the model of an agent judges, with a reference answer where one is given.

    Raises:
        ConfigError: The agent has no model.
    """
    if agent not in models:
        there = ", ".join(models) or "none"
        raise ConfigError(f"the agent {agent!r} has no model to ask", where="[verifier]", hint=f"There are: {there}.")
    return ModelJudge(models[agent], reference)
