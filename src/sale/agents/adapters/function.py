"""Two async functions as an agent.

A function knows nothing of tokens, so unless it says otherwise its texts are counted at four bytes a token: bids
need a length to be costed (equation 2), and settlements a usage. Log-probabilities it has none, so its bids go without
the entropy term.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from sale.agents.account import CANCELLED, keep_call
from sale.agents.adapters.plans import Planner, Work, as_work, describe_error, estimate_usage
from sale.agents.worklog import describe
from sale.auction.foreign import await_foreign
from sale.auction.protocols import BidRequest, Juror
from sale.errors import BadReplyError, CallTimeoutError, SaleError
from sale.types import Call, Execution, Price, Reply, Task, ToolInfo, Usage

Worker = Callable[[Task, str | None], Awaitable[str | Work]]


class FunctionAgent:
    """Two async functions as an agent: `bid(task)` writes a plan, `execute(task, plan)` does the work.

    It does not judge. Whatever the functions raise is their failure, not the market's: a bid drops out, an execution
    ends with the error on record.
    """

    def __init__(
        self,
        name: str,
        *,
        price: Price,
        bid: Planner,
        execute: Worker,
        tools: tuple[ToolInfo, ...] = (),
        seconds: float | None = None,
    ) -> None:
        """Nothing is called yet.

        Args:
            name: Unique in the pool.
            price: Dollars per million tokens.
            bid: Plans.
            execute: Works.
            tools: What it says it can work with.
            seconds: The longest an execution may take; as long as it likes unless given.
        """
        self._name = name
        self._price = price
        self._plan = bid
        self._work = execute
        self._tools = tools
        self._seconds = seconds

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
        """Its tools, by its own account."""
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
            work = as_work(await self._plan(request.task), request.task.text)
        except SaleError:
            raise
        except Exception as error:
            raise BadReplyError(describe_error(error), where=self._name) from error
        return Reply(text=work.text, usage=work.usage, seconds=time.monotonic() - began)

    async def execute(self, task: Task, strategy: str | None) -> Execution:
        """Call the worker."""
        began = time.monotonic()
        work, failure = Work(text="", usage=Usage()), None
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                work = as_work(await await_foreign(self._work(task, strategy)), task.text)
        except asyncio.CancelledError:
            # It may have asked a model: as far as is known, for the task at least.
            keep_call(self._call(estimate_usage(task.text, ""), time.monotonic() - began, CANCELLED))
            raise
        except Exception as error:  # noqa: BLE001  anything may be raised by somebody else's agent
            failure = describe_error(error)
            if limit.expired():
                failure = describe(CallTimeoutError(f"not done within {self._seconds:g} s"))
        seconds = time.monotonic() - began
        return Execution(
            agent=self._name,
            answer=work.text,
            mode="function",
            followed_strategy=strategy is not None,
            calls=(self._call(work.usage, seconds, failure),),
            seconds=seconds,
            error=failure,
        )

    def _call(self, usage: Usage, seconds: float, error: str | None) -> Call:
        return Call(
            stage="execute",
            agent=self._name,
            usage=usage,
            dollars=self._price.dollars(usage),
            seconds=seconds,
            error=error,
        )

    async def aclose(self) -> None:
        """Nothing to let go of."""
