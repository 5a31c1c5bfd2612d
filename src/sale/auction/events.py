"""Typed events of a task as they happen, for observers: the command line, the dashboard, a log."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sale.errors import InputError
from sale.types import Auction, Bid, Call, Dropout, Evidence, Execution, Outcome, Strategy, Task, Vote

LOG = logging.getLogger("sale.auction")
StandingReason = Literal["allowance", "budget", "not-worth-it", "no-bids"]
"""Why an award is made on track records: the allowance does not cover an auction, or the caller's budget or the caps do
not, or it is expected to bring less than it costs, or no agent made a bid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuctionOpened:
    """The task is out; whether bids are asked for is being decided."""

    auction_id: str
    task: Task
    agents: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BiddingOpened:
    """Every agent is writing its bid. It does not happen where the award is made on track records alone."""

    agents: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidenceFound:
    """An agent has looked into its own tools."""

    agent: str
    evidence: tuple[Evidence, ...]
    note: str | None = None
    """Why something could not be looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShortlistMade:
    """Some agents are asked for a plan, and the others are not."""

    agents: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StrategyArrived:
    """A first or refined strategy is in."""

    strategy: Strategy


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentDropped:
    """An agent left the auction."""

    dropout: Dropout


@dataclass(frozen=True, kw_only=True, slots=True)
class VoteArrived:
    """A juror answered about one strategy, or failed to."""

    vote: Vote
    refined: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaderFound:
    """The provisional winner, and who may still refine."""

    leader: Bid
    bids: tuple[Bid, ...]
    refining: tuple[str, ...]
    standing: StandingReason | None = None
    """Why it leads by its track record; `None` where bids were made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Awarded:
    """The auction is over."""

    auction: Auction


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkStarted:
    """The winner is at work."""

    agent: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkFinished:
    """The winner handed in."""

    execution: Execution


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """The outcome is known, or known to be unknown."""

    outcome: Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class AwardedAgain:
    """The work was no good, and the task goes to the next best bid."""

    failed: Outcome
    bid: Bid


@dataclass(frozen=True, kw_only=True, slots=True)
class CallSettled:
    """A model call came back and was paid for."""

    call: Call


Event = (
    AuctionOpened
    | BiddingOpened
    | EvidenceFound
    | ShortlistMade
    | StrategyArrived
    | AgentDropped
    | VoteArrived
    | LeaderFound
    | Awarded
    | WorkStarted
    | WorkFinished
    | Judged
    | AwardedAgain
    | CallSettled
)
Observer = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The observer that watches nothing."""


def shield_observer(observe: Observer) -> Observer:
    """The same observer, but its errors are logged and end nothing: the task goes on without it.

    Raises:
        InputError: It is not a plain function.
    """
    if observe is ignore:
        return observe
    called: object = getattr(observe, "__call__", None)  # noqa: B004  of an object, that may be async
    if called is None or inspect.iscoroutinefunction(observe) or inspect.iscoroutinefunction(called):
        raise InputError(f"observe must be a plain function, got {observe!r}", hint="It is not awaited: use `def`.")

    def tell(event: Event) -> None:
        try:
            observe(event)
        except Exception:
            LOG.exception("an observer failed at %s", type(event).__name__)

    return tell
