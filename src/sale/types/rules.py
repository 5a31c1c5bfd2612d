"""The rules and caps of an auction."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

JuryMode = Literal["panel", "per-bid"]
Holding = Literal["always", "worthwhile"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Caps:
    """Hard limits of one auction, bids, jury and refinement together. None is ever exceeded."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    calls: int = 200
    """Model calls."""
    tokens: int = 1_000_000
    """Tokens, input and output."""
    dollars: float = 1.0
    """Dollars."""
    seconds: float = 300.0
    """Wall time. At the deadline the auction goes on with the bids and votes it has."""

    def __post_init__(self) -> None:
        _above(self, 0, "calls", "tokens", "seconds")
        if not self.dollars >= 0:
            raise ValueError(f"dollars must not be negative, got {self.dollars!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckErrors:
    """Error rates of the checks of answers. A prior: later feedback on checked work moves them."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    false_pass: float = 0.0
    """The share of wrong answers that a check passes, in [0, 1]."""
    false_fail: float = 0.0
    """The share of right answers that a check fails, in [0, 1]."""
    evidence: float = 10.0
    """Number of answers with feedback that each of the two shares counts like: wrong ones, and right ones."""
    dollars: float = 0.0
    """Dollars of one check, where that decides whether it pays: a judging model's call, or the time of tests."""

    def __post_init__(self) -> None:
        for name in ("false_pass", "false_fail"):
            share: float = getattr(self, name)
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {share!r}")
        if not 0.0 < self.evidence < math.inf:
            raise ValueError(f"evidence must be a finite number above 0, got {self.evidence!r}")
        if not 0.0 <= self.dollars < math.inf:
            raise ValueError(f"dollars must be a finite number, not negative, got {self.dollars!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class AuctionRules:
    """The rules of an auction."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    jury: JuryMode = "panel"
    """`panel`: each juror scores all strategies in one call. `per-bid`: one call for each juror and strategy."""
    strategy_tokens: int = 300
    """The longest strategy a bidder may write, in tokens."""
    bid_seconds: float = 120.0
    """The longest a bid may take."""
    judge_seconds: float = 60.0
    """The longest a judgement may take."""
    plans: bool = True
    """With `true`, agents write plans. Without plans they bid with what they found, which costs no model call: for
    agents that look (`look`), and jurors that read evidence."""
    shortlist: int | None = None
    """Number of agents that are asked for a plan and read by jurors that cost something: those that look best by what
    is free, track records, prices and jurors without a price. All unless given; the cost of an auction then does not
    grow with the pool."""
    refine: bool = True
    """With `true`, cheaper agents may refine their bid from the auction memory."""
    examples: int = 8
    """k: how many contrastive pairs a refining agent is shown at most."""
    hold: Holding = "always"
    """`always`: every task is auctioned. `worthwhile`: where the weights hold a success model, and bids are expected to
    tell less than they cost, the task goes to the best agent by its track record, without an auction."""
    allowance: float | None = None
    """Limit of what auctions may take, as a share of what the incumbent's work would have cost: 0.05 is five percent,
    `inf` no limit. An auction is held only where that covers the most it can cost, and where it is expected to bring
    most; other tasks go to the best agent by its track record, or to the incumbent where no success model was fitted.
    Unless given, 0.05 in `sale serve`, and no limit elsewhere."""
    incumbent: str | None = None
    """The agent that did the work before there was a market, against which savings are counted; the one with the
    highest price unless given."""
    attempts: int = 1
    """Number of agents that may work on a task, one after the other: where a verifier fails the winner's work, the task
    goes to the next best bid."""
    check: CheckErrors = field(default_factory=CheckErrors)
    """Error rates of checks, as far as known beforehand; a plan of several attempts counts with them."""
    failure_dollars: float = 0.0
    """Dollars that failed work costs when it is handed in, beside its price. They add to what a solved task is worth,
    so that an agent less likely to succeed must be cheaper by so much more; before weights are fitted, they add to
    what a track record is worth."""
    base_rates: bool = True
    """With `true`, the prior, in use until weights are fitted, counts agents' track records on like tasks. With
    `false` it is the published rule, which knows bids alone."""
    explore: float = 0.0
    """The share of awards, in [0, 1], drawn evenly among the bids instead of going to the best: others' outcomes
    become known, and the probability of each award goes on record, so that `sale replay` can say what other weights
    would have done."""
    explore_dollars: float = 0.01
    """An agent expected to cost this many dollars more than the best bid is not drawn."""
    caps: Caps = field(default_factory=Caps)
    """Hard limits of one auction."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.explore <= 1.0:
            raise ValueError(f"explore must lie in [0, 1], got {self.explore!r}")
        if not self.explore_dollars >= 0.0:
            raise ValueError(f"explore_dollars must not be negative, got {self.explore_dollars!r}")
        if not 0.0 <= self.failure_dollars < math.inf:
            raise ValueError(f"failure_dollars must be a finite number, not negative, got {self.failure_dollars!r}")
        if self.allowance is not None and not self.allowance >= 0.0:
            raise ValueError(f"allowance must not be negative, got {self.allowance!r}")
        _above(self, 0, "strategy_tokens", "bid_seconds", "judge_seconds")
        _above(self, 0, "attempts")
        if self.shortlist is not None:
            _above(self, 0, "shortlist")
        if self.examples < 0:
            raise ValueError(f"examples must not be negative, got {self.examples!r}")


def _above(settings: object, least: float, *names: str) -> None:
    for name in names:
        value: float = getattr(settings, name)
        if not value > least:  # in this form it refuses NaN too
            raise ValueError(f"{name} must be above {least}, got {value!r}")
