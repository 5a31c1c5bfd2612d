"""The protocols of an agent, a tool and a verifier."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from sale.auction.protocols import Bidder, Juror
from sale.models.address import Address
from sale.types import Execution, Outcome, Task, ToolInfo

if TYPE_CHECKING:
    from sale.agents.tools.workspace.workspace import Workspace


class Agent(Bidder, Protocol):
    """A contractor: bids, may judge, and does the work when it wins."""

    @property
    def juror(self) -> Juror | None:
        """Itself as a juror, or `None` where it does not judge."""
        ...

    async def prepare(self) -> None:
        """Get ready to be asked: fetch and load weights, open connections. Done before an auction's clock starts.

        Raises:
            SaleError: It cannot; its bid will fail for the same reason and go on record.
        """
        ...

    async def execute(self, task: Task, strategy: str | None) -> Execution:
        """Do the task. What goes wrong is in `Execution.error`; only bugs raise.

        Args:
            task: What is to be done.
            strategy: Its winning strategy.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections and weights."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectEndpoint:
    """The model of an agent, for clients that lead the conversation themselves."""

    address: Callable[[], Awaitable[Address]]
    """Where it answers; raises `CallError`."""
    follow_strategy: bool
    """True where it is shown its plan."""
    answer_tokens: int
    """The longest answer its settings speak of."""
    seconds: float
    """The longest an answer may take."""
    effort: str | None = None
    """The reasoning effort it works at; the model's own unless given."""
    context: int | None = None
    """Tokens one call may take, as its settings say; `None` where they do not."""
    tokens_per_minute: int | None = None
    """Tokens a minute that it may be asked for; `None` for no limit."""
    refuses: frozenset[str] = frozenset()
    """Kinds of content, roles and fields that a request may not have, as its settings say."""


@runtime_checkable
class Movable(Protocol):
    """An agent that can work in a copy of a repository."""

    def within(self, workspace: Workspace) -> Agent:
        """Itself at work there: what it hands in is a patch. Whoever opened it closes it."""
        ...


@runtime_checkable
class Reachable(Protocol):
    """An agent that may have an endpoint of its own."""

    @property
    def reach(self) -> DirectEndpoint | None:
        """The endpoint of its model; `None` where it cannot be asked directly."""
        ...


@runtime_checkable
class EffortDeclaring(Protocol):
    """An agent that may work at a reasoning effort of its own."""

    @property
    def effort(self) -> str | None:
        """The effort; `None` where its settings give none."""
        ...


@runtime_checkable
class CostDeclaring(Protocol):
    """An agent that may say beforehand what its work costs."""

    @property
    def dearest(self) -> float | None:
        """The most dollars one execution takes; `None` where that is not known."""
        ...


class Tool(Protocol):
    """Something an agent can use while it works. `run` takes named arguments and returns what the agent is shown."""

    @property
    def info(self) -> ToolInfo:
        """Name and description, as bidders and workers see it."""
        ...

    @property
    def run(self) -> Callable[..., Awaitable[str]]:
        """The call; its signature and docstring become the tool's schema."""
        ...


@runtime_checkable
class OpenedTool(Tool, Protocol):
    """A tool that keeps something for as long as one execution lasts."""

    def opened(self) -> AbstractAsyncContextManager[Tool]:
        """The tool for one execution."""
        ...


@runtime_checkable
class SchemaTool(Tool, Protocol):
    """A tool that brings the schema of its arguments along, as those of other programs do."""

    @property
    def schema(self) -> Mapping[str, object]:
        """JSON schema of the arguments."""
        ...


@runtime_checkable
class SourcedTool(Tool, Protocol):
    """A tool whose results are numbered sources, which an answer is to name."""

    @property
    def numbers_sources(self) -> bool:
        """Always true; that it is there is what counts."""
        ...


class Verifier(Protocol):
    """Says whether an answer is right."""

    async def verify(self, task: Task, answer: str) -> Outcome:
        """Judge one answer; where it cannot, the verdict is `unknown` and `detail` says why."""
        ...
