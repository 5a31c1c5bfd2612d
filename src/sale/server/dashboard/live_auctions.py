"""Auctions under way, as far as events tell: who is bidding, with what, how it is judged, who works, what it costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean

from sale.auction.events import (
    AgentDropped,
    AuctionOpened,
    Awarded,
    AwardedAgain,
    BiddingOpened,
    CallSettled,
    Event,
    Judged,
    LeaderFound,
    StandingReason,
    StrategyArrived,
    VoteArrived,
    WorkFinished,
    WorkStarted,
)
from sale.types import Strategy, Vote
from sale.wording import quantity


@dataclass
class LiveBidder:
    """One agent in one auction."""

    agent: str
    state: str = "is considered"
    tokens: int | None = None
    refined: bool = False
    dropped: bool = False
    net_cost: float | None = None
    votes: dict[str, float] = field(default_factory=dict[str, float])
    """By juror, on its latest plan."""

    @property
    def score(self) -> float | None:
        """The jury's mean so far, in points."""
        return fmean(self.votes.values()) if self.votes else None


@dataclass
class LiveAuction:
    """One auction."""

    id: str
    task: str = ""
    domain: str | None = None
    phase: str = "opening"
    said: str = ""
    """The latest that is worth saying aloud."""
    bids: dict[str, LiveBidder] = field(default_factory=dict[str, LiveBidder])
    leader: str | None = None
    winner: str | None = None
    verdict: str | None = None
    dollars: float = 0.0
    calls: int = 0

    def take(self, event: Event) -> None:
        """Apply an event."""
        match event:
            case AuctionOpened(task=task, agents=agents):
                self.task, self.domain = task.text, task.domain
                for agent in agents:
                    self._of(agent)
                self.said = f"A new task for {quantity(len(agents), 'agent')}."
            case BiddingOpened(agents=agents):
                for agent in agents:
                    self._of(agent).state = "writing its plan"
                self.phase = "bidding"
                self.said = f"Bidding has begun among {quantity(len(agents), 'agent')}."
            case StrategyArrived(strategy=strategy):
                self._plan(strategy)
            case AgentDropped(dropout=dropout):
                one = self._of(dropout.agent)
                one.dropped, one.state = True, f"left: {dropout.reason}"
            case VoteArrived(vote=vote):
                self._vote(vote)
            case CallSettled(call=call):
                self.dollars += call.dollars
                self.calls += 1
            case _:
                self._later(event)

    def _later(self, event: Event) -> None:
        """From the provisional winner on."""
        match event:
            case LeaderFound(leader=leader, bids=bids, refining=refining, standing=standing):
                self.leader = leader.agent
                self._tell_standing(standing)
                for bid in bids:
                    self._of(bid.agent).net_cost = bid.net_cost
                for agent in refining:
                    self._of(agent).state = "refining its plan"
                self.phase = "refining" if refining else "deciding"
            case Awarded(auction=auction):
                self._award(auction.winner.agent)
                for bid in auction.contenders:
                    self._of(bid.agent).net_cost = bid.net_cost
            case AwardedAgain(bid=bid):
                self._of(self.winner or bid.agent).state = "tried and failed"
                self._award(bid.agent)
            case WorkStarted(agent=agent):
                self.phase = "working"
                self._of(agent).state = "at work"
            case WorkFinished(execution=execution):
                self.phase = "judging"
                self._of(execution.agent).state = "handed in"
            case Judged(outcome=outcome):
                self.phase, self.verdict = "done", outcome.verdict
                self.said = f"The work of {self.winner} is judged: {outcome.verdict}."
            case _:
                pass

    def _tell_standing(self, reason: StandingReason | None) -> None:
        """Say why there are no bids, where there are none."""
        if reason == "no-bids":
            self.said = "No agent made a bid."
        elif reason is not None:
            self.said = "No agent is asked for a bid."
            for one in self.bids.values():
                one.state = "was not asked for a bid"

    def _of(self, agent: str) -> LiveBidder:
        return self.bids.setdefault(agent, LiveBidder(agent=agent))

    def _plan(self, strategy: Strategy) -> None:
        one = self._of(strategy.agent)
        one.tokens, one.refined = strategy.tokens, strategy.refined
        one.state = "has refined its plan" if strategy.refined else "has a plan"
        if strategy.refined:
            one.votes = {}

    def _vote(self, vote: Vote) -> None:
        if vote.value is not None:
            self._of(vote.bidder).votes[vote.juror] = vote.value

    def _award(self, agent: str) -> None:
        self.winner, self.phase = agent, "awarded"
        self._of(agent).state = "won the task"
        self.said = f"The task goes to {agent}."
