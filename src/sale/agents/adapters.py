"""Your own agent in the market: anything with a way to plan and a way to work.

A function knows nothing of tokens, so unless it says otherwise its texts are counted at four characters a token: bids
need a length to be costed (equation 2), and settlements a usage. Log-probabilities it has none, so its bids go without
the entropy term.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sale.auction.protocols import BidRequest, Juror
from sale.errors import BadReplyError, SaleError
from sale.types import Call, Execution, Price, Reply, Task, ToolInfo, Usage

CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A text and what it took; return it instead of a string to report the real usage."""

    text: str
    usage: Usage


Planner = Callable[[Task], Awaitable[str | Work]]
Worker = Callable[[Task, str | None], Awaitable[str | Work]]


class FunctionAgent:
    """Two async functions as an agent: `bid(task)` writes a plan, `execute(task, plan)` does the work.

    It does not judge. Whatever the functions raise is their failure, not the market's: a bid drops out, an execution
    ends with the error on record.
    """

    def __init__(
        self, name: str, *, price: Price, bid: Planner, execute: Worker, tools: tuple[ToolInfo, ...] = ()
    ) -> None:
        """Nothing is called yet.

        Args:
            name: Unique in the pool.
            price: Dollars per million tokens.
            bid: Plans.
            execute: Works.
            tools: What it says it can work with.
        """
        self._name = name
        self._price = price
        self._plan = bid
        self._work = execute
        self._tools = tools

    @property
    def name(self) -> str:
        """Unique in the pool."""
        return self._name

    @property
    def price(self) -> Price:
        """Dollars per million tokens."""
        return self._price

    @property
    def tools(self) -> tuple[ToolInfo, ...]:
        """What it says it can work with."""
        return self._tools

    @property
    def juror(self) -> Juror | None:
        """It does not judge."""
        return None

    async def prepare(self) -> None:
        """Nothing to get ready."""

    async def bid(self, request: BidRequest, /) -> Reply:
        """Call the planner; it sees the task, or for a refinement the same task once more."""
        began = time.monotonic()
        try:
            work = _as_work(await self._plan(request.task), request.task.text)
        except SaleError:
            raise
        except Exception as error:
            raise BadReplyError(_describe(error), where=self._name) from error
        return Reply(text=work.text, usage=work.usage, seconds=time.monotonic() - began)

    async def execute(self, task: Task, strategy: str | None) -> Execution:
        """Call the worker."""
        began = time.monotonic()
        work, failure = Work(text="", usage=Usage()), None
        try:
            work = _as_work(await self._work(task, strategy), task.text)
        except Exception as error:  # noqa: BLE001  anything may be raised by somebody else's agent
            failure = _describe(error)
        seconds = time.monotonic() - began
        call = Call(
            stage="execute",
            agent=self._name,
            usage=work.usage,
            dollars=self._price.dollars(work.usage),
            seconds=seconds,
            error=failure,
        )
        return Execution(
            agent=self._name,
            answer=work.text,
            mode="function",
            followed_strategy=strategy is not None,
            calls=(call,),
            seconds=seconds,
            error=failure,
        )

    async def aclose(self) -> None:
        """Nothing to let go of."""


def _as_work(made: str | Work, read: str) -> Work:
    if isinstance(made, Work):
        return made
    if not isinstance(made, str):  # pyright: ignore[reportUnnecessaryIsInstance]  somebody else's function
        raise TypeError(f"the function must return str or Work, got {made!r}")
    return Work(text=made, usage=Usage(input_tokens=_count(read), output_tokens=_count(made)))


def _count(text: str) -> int:
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
