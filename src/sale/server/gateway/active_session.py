"""A conversation under way in this process: who does it, the work so far, and the digests it is known by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from sale.auction import scoring
from sale.auction.terms import AuctionTerms
from sale.server.gateway.identity import KnownConversation, Place, ServedTurn
from sale.server.store.types import Session
from sale.types import BROKE_OFF, Attempt, Auction, Bid, Call, Execution, Outcome, Task
from sale.types.labels import NOTHING_REQUIRED, Requirements


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionWork:
    """The present agent of a session, and the work on it so far."""

    agent: str
    plan: str
    calls: tuple[Call, ...]
    earlier: tuple[Attempt, ...]
    answer: str
    followed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ShadowAuction:
    """An auction to be held in the background once its conversation has been answered."""

    task: Task
    terms: AuctionTerms
    """Among all who may do the work. Its id is the auction's own, not that of the conversation's record."""


@dataclass(kw_only=True, slots=True)
class ActiveSession:
    """A session kept in mind."""

    session: Session
    auction: Auction | None = None
    """The latest; `None` where it is yet to be read from the record."""
    open: bool = False
    """True where this process settles its record."""
    calls: list[Call] = field(default_factory=list[Call])
    """Of the present agent."""
    lines: set[str] = field(default_factory=set[str])
    """Ids of the ledger's lines that `calls` and `earlier` stand for: all others are other processes'."""
    earlier: list[Attempt] = field(default_factory=list[Attempt])
    """The work of agents whose endpoints failed."""
    shadow: ShadowAuction | None = None
    """Yet to be held; see `shadow`."""
    recorded: asyncio.Event | None = None
    """Set once the record of its work is open, which in the shadow is after its first answer; else `None`."""
    answer: str = ""
    followed: bool = False
    busy: int = 0
    began: float = field(default_factory=time.monotonic)
    seen: float = field(default_factory=time.monotonic)
    digests: dict[str, None] = field(default_factory=dict[str, None])
    """Of its turns, the oldest first."""

    @property
    def known(self) -> KnownConversation:
        """The session as requests are compared with it."""
        one = self.session
        return KnownConversation(
            place=place_of_session(one), digests=self.digests, latest=latest_turn(one), seen=one.seen
        )

    @property
    def require(self) -> Requirements:
        """Labels that its requests have required so far."""
        return Requirements.parse(self.session.require) if self.session.require else NOTHING_REQUIRED

    @property
    def failed(self) -> set[str]:
        """Agents that could not be reached."""
        return {one.execution.agent for one in self.earlier}

    def execution(self, error: str | None = None) -> Execution:
        """The present agent's work so far."""
        return Execution(
            agent=self.session.agent,
            answer=self.answer,
            mode="session",
            followed_strategy=self.followed,
            calls=tuple(self.calls),
            seconds=time.monotonic() - self.began,
            error=error,
        )

    @property
    def work(self) -> SessionWork:
        """The present agent and its work so far, to come back to."""
        return SessionWork(
            agent=self.session.agent,
            plan=self.session.plan,
            calls=tuple(self.calls),
            earlier=tuple(self.earlier),
            answer=self.answer,
            followed=self.followed,
        )

    @work.setter
    def work(self, kept: SessionWork) -> None:
        self.session = replace(self.session, agent=kept.agent, plan=kept.plan)
        self.calls, self.earlier = list(kept.calls), list(kept.earlier)
        self.answer, self.followed = kept.answer, kept.followed

    def next_bid(self, bids: Sequence[Bid], asked: Collection[str]) -> Bid | None:
        """Return the best bid of another agent: one that failed here before comes last, as its fault may be over.

        Args:
            bids: Of agents that may do the work.
            asked: Agents that have failed in this turn.
        """
        out = {*asked, self.session.agent}
        return scoring.next_best(bids, self.failed | out) or scoring.next_best(bids, out)

    def pass_on(self, bid: Bid, reason: str) -> Outcome:
        """The present agent failed, which is returned; another takes over with its own plan."""
        failure = Outcome(verdict="failure", judged_by=BROKE_OFF, detail=reason)
        self.earlier.append(Attempt(execution=self.execution(reason), outcome=failure))
        self.calls, self.answer, self.followed = [], "", False
        self.session = replace(self.session, agent=bid.agent, plan=bid.strategy.text)
        return failure

    def renew(self, auction: Auction) -> None:
        """The conversation has been auctioned again, for another task."""
        self.auction, self.open = auction, True
        self.calls, self.earlier, self.answer, self.followed = [], [], "", False
        self.lines = set()
        self.began = time.monotonic()
        winner = auction.winner
        dollars = self.session.dollars + auction.settlement.dollars
        self.session = replace(
            self.session, agent=winner.agent, plan=winner.strategy.text, auction_id=auction.id, dollars=dollars
        )


def place_of(key_id: str | None, name: str) -> Place:
    """Where what a key calls so is found."""
    return (key_id or "", name)


def latest_turn(session: Session) -> ServedTurn:
    """Return the digests of a session's latest turn."""
    return ServedTurn(tail=session.tail, talk=session.talk, link=session.link, hint=session.hint)


def place_of_session(session: Session) -> Place:
    """Where a session is found."""
    return place_of(session.key_id, session.id)
