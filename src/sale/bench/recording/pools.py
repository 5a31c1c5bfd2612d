"""Pools as they are recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sale.bench.tasks.schema import Domain
from sale.config import Settings

NO_LIMIT = 1e7
"""Seconds: longer than any run."""
WALL_SECONDS = 600.0
"""Of a program: time enough however busy the machine is. What it computes is bounded by the processor's seconds."""
SEARCH_TURNS = 3
SEARCH_TOKENS = 160


def for_recording(settings: Settings, domain: Domain) -> Settings:
    """The settings of a recorded run: the pool's own, with no limits of time but the processor's seconds of programs.

    A pool whose agents all answer directly does search tasks in steps; one of agents that work in different ways is
    taken as it is.
    """
    rules = replace(
        settings.auction,
        bid_seconds=NO_LIMIT,
        judge_seconds=NO_LIMIT,
        caps=replace(settings.auction.caps, seconds=NO_LIMIT),
    )
    change: dict[str, Any] = {"seconds": NO_LIMIT}
    if domain == "search" and not has_specialists(settings):
        change |= {"execution": "steps", "turns": SEARCH_TURNS, "answer_tokens": SEARCH_TOKENS}
    agents = tuple(agent.model_copy(update=change) for agent in settings.agents)
    # The bench's own corpus alone: what the web says today nobody can repeat.
    tools = settings.tools.model_copy(update={"python": False, "search": None})
    wall = max(WALL_SECONDS, settings.sandbox.wall_seconds)
    sandbox = settings.sandbox.model_copy(update={"wall_seconds": wall})
    return settings.model_copy(update={"auction": rules, "agents": agents, "tools": tools, "sandbox": sandbox})


def own_libraries(settings: Settings) -> bool:
    """Return whether some agent has passages of its own: then no agent is given those of the bench."""
    return any(agent.tools is not None and agent.tools.search is not None for agent in settings.agents)


def has_specialists(settings: Settings) -> bool:
    """Return whether its agents work in ways of their own."""
    return any(agent.execution not in {"auto", "direct"} or agent.samples > 1 for agent in settings.agents)
