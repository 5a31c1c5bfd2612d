"""A market for language-model agents: they bid with plans, a jury scores them, the best plan for its price works.

Everything a user imports is here, and is loaded when it is first used: `import sale` alone is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sale.agents.adapters import CommandAgent, FixedPlan, FunctionAgent, PlanFunction, Terms, Work
    from sale.agents.code_tests import RunTests
    from sale.agents.contractor import Contractor
    from sale.agents.protocol import Agent, Tool, Verifier
    from sale.agents.scripted import scripted_agent
    from sale.agents.side_by_side import TaskOutcome
    from sale.agents.task_examples import TaskExamples
    from sale.agents.tools.sandbox import find_sandbox
    from sale.agents.tools.workspace.workspace import Workspace
    from sale.agents.verify import Check, ExactMatch, ModelJudge
    from sale.auction.protocols import Answer, Look, Question
    from sale.auction.questions import Seat
    from sale.cli.board import result_board
    from sale.config import AgentSettings, Settings
    from sale.errors import SaleError
    from sale.market import Market
    from sale.types import (
        Auction,
        AuctionRules,
        Bid,
        Caps,
        CheckErrors,
        Evidence,
        Execution,
        Outcome,
        Price,
        Result,
        Score,
        Settlement,
        Strategy,
        Task,
        ToolInfo,
        TrackRecord,
        Usage,
        Weights,
    )
    from sale.types.tools import Budget

_HOMES = {
    "sale.agents.adapters": ("CommandAgent", "FixedPlan", "FunctionAgent", "PlanFunction", "Terms", "Work"),
    "sale.agents.code_tests": ("RunTests",),
    "sale.agents.contractor": ("Contractor",),
    "sale.agents.protocol": ("Agent", "Tool", "Verifier"),
    "sale.agents.scripted": ("scripted_agent",),
    "sale.agents.side_by_side": ("TaskOutcome",),
    "sale.agents.task_examples": ("TaskExamples",),
    "sale.agents.tools.sandbox": ("find_sandbox",),
    "sale.agents.tools.workspace.workspace": ("Workspace",),
    "sale.agents.verify": ("Check", "ExactMatch", "ModelJudge"),
    "sale.auction.protocols": ("Answer", "Look", "Question"),
    "sale.auction.questions": ("Seat",),
    "sale.cli.board": ("result_board",),
    "sale.config": ("AgentSettings", "Settings"),
    "sale.errors": ("SaleError",),
    "sale.market": ("Market",),
    "sale.types.tools": ("Budget",),
    "sale.types": (
        "Auction",
        "AuctionRules",
        "Bid",
        "Caps",
        "CheckErrors",
        "Evidence",
        "Execution",
        "Outcome",
        "Price",
        "Result",
        "Score",
        "Settlement",
        "Strategy",
        "Task",
        "ToolInfo",
        "TrackRecord",
        "Usage",
        "Weights",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Agent",
    "AgentSettings",
    "Answer",
    "Auction",
    "AuctionRules",
    "Bid",
    "Budget",
    "Caps",
    "Check",
    "CheckErrors",
    "CommandAgent",
    "Contractor",
    "Evidence",
    "ExactMatch",
    "Execution",
    "FixedPlan",
    "FunctionAgent",
    "Look",
    "Market",
    "ModelJudge",
    "Outcome",
    "PlanFunction",
    "Price",
    "Question",
    "Result",
    "RunTests",
    "SaleError",
    "Score",
    "Seat",
    "Settings",
    "Settlement",
    "Strategy",
    "Task",
    "TaskExamples",
    "TaskOutcome",
    "Terms",
    "Tool",
    "ToolInfo",
    "TrackRecord",
    "Usage",
    "Verifier",
    "Weights",
    "Work",
    "Workspace",
    "find_sandbox",
    "result_board",
    "scripted_agent",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module on first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'sale' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
