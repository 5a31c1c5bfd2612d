"""Anybody's agent in the market: anything with a way to plan and a way to work.

What needs nothing installed is here. Each framework has a module of its own, which needs the extra of its name:
`pydantic_ai`, `openai_agents`, `smolagents`, `langgraph`.
"""

from sale.agents.adapters.adapted import Adapted, Course, Terms, carry_out
from sale.agents.adapters.command import CommandAgent
from sale.agents.adapters.function import FunctionAgent, Worker
from sale.agents.adapters.plans import FixedPlan, PlanFunction, Planner, Plans, Work

__all__ = [
    "Adapted",
    "CommandAgent",
    "Course",
    "FixedPlan",
    "FunctionAgent",
    "PlanFunction",
    "Planner",
    "Plans",
    "Terms",
    "Work",
    "Worker",
    "carry_out",
]
