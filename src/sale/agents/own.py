"""Agents of `sale.toml` that bring their own way of working: a program, a function, or a kind that a package adds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from sale.agents.account import NO_BUDGET
from sale.agents.adapters.adapted import Terms
from sale.agents.adapters.command import CommandAgent
from sale.agents.adapters.function import FunctionAgent, Worker
from sale.agents.adapters.plans import FixedPlan, Planner, Work
from sale.agents.protocol import Agent
from sale.auction.bidding import plan_fault
from sale.config import OF_KINDS, AgentSettings, command_environment
from sale.errors import ConfigError
from sale.extensions import import_path, make
from sale.types import Price, Task


def own_agent(settings: AgentSettings, price: Price) -> Agent:
    """The agent that a `command`, a `function` or a `kind` is.

    Raises:
        ConfigError: A variable it is to be given is not set, the function is not there, or the plan has no steps.
    """
    if settings.plan is not None and (fault := plan_fault(settings.plan.strip())) is not None:
        told = fault.replace("the strategy", "its plan")
        hint = 'It would drop out of every auction. Write it as steps: plan = "1. … 2. …".'
        raise ConfigError(told, where=f"agent {settings.name!r}", hint=hint)
    if settings.command is not None:
        return CommandAgent(
            settings.command,
            Terms(
                name=settings.name,
                price=price,
                price_per_task=settings.price_per_task,
                seconds=settings.seconds,
                budget=settings.budget or NO_BUDGET,
                follow_strategy=settings.follow_strategy,
            ),
            plans=None if settings.plan is None else FixedPlan(settings.plan),
            environment=command_environment(settings),
            directory=settings.directory,
            reports_usage=settings.reports_usage,
        )
    if settings.kind is not None:
        return _of_kind(settings, settings.kind, price)
    found = import_path(settings.function or "", where=f"agent {settings.name!r}")
    bid = _fixed(settings.plan) if settings.plan is not None else getattr(found, "bid", None)
    work = getattr(found, "execute", found)
    where = f"agent {settings.name!r}"
    if not callable(work):
        raise ConfigError(f"{settings.function!r} cannot be called", where=where, hint="Name an async function.")
    if bid is None:
        raise ConfigError(
            f"{settings.function!r} has no plan",
            where=where,
            hint='Add plan = "1. …", or name an object with two async functions, bid(task) and execute(task, plan).',
        )
    worker = cast("Worker", work)
    return FunctionAgent(
        settings.name,
        price=price,
        bid=cast("Planner", bid),
        execute=worker if settings.follow_strategy else _without_plan(worker),
        seconds=settings.seconds,
    )


def _of_kind(settings: AgentSettings, kind: str, price: Price) -> Agent:
    """An agent of a package or a dotted path, given what can be said of every agent where its signature has it."""
    given = {
        "name": settings.name,
        "price": price,
        "seconds": settings.seconds,
        "follow_strategy": settings.follow_strategy,
    }
    where = f"agent {settings.name!r}"
    agent = make("agents", kind, Agent, given=given, options=settings.options, where=where, common=OF_KINDS)
    if agent.name != settings.name:
        raise ConfigError(f"the agent of kind {kind!r} calls itself {agent.name!r}", where=where, hint="Keep the name.")
    return agent


def _fixed(text: str) -> Planner:
    async def plan(task: Task) -> str:  # noqa: ARG001  the shape is that of a planner
        return text

    return plan


def _without_plan(work: Worker) -> Callable[[Task, str | None], Awaitable[str | Work]]:
    async def worker(task: Task, strategy: str | None) -> str | Work:  # noqa: ARG001  it is not shown
        return await work(task, None)

    return worker
