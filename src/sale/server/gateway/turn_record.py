"""The data of a turn: who answers, why, and what it cost, for its headers and its line on the ledger."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from sale.auction.events import StandingReason
from sale.server.gateway.call import UpstreamCall
from sale.server.gateway.chat_request import ChatRequest
from sale.server.gateway.exchange import header_value
from sale.server.gateway.market_handle import MARKET
from sale.server.store.types import new_id
from sale.types import Call, Usage

TurnReason = Literal["auction", "session", "failover", "named", "aside", "shadow"] | StandingReason
"""Why an agent answers: it won the auction held for this request, it has the conversation, another agent could not, the
client named it, the request is beside conversations, the incumbent has it while the market is in its shadow; or why it
was awarded the conversation without bids."""
LOST_CHARACTERS = 1000
"""Of the header that names what of a request was lost."""


@dataclass(kw_only=True, slots=True)
class TurnRecord:
    """The record of a request being answered."""

    asked: ChatRequest
    session_id: str | None
    """As the client names it."""
    began: float = field(default_factory=time.monotonic)
    line_id: str = field(default_factory=new_id)
    """Of its line on the ledger."""
    agent: str | None = None
    reason: TurnReason | None = None
    auction_id: str | None = None
    usage: Usage = field(default_factory=Usage)
    cached: int = 0
    work_dollars: float = 0.0
    auction_dollars: float = 0.0
    counted: bool = True
    """True where the endpoints counted what was spent."""
    first_seconds: float | None = None
    wait_seconds: float = 0.0

    @property
    def awarded(self) -> bool:
        """True where the market says who does it: neither the client by name, nor a request beside conversations."""
        return self.asked.model == MARKET and not self.asked.aside

    def add(self, call: UpstreamCall, done: Call) -> None:
        """Add a call that has ended, and its line in the settlement."""
        self.usage, self.cached = self.usage + done.usage, self.cached + call.tally.cached
        self.work_dollars += done.dollars
        self.counted = self.counted and call.counted

    def headers(self, call: UpstreamCall | None = None) -> list[tuple[bytes, bytes]]:
        """Return the headers about the market; `call` is the one under way."""
        found = [
            (b"x-sale-session", self.session_id),
            (b"x-sale-auction", self.auction_id),
            (b"x-sale-agent", self.agent),
        ]
        if self.agent is not None:  # before that, an auction is still spending
            cost = self.auction_dollars + self.work_dollars + (call.dollars if call else 0.0)
            counted = self.counted and (call is None or call.counted)
            found.append((b"x-sale-reason", self.reason))
            found += [(b"x-sale-cost", f"{cost:.9f}"), (b"x-sale-cost-basis", "counted" if counted else "estimate")]
        lost = self.asked.lost | (call.left_out if call else frozenset[str]())
        found.append((b"x-sale-lost", ", ".join(sorted(lost))[:LOST_CHARACTERS]))
        return [(name, header_value(value)) for name, value in found if value]
