"""The nouns of the market: frozen values, no behaviour beyond arithmetic on their own fields.

Values are pure. Ids are given by whoever stores them. Unknown is never zero: a missing entropy, vote or outcome
is `None` or `"unknown"` with the reason beside it.
"""

from sale.types.bids import (
    NOTHING_TO_READ,
    Bid,
    Dropout,
    Entropy,
    Evidence,
    Exploration,
    Pair,
    Refinement,
    Score,
    Strategy,
    Task,
    ToolInfo,
    Vote,
)
from sale.types.calls import AUCTION_STAGES, Call, Price, Prompt, Reply, Settlement, Stage, TokenLogprobs, Usage
from sale.types.examples import CheckedAnswer, Example, Worked
from sale.types.results import UNVERIFIED, Attempt, Auction, Baseline, Execution, Outcome, Result, Verdict
from sale.types.rules import AuctionRules, Caps, CheckErrors, Holding, JuryMode
from sale.types.weights import SuccessModel, TrackRecord, Training, Weights, WeightSet

__all__ = [
    "AUCTION_STAGES",
    "NOTHING_TO_READ",
    "UNVERIFIED",
    "Attempt",
    "Auction",
    "AuctionRules",
    "Baseline",
    "Bid",
    "Call",
    "Caps",
    "CheckErrors",
    "CheckedAnswer",
    "Dropout",
    "Entropy",
    "Evidence",
    "Example",
    "Execution",
    "Exploration",
    "Holding",
    "JuryMode",
    "Outcome",
    "Pair",
    "Price",
    "Prompt",
    "Refinement",
    "Reply",
    "Result",
    "Score",
    "Settlement",
    "Stage",
    "Strategy",
    "SuccessModel",
    "Task",
    "TokenLogprobs",
    "ToolInfo",
    "TrackRecord",
    "Training",
    "Usage",
    "Verdict",
    "Vote",
    "WeightSet",
    "Weights",
    "Worked",
]
