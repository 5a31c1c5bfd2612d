"""The terms on which one task is auctioned, beside the rules of its market."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from sale.auction.events import Observer, ignore
from sale.auction.scoring import ScoringRule
from sale.types import CheckErrors
from sale.types.labels import NOTHING_REQUIRED, Requirements


@dataclass(frozen=True, kw_only=True, slots=True)
class AuctionTerms:
    """The terms of one auction."""

    auction_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    """The record's id; made up unless given."""
    among: Collection[str] | None = None
    """Names of the agents that may bid; all unless given. The jury is the whole one, as far as `require` lets it."""
    checked: bool = False
    """True where failed work will be found out, and passed on as often as the rules allow."""
    check: CheckErrors = field(default_factory=CheckErrors)
    """Error rates of the check."""
    looping: bool = False
    """True where the work is a conversation with tools, which is read many times."""
    affordable: bool = True
    """False where the caller cannot pay for an auction: the award is then made without one."""
    must_award: bool = False
    """True where the award is made on track records if no agent makes a bid; else that is an error."""
    current: str | None = None
    """The agent that has the conversation already: it keeps it where no auction is held."""
    adjust: Callable[[ScoringRule], ScoringRule] | None = None
    """Makes another scoring rule of the market's own."""
    observe: Observer = ignore
    """Called with every event as it happens."""
    require: Requirements = NOTHING_REQUIRED
    """Labels that all who see the task must have: bidders, jurors, and those who are shown past tasks later."""
    tenant: str | None = None
    """The tenant the task belongs to; the market's own unless given."""
