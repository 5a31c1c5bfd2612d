"""A market for language-model agents: they bid with plans, a jury scores them, the best plan for its price works.

The names that programs are written with are here, and are loaded when first used: `import sale` alone is cheap.
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
    from sale.auction.events import (
        AgentDropped,
        AuctionOpened,
        Awarded,
        AwardedAgain,
        BiddingOpened,
        CallSettled,
        Event,
        EvidenceFound,
        Judged,
        LeaderFound,
        Observer,
        ShortlistMade,
        StrategyArrived,
        VoteArrived,
        WorkFinished,
        WorkStarted,
    )
    from sale.auction.protocols import Answer, BidRequest, JudgeRequest, Juror, Look, Question
    from sale.auction.questions import Seat
    from sale.auction.terms import AuctionTerms
    from sale.cli.board import result_board
    from sale.config import AgentSettings, SandboxSettings, Settings
    from sale.errors import CallError, ConfigError, SaleError
    from sale.market import Market
    from sale.memory.store import AuctionMemory
    from sale.models.embedding import MiniLMEmbedder
    from sale.types import (
        Attempt,
        Auction,
        AuctionRules,
        Bid,
        Call,
        Caps,
        CheckErrors,
        Evidence,
        Execution,
        Outcome,
        Price,
        Prompt,
        Reply,
        Result,
        Score,
        Settlement,
        Strategy,
        Task,
        ToolInfo,
        TrackRecord,
        Usage,
        Verdict,
        Weights,
    )
    from sale.types.tools import Budget

_HOMES = {
    "sale.agents.adapters": (
        "CommandAgent",
        "FixedPlan",
        "FunctionAgent",
        "PlanFunction",
        "Terms",
        "Work",
    ),
    "sale.agents.code_tests": ("RunTests",),
    "sale.agents.contractor": ("Contractor",),
    "sale.agents.protocol": (
        "Agent",
        "Tool",
        "Verifier",
    ),
    "sale.agents.scripted": ("scripted_agent",),
    "sale.agents.side_by_side": ("TaskOutcome",),
    "sale.agents.task_examples": ("TaskExamples",),
    "sale.agents.tools.sandbox": ("find_sandbox",),
    "sale.agents.tools.workspace.workspace": ("Workspace",),
    "sale.agents.verify": (
        "Check",
        "ExactMatch",
        "ModelJudge",
    ),
    "sale.auction.events": (
        "AgentDropped",
        "AuctionOpened",
        "Awarded",
        "AwardedAgain",
        "BiddingOpened",
        "CallSettled",
        "Event",
        "EvidenceFound",
        "Judged",
        "LeaderFound",
        "Observer",
        "ShortlistMade",
        "StrategyArrived",
        "VoteArrived",
        "WorkFinished",
        "WorkStarted",
    ),
    "sale.auction.protocols": (
        "Answer",
        "BidRequest",
        "JudgeRequest",
        "Juror",
        "Look",
        "Question",
    ),
    "sale.auction.questions": ("Seat",),
    "sale.auction.terms": ("AuctionTerms",),
    "sale.cli.board": ("result_board",),
    "sale.config": (
        "AgentSettings",
        "SandboxSettings",
        "Settings",
    ),
    "sale.errors": (
        "CallError",
        "ConfigError",
        "SaleError",
    ),
    "sale.market": ("Market",),
    "sale.memory.store": ("AuctionMemory",),
    "sale.models.embedding": ("MiniLMEmbedder",),
    "sale.types": (
        "Attempt",
        "Auction",
        "AuctionRules",
        "Bid",
        "Call",
        "Caps",
        "CheckErrors",
        "Evidence",
        "Execution",
        "Outcome",
        "Price",
        "Prompt",
        "Reply",
        "Result",
        "Score",
        "Settlement",
        "Strategy",
        "Task",
        "ToolInfo",
        "TrackRecord",
        "Usage",
        "Verdict",
        "Weights",
    ),
    "sale.types.tools": ("Budget",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Agent",
    "AgentDropped",
    "AgentSettings",
    "Answer",
    "Attempt",
    "Auction",
    "AuctionMemory",
    "AuctionOpened",
    "AuctionRules",
    "AuctionTerms",
    "Awarded",
    "AwardedAgain",
    "Bid",
    "BidRequest",
    "BiddingOpened",
    "Budget",
    "Call",
    "CallError",
    "CallSettled",
    "Caps",
    "Check",
    "CheckErrors",
    "CommandAgent",
    "ConfigError",
    "Contractor",
    "Event",
    "Evidence",
    "EvidenceFound",
    "ExactMatch",
    "Execution",
    "FixedPlan",
    "FunctionAgent",
    "JudgeRequest",
    "Judged",
    "Juror",
    "LeaderFound",
    "Look",
    "Market",
    "MiniLMEmbedder",
    "ModelJudge",
    "Observer",
    "Outcome",
    "PlanFunction",
    "Price",
    "Prompt",
    "Question",
    "Reply",
    "Result",
    "RunTests",
    "SaleError",
    "SandboxSettings",
    "Score",
    "Seat",
    "Settings",
    "Settlement",
    "ShortlistMade",
    "Strategy",
    "StrategyArrived",
    "Task",
    "TaskExamples",
    "TaskOutcome",
    "Terms",
    "Tool",
    "ToolInfo",
    "TrackRecord",
    "Usage",
    "Verdict",
    "Verifier",
    "VoteArrived",
    "Weights",
    "Work",
    "WorkFinished",
    "WorkStarted",
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
