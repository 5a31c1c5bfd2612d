"""The money that auctions may take, and the tasks they spend it on; without input, output, clock or chance.

Every dollar that the incumbent's work would have cost earns a share of it for auctions. An auction is held only if the
balance covers the most it can cost, so that auctions never take more than their share, whatever comes next. The balance
is small where tasks are small, so it is kept for the tasks on which an auction is expected to bring most for its price:
those that the balance and an income like that of the last `RECENT` tasks would cover of tasks like them.

An award to a dearer agent than the incumbent takes the difference from the balance, too.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from sale.auction.success_model import expected_work
from sale.auction.value_of_information import PricedBidder
from sale.types import Bid, Call, Price, Task, TrackRecord, Weights
from sale.types.calls import USUAL_BYTES_PER_TOKEN

P = TypeVar("P", bound=PricedBidder)
WorkEnd = Literal["answered", "broke off", "done again"]
"""The end of work: its answer counts, or none came of it, or another agent did it once more."""

RECENT = 200
"""Number of past tasks that set the bar for what an auction must be worth."""
ANSWER_TOKENS = 600
"""Tokens an answer is assumed to need where nothing is known."""
LOOP_TURNS = 10
"""Times a conversation with tools is assumed to be read, where nothing is known."""
LOOP_TOKENS = 1_000
"""Tokens each of those turns is assumed to add: a call of a tool and its result."""
PRIOR_GAIN = 0.5
"""Gain assumed of an auction where no success model was fitted, as a share of the cost of the incumbent's work."""
USUAL_SHARE = 0.25
"""Cost assumed of an auction, as a share of its maximum, until one was held: prompts are counted at a token a byte."""
PRIOR_TASKS = 3.0
"""Number of similar tasks that the prior counts as much as, beside a track record."""


def incumbent_of(agents: Sequence[P], name: str | None = None) -> P:
    """Return the agent that works without an auction: the one of that name, else the most expensive."""
    named = [agent for agent in agents if agent.name == name]
    return named[0] if named else max(agents, key=lambda agent: (agent.price.blended, agent.name))


def prior_tokens(task: Task, *, looping: bool = False) -> int:
    """Return the tokens that work on a task is assumed to need where nothing was learnt, by its length and by tools.

    Args:
        task: What is to be done.
        looping: Whether tools are to be called: then each turn reads all that came before.
    """
    request = len(task.text.encode()) // USUAL_BYTES_PER_TOKEN
    if not looping:
        return request + ANSWER_TOKENS
    added = LOOP_TOKENS * LOOP_TURNS * (LOOP_TURNS - 1) // 2
    return request * LOOP_TURNS + added + ANSWER_TOKENS


def work_ahead(bids: Sequence[Bid], weights: Weights, tokens: int) -> dict[str, float]:
    """By agent, what its work on a task is expected to cost, in dollars.

    Args:
        bids: Of the agents, with their track records.
        weights: With a success model, as fitted.
        tokens: Else what the work is taken to need, at the agent's price; a track record counts beside it.
    """
    model = weights.model
    return {
        bid.agent: expected_work(model, bid.agent, bid.price, bid.track) / 1e6
        if model is not None
        else _smoothed(bid.price * tokens / 1e6, bid.track)
        for bid in bids
    }


def _smoothed(prior: float, track: TrackRecord | None) -> float:
    if track is None:
        return prior
    return (PRIOR_TASKS * prior + track.spent / 1e6) / (PRIOR_TASKS + track.costed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """The estimates of an auction before it is held, in dollars."""

    most: float
    """It can cost."""
    gain: float
    """It is expected to bring."""


@dataclass(kw_only=True, slots=True)
class Allowance:
    """The balance of one stream of tasks. Dollars throughout."""

    share: float
    """Of the incumbent's money that auctions may take; 0.05 is five percent. Infinite: no limit."""
    earned: float = 0.0
    """The share of what the incumbent's work would have cost so far."""
    spent: float = 0.0
    """On auctions, and on work beyond what the incumbent's would have cost."""
    begun: bool = False
    """True once the part of the past that a memory holds has been counted."""
    elsewhere: float = 0.0
    """The balance of other processes that have this allowance too, as far as they have told."""
    _reserved: float = 0.0
    _actual: float = 0.0
    _worst: float = 0.0
    _recent: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=RECENT))

    def follow(self, before: Allowance) -> Allowance:
        """Return the allowance to go on with after an earlier one: its balance, at this share.

        Without a limit nothing was earned and all was spent. That must not count as a debt: the balance begins at 0.
        """
        if math.isinf(before.share) and math.isfinite(self.share):
            self.begun = True
            return self
        before.share = self.share
        return before

    @property
    def balance(self) -> float:
        """Dollars that auctions may take now."""
        own = self.earned - self.spent - self._reserved
        return math.inf if math.isinf(self.share) else own + self.elsewhere

    @property
    def reserved(self) -> float:
        """Dollars set aside for auctions under way here."""
        return self._reserved

    def pick_affordable(self, bids: Sequence[Bid], work: Mapping[str, float], incumbent: str) -> Sequence[Bid]:
        """While it is overdrawn: the bids of agents expected to cost no more than the incumbent; else all bids.

        Args:
            bids: Of the agents.
            work: By agent, what its work is expected to cost.
            incumbent: Its name; where it has not bid, all may be awarded.
        """
        if self.balance >= 0.0:
            return bids
        return [bid for bid in bids if work[bid.agent] <= work.get(incumbent, math.inf)]

    def reserve(self, outlook: Outlook) -> bool:
        """Decide whether an auction is held; if so, set the most it can cost aside until `settle`."""
        cost = self._expected(outlook.most)
        ratio = outlook.gain / cost if cost > 0.0 else math.inf
        self._recent.append((ratio, cost, self.earned))
        if math.isfinite(self.share) and (outlook.most > self.balance or ratio < max(1.0, self._bar())):
            return False
        self._reserved += outlook.most
        return True

    def explain_refusal(self, outlook: Outlook) -> Literal["allowance", "not-worth-it"]:
        """Return why `reserve` has refused an auction: the balance, or what it is expected to bring."""
        return "allowance" if outlook.most > self.balance else "not-worth-it"

    def settle(self, outlook: Outlook, dollars: float, *, whole: bool = True) -> None:
        """An auction that was held has cost so much.

        Args:
            outlook: As it was reserved by.
            dollars: What it cost, calls whose bill is unknown at their most.
            whole: Whether it came to its end: what a broken one cost says nothing of others.
        """
        self._reserved = max(0.0, self._reserved - outlook.most)
        self.spent += dollars
        if whole:
            self._actual, self._worst = self._actual + dollars, self._worst + outlook.most

    def record_work(
        self, calls: Iterable[Call], price: Price, *, own: bool = False, end: WorkEnd = "answered", cached: int = 0
    ) -> None:
        """Work was done. Only what answered the task stands for work of the incumbent's; what failed is spent.

        Args:
            calls: What it took.
            price: The incumbent's: at it the same tokens would have been paid. Tools cost the same whoever uses them.
            own: Whether the incumbent did it: then it cost what it cost, unless another agent did it once more, whose
                work stands for it.
            end: Of the work.
            cached: Of the input tokens, those read from a prompt cache.
        """
        for call in calls:
            if own and end != "done again":
                self.count(call.dollars, call.dollars)
            elif end != "answered":
                self.count(call.dollars, 0.0)
            else:
                alike = bool(call.tool) or call.usage.total == 0
                self.count(call.dollars, call.dollars if alike else price.dollars(call.usage, cached=cached))

    def count(self, dollars: float, incumbent: float) -> None:
        """Work has cost so much, and the incumbent's would have cost so much."""
        if math.isfinite(self.share):
            self.earned += self.share * incumbent
        self.spent += max(0.0, dollars - incumbent)

    def _expected(self, most: float) -> float:
        """Estimate the cost of an auction: the share of the maximum that earlier ones took, and the usual one."""
        if most == 0.0:
            return 0.0
        return most * (most * USUAL_SHARE + self._actual) / (most + self._worst)

    def _bar(self) -> float:
        """The least gain a dollar that is covered, were the recent tasks to come again; 0 where all of them are."""
        money = self.balance + self.earned - self._recent[0][2]
        taken = 0.0
        for ratio, cost, _ in sorted(self._recent, reverse=True):
            taken += cost
            if taken > money:
                return ratio
        return 0.0
