"""The auction as a whole, the work, and how it came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sale.types.bids import Bid, Dropout, Exploration, Refinement, Task
from sale.types.calls import Call, Settlement
from sale.types.rules import JuryMode
from sale.types.weights import Weights

Verdict = Literal["success", "failure", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Auction:
    """Everything about one auction: who bid what, who judged it how, who won and why."""

    id: str
    task: Task
    bids: tuple[Bid, ...]
    """First bids that stood, in the pool's order."""
    provisional: str
    """The provisional winner (equation 4)."""
    refinements: tuple[Refinement, ...]
    winner: Bid
    """The bid that is awarded: a refined one where it beats the provisional winner (equations 5 and 6)."""
    dropouts: tuple[Dropout, ...]
    weights: Weights
    jury: JuryMode
    settlement: Settlement
    seconds: float
    exploration: Exploration | None = None
    """The draw of the award, where the rules let awards explore."""

    @property
    def contenders(self) -> tuple[Bid, ...]:
        """First and refined bids together."""
        return self.bids + tuple(r.bid for r in self.refinements if r.bid is not None)

    @property
    def held(self) -> bool:
        """True where an auction was held, false for an award on track records."""
        return any(bid.planned or bid.scores or bid.strategy.evidence for bid in self.bids)

    @property
    def flipped(self) -> bool:
        """True where refinement took the task from the provisional winner."""
        return self.winner.strategy.refined


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """The winner's work."""

    agent: str
    answer: str
    mode: str
    """The way it worked, in a word or two: `direct` (one answer), `tools` (a tool loop), `steps`, `session` (by the
    gateway), `imported`, that of an agent of one's own, …; `failed` where it raised, `cancelled` where it was cut
    off."""
    followed_strategy: bool
    trace: tuple[Mapping[str, object], ...] = ()
    """The messages exchanged, in order, as JSON-ready values."""
    calls: tuple[Call, ...] = ()
    seconds: float = 0.0
    error: str | None = None
    """Why there is no whole answer, where there is none."""


USER = "user"
"""`judged_by` of a verdict that a user gave afterwards."""
NO_JUDGE = "nobody"
"""`judged_by` of work without a verdict."""
BROKE_OFF = "execution"
"""`judged_by` of work without an answer, which no check has seen."""
PATCH = "patch"
"""`judged_by` of a patch that does not apply: a failure for certain."""
UNVERIFIED = frozenset({USER, NO_JUDGE, BROKE_OFF})
"""Values of `judged_by` without a verifier: the user judged afterwards, no one did, or there is no answer to verify."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The verdict on the work, and its source."""

    verdict: Verdict
    judged_by: str
    """`tests`, `exact match`, `callable`, `model:<agent>`, `patch` (changes that do not fit the repository), the name
    of a verifier of one's own, …, or one of `UNVERIFIED`."""
    detail: str = ""
    calls: tuple[Call, ...] = ()
    """Model calls the judging itself took."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One agent's work on a task, and how it came out."""

    execution: Execution
    outcome: Outcome


OWN_WORK = "its own execution"
"""The basis of a baseline that is measured, not estimated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """The estimated cost of the task without a market, and the basis of the estimate."""

    agent: str
    dollars: float
    basis: str

    @property
    def measured(self) -> bool:
        """True where the agent did this very task, false for an estimate."""
        return self.basis == OWN_WORK


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One task through the market, from bids to outcome."""

    auction: Auction
    execution: Execution
    """Of several attempts, the one whose answer is handed in: the last that has one."""
    outcome: Outcome
    """Of that attempt."""
    settlement: Settlement
    always_largest: Baseline
    seconds: float
    attempts: tuple[Attempt, ...] = ()
    """The others, which failed, in order: the task went on to the next best bid."""
    unkept: str | None = None
    """Why the memory holds no record of it, or no whole one; `None` where it does, or where there is no memory."""
    saved: float = field(init=False)
    """Dollars saved against `always_largest`; negative where the market cost more."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "saved", self.always_largest.dollars - self.settlement.dollars)

    @property
    def answer(self) -> str:
        """The winner's answer."""
        return self.execution.answer
