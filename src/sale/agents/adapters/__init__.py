"""Anybody's agent in the market: anything with a way to plan and a way to work.

What needs nothing installed is here. Each framework has a module of its own, which needs the extra of its name:
`pydantic_ai`, `openai_agents`, `smolagents`, `langgraph`.
"""

from sale.agents.adapters.adapted import AdaptedAgent, AdapterLog, Terms, carry_out
from sale.agents.adapters.command import CommandAgent
from sale.agents.adapters.function import FunctionAgent, Worker
from sale.agents.adapters.plans import FixedPlan, PlanFunction, Planner, PlanSource, Work

__all__ = [
    "AdaptedAgent",
    "AdapterLog",
    "CommandAgent",
    "FixedPlan",
    "FunctionAgent",
    "PlanFunction",
    "PlanSource",
    "Planner",
    "Terms",
    "Work",
    "Worker",
    "carry_out",
]
