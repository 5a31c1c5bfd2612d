"""The protocols that the auction needs from other packages, one or two methods each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from sale.types import Call, Evidence, Pair, Price, Prompt, Reply, Strategy, Task, ToolInfo, TrackRecord, Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class BidRequest:
    """Ask for a strategy."""

    task: Task
    prompt: Prompt
    """Ready to send; a bidder that is not a language model may go by `task` alone."""
    max_tokens: int
    refining: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeRequest:
    """Ask for scores."""

    prompt: Prompt
    max_tokens: int
    schema: Mapping[str, object] | None
    """JSON schema of the answer, for endpoints that can enforce one; `None` for an answer in words."""


class Bidder(Protocol):
    """An agent that can bid. Failures are raised as `CallError`."""

    @property
    def name(self) -> str:
        """Unique in the pool."""
        ...

    @property
    def price(self) -> Price:
        """The price of its tokens."""
        ...

    @property
    def tools(self) -> tuple[ToolInfo, ...]:
        """Its tools, which are described to it when it plans."""
        ...

    async def bid(self, request: BidRequest, /) -> Reply:
        """Write a strategy."""
        ...


@runtime_checkable
class PricedPerTask(Protocol):
    """A bidder whose work may have a price of its own, whatever tokens it takes."""

    @property
    def price_per_task(self) -> float | None:
        """Dollars of one execution; `None` where its tokens are paid for."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """The evidence an agent found in its own tools before it bids."""

    evidence: tuple[Evidence, ...]
    """Best first."""
    calls: tuple[Call, ...] = ()
    """A line for each call of a tool, at stage `look`."""
    note: str | None = None
    """Why something could not be looked at."""


@runtime_checkable
class Looker(Protocol):
    """A bidder that can look into its own tools before it bids, without changing anything there."""

    @property
    def name(self) -> str:
        """Unique in the pool."""
        ...

    @property
    def looks(self) -> int:
        """The most calls it makes for one task; 0 where it has nothing to look into."""
        ...

    @property
    def look_dollars(self) -> float:
        """The most its looks at one task can cost, in dollars."""
        ...

    async def look(self, task: Task, /) -> Look:
        """Make its read-only calls for this task. What a tool fails at is in the note; nothing is raised for it."""
        ...


Reads = Literal["plan", "evidence", "bid"]
"""The part of a bid a juror reads: the plan alone, the evidence alone, or both. It abstains where that is missing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One yes-or-no question about one bid."""

    task: Task
    strategy: Strategy
    """As much of the bid as the juror reads."""
    text: str
    """The question."""
    prompt: Prompt
    """Task, bid and question, ready to be sent to a language model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer to a question about a bid."""

    probability: float
    """Of yes, in [0, 1]."""
    usage: Usage = field(default_factory=Usage)
    fault: str = ""
    """Why an answer that was paid for holds no probability; it is a missing vote then, and on the bill."""


class Respondent(Protocol):
    """A juror that answers a question about one bid with a probability. Failures are raised as `CallError`."""

    @property
    def name(self) -> str:
        """Unique on the jury."""
        ...

    @property
    def price(self) -> Price:
        """The price of its tokens; 0 for a juror that runs here at no cost."""
        ...

    async def answer(self, question: Question, /) -> Answer:
        """P(yes)."""
        ...


@runtime_checkable
class StatesMiddle(Protocol):
    """A respondent whose answers do not turn from no to yes at one half."""

    @property
    def middle(self) -> float:
        """The probability that speaks neither for nor against a bid, in [0, 1]: what one without evidence counts as."""
        ...


@runtime_checkable
class BoundedRespondent(Protocol):
    """A respondent that says how much an answer may take. Of others it is the prompt and an answer of one word."""

    def usage_bound(self, question: Question, /) -> Usage:
        """The most tokens that one answer to a question takes, all calls it makes for it together."""
        ...


class Juror(Protocol):
    """An agent that can judge. Failures are raised as `CallError`."""

    @property
    def name(self) -> str:
        """Unique in the pool."""
        ...

    @property
    def price(self) -> Price:
        """The price of its tokens."""
        ...

    async def judge(self, request: JudgeRequest, /) -> Reply:
        """Answer with JSON as the request's schema says."""
        ...


@runtime_checkable
class BoundedJuror(Protocol):
    """A juror that says how much a judgement may take. Of others it is the prompt and the longest answer allowed."""

    def usage_bound(self, request: JudgeRequest, /) -> Usage:
        """The most tokens that one judgement takes, all calls it makes for it together."""
        ...


class Recall(Protocol):
    """The auction memory, as refinement needs it."""

    async def recall_each(self, task: Task, agents: Sequence[str], k: int) -> Mapping[str, tuple[Pair, ...]]:
        """For each agent up to k contrastive pairs from the most similar past tasks, one strategy at least its own."""
        ...


class Experience(Protocol):
    """The auction memory, as far as it knows how agents did."""

    async def track_records(self, task: Task, agents: Sequence[str]) -> Mapping[str, TrackRecord]:
        """Return each agent's record at similar past tasks."""
        ...
