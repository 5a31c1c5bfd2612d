"""The nouns of the market: frozen values, no behaviour beyond arithmetic on their own fields.

Values are pure. Ids are given by whoever stores them. Unknown is never zero: a missing entropy, vote or outcome
is `None` or `"unknown"` with the reason beside it.
"""

from sale.types.bids import Bid, Dropout, Entropy, Pair, Refinement, Score, Strategy, Task, ToolInfo, Vote, Weights
from sale.types.calls import AUCTION_STAGES, Call, Price, Prompt, Reply, Settlement, Stage, TokenLogprobs, Usage
from sale.types.results import Auction, Baseline, Execution, Outcome, Result, Verdict
from sale.types.rules import AuctionRules, Caps, JuryMode

__all__ = [
    "AUCTION_STAGES",
    "Auction",
    "AuctionRules",
    "Baseline",
    "Bid",
    "Call",
    "Caps",
    "Dropout",
    "Entropy",
    "Execution",
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
    "Task",
    "TokenLogprobs",
    "ToolInfo",
    "Usage",
    "Verdict",
    "Vote",
    "Weights",
]
