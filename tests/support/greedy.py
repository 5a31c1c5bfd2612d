"""An agent that takes all it can get: the longest texts, the whole token cap, and a second question every time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from sale.auction.ledger import worst_usage
from sale.auction.protocols import BidRequest, JudgeRequest
from sale.models.scripted import plans_in
from sale.types import Price, Reply, ToolInfo


@dataclass
class Greedy:
    """Bidder and juror. It reports the worst usage the ledger reckons with, so that what is recorded is the worst."""

    name: str
    price: Price
    filler: str = "x"
    favourite: str = ""
    """It gives five points to plans with this word and none to others."""
    patience: int = 1
    """How often it talks nonsense before each ballot."""
    tools: tuple[ToolInfo, ...] = ()
    _nonsense: dict[str, int] = field(default_factory=dict[str, int])

    async def bid(self, request: BidRequest, /) -> Reply:
        text = f"1. {self.name}! {'Again: ' if request.refining else ''}" + self.filler * (10 * request.max_tokens)
        return Reply(text=text, usage=worst_usage(request.prompt, request.max_tokens), seconds=0.0)

    async def judge(self, request: JudgeRequest, /) -> Reply:
        asked = request.prompt.user
        self._nonsense[asked] = self._nonsense.get(asked, 0) + 1
        scores = {label: 5 if f"1. {self.favourite}!" in plan else 0 for label, plan in plans_in(asked).items()}
        text = "Let me think." if self._nonsense[asked] <= self.patience else json.dumps(scores)
        return Reply(text=text, usage=worst_usage(request.prompt, request.max_tokens), seconds=0.0)
