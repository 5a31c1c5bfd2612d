"""What the auction needs from others, declared where it is needed: one or two methods each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sale.types import Pair, Price, Prompt, Reply, Task, ToolInfo, TrackRecord


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
    schema: Mapping[str, object]
    """JSON schema of the answer, for endpoints that can enforce one."""


class Bidder(Protocol):
    """An agent that can bid. Failures are raised as `CallError`."""

    @property
    def name(self) -> str:
        """Unique in the pool."""
        ...

    @property
    def price(self) -> Price:
        """What its tokens cost."""
        ...

    @property
    def tools(self) -> tuple[ToolInfo, ...]:
        """What it can work with, to be described to it when it plans."""
        ...

    async def bid(self, request: BidRequest, /) -> Reply:
        """Write a strategy."""
        ...


class Juror(Protocol):
    """An agent that can judge. Failures are raised as `CallError`."""

    @property
    def name(self) -> str:
        """Unique in the pool."""
        ...

    @property
    def price(self) -> Price:
        """What its tokens cost."""
        ...

    async def judge(self, request: JudgeRequest, /) -> Reply:
        """Answer with JSON as the request's schema says."""
        ...


class Recall(Protocol):
    """The auction memory, as refinement needs it."""

    async def recall_each(self, task: Task, agents: Sequence[str], k: int) -> Mapping[str, tuple[Pair, ...]]:
        """For each agent up to k contrastive pairs from the most similar past tasks, one strategy at least its own."""
        ...


class Experience(Protocol):
    """The auction memory, as far as it knows how agents did."""

    async def track_records(self, task: Task, agents: Sequence[str]) -> Mapping[str, TrackRecord]:
        """How each agent did at past tasks like this one."""
        ...
