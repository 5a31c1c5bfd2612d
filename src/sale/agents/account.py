"""One execution's account: what its calls of models and tools have taken, and what it may still spend.

A tool's call is billed here, whichever way an agent works. Where a budget comes to its end the agent is asked for its
answer while there is something left to ask with; the execution then says that it was cut short.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import wraps

from sale.agents.protocol import SchemaTool, Tool
from sale.auction.foreign import await_foreign
from sale.errors import SaleError, SpentError
from sale.types import Call, Execution, Price, ToolInfo, Usage
from sale.types.tools import FREE, Budget, Fee

NO_BUDGET = Budget()
CANCELLED = "call: cancelled"
_PARTIAL = (
    SpentError.code,
    "execution.tokens",
    "execution.turns",
    "call.timeout",
    "call.bad_reply: the answer is empty",
)
"""Failures that a budget explains."""


def max_dollars(budget: Budget, price: Price) -> float | None:
    """The most that one execution costs within a budget; `None` where it does not limit that."""
    of_tokens = None if budget.tokens is None else budget.tokens * max(price.input, price.output) / 1e6
    return min((most for most in (budget.dollars, of_tokens) if most is not None), default=None)


_KEPT: ContextVar[list[Call] | None] = ContextVar("_KEPT", default=None)


@contextmanager
def keep_calls() -> Generator[list[Call]]:
    """The lines of what executions call meanwhile, as they are made: one that is cancelled, or raises, gives none."""
    calls: list[Call] = []
    before = _KEPT.get()
    _KEPT.set(calls)
    try:
        yield calls
    finally:
        _KEPT.set(before)


def keep_call(call: Call) -> None:
    """Keep a line for the caller of the execution, however that ends."""
    if (calls := _KEPT.get()) is not None:
        calls.append(call)


class ExecutionAccount:
    """Counts, refuses what would go beyond, and keeps a line for each call of a tool."""

    def __init__(
        self, agent: str, price: Price, budget: Budget = NO_BUDGET, *, keep: Callable[[Call], None] = keep_call
    ) -> None:
        """Open it as the work begins.

        Args:
            agent: Whose lines they are.
            price: Of its tokens.
            budget: What it may spend.
            keep: Told of each call as it was made.
        """
        self._agent = agent
        self._price = price
        self._budget = budget
        self._keep = keep
        self._began = time.monotonic()
        self._tokens = self._calls = 0
        self._dollars = 0.0
        self._largest = Usage()
        self._longest = self._dearest = 0.0
        self._lines: list[Call] = []
        self.cut_short = ""
        """Why the work was, or is to be, ended early; empty where it was not."""

    def record_call(self, usage: Usage, seconds: float, *, cut: bool = False, error: str | None = None) -> None:
        """A model was called.

        Args:
            usage: The tokens it took; none where that is not known.
            seconds: How long it took.
            cut: Its text was cut, because there was no room for more.
            error: Why there is no answer, where there is none. The call counts all the same.
        """
        self._keep(self._line(usage, self._price.dollars(usage), seconds, error))
        if cut:
            self.cut_short = self.cut_short or "cut short, there was no room for more"
        self._calls += 1
        self._tokens += usage.total
        self._dollars += self._price.dollars(usage)
        if usage.total > self._largest.total:
            self._largest = usage
        if error is None:
            self._longest = max(self._longest, seconds)

    def allow(self, *, calls: int = 1, rounds: int = 0, dollars: float = 0.0) -> None:
        """See whether there is enough left.

        Args:
            calls: For so many calls.
            rounds: For so many calls of the model, each like the largest so far.
            dollars: For a tool that costs so much.

        Raises:
            SpentError: There is not.
        """
        short = self._lacking(calls, rounds, dollars)
        if short:
            self.cut_short = short
            raise SpentError(short, where=self._agent, hint="Answer now, with what you have.")

    @property
    def closing(self) -> bool:
        """True where the budget left is for one more call of the model, which is then asked for its answer."""
        short = self._lacking(2, 2, self._dearest)
        self.cut_short = self.cut_short or short
        return bool(short)

    def limit_tokens(self, tokens: int) -> int:
        """Return the tokens of so many that a model may write, at least 1."""
        left = [tokens]
        if self._budget.tokens is not None:
            left.append(self._budget.tokens - self._tokens)
        if self._budget.dollars is not None and self._price.output > 0:
            left.append(int((self._budget.dollars - self._dollars) / self._price.output * 1e6))
        return max(1, min(left))

    def seconds(self, most: float) -> float:
        """Return the seconds that a piece of work with such a limit may take."""
        return most if self._budget.seconds is None else max(0.0, min(most, self._budget.seconds - self._passed))

    def meter(self, tool: Tool) -> Tool:
        """The same tool, on this account."""
        return _MeteredSchemaTool(tool, self) if isinstance(tool, SchemaTool) else _MeteredTool(tool, self)

    async def use(self, tool: Tool, call: Callable[[], Awaitable[str]]) -> str:
        """Have a tool do something, and put it on the bill.

        Raises:
            SpentError: What is left is for the answer.
            Exception: Whatever the tool raises.
        """
        fee: Fee = getattr(tool, "fee", FREE)
        self.allow(calls=2, rounds=1, dollars=fee.per_call)
        self._calls += 1  # at once: several may be called at the same time
        self._dollars += fee.per_call
        began = time.monotonic()
        error: str | None = "stopped"
        try:
            shown = await await_foreign(call(), "tool", where=tool.info.name)
            error = None
        except SaleError as failure:
            error = f"{failure.code}: {failure.message}"
            raise
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"[:200]
            raise
        finally:
            self._bill(tool.info.name, fee, time.monotonic() - began, error)
        return shown

    def complete(self, execution: Execution) -> Execution:
        """An execution with the lines of its tools, and the reason where it was cut short."""
        made = tuple(call for call in execution.calls if not (call.error or "").startswith(SpentError.code))
        error = execution.error
        if self.cut_short and (error is None or error.startswith(_PARTIAL)):
            error = f"{SpentError.code}: {self.cut_short}"
        return replace(execution, calls=(*made, *self._lines), error=error)

    def _bill(self, tool: str, fee: Fee, seconds: float, error: str | None) -> None:
        dollars = fee.dollars(seconds, answered=error is None)
        self._dollars += dollars - fee.per_call
        self._dearest = max(self._dearest, dollars)
        line = replace(self._line(Usage(), dollars, seconds, error), tool=tool, key=fee.key)
        self._lines.append(line)
        self._keep(line)

    def _line(self, usage: Usage, dollars: float, seconds: float, error: str | None) -> Call:
        return Call(stage="execute", agent=self._agent, usage=usage, dollars=dollars, seconds=seconds, error=error)

    def _lacking(self, calls: int, rounds: int, dollars: float) -> str:
        """Return the limit that does not suffice for so many calls, rounds of the model and dollars; else empty."""
        budget, largest = self._budget, self._largest
        needs = (
            (budget.calls, self._calls + calls, "calls"),
            (budget.tokens, self._tokens + rounds * largest.total + 1, "tokens"),
            (budget.dollars, self._dollars + rounds * self._price.dollars(largest) + dollars, "dollars"),
            (budget.seconds, self._passed + rounds * self._longest, "seconds"),
        )
        short = next((f"{most:g} {what}" for most, need, what in needs if most is not None and need > most), "")
        return f"cut short, the budget of {short} is used up" if short else ""

    @property
    def _passed(self) -> float:
        return time.monotonic() - self._began


class _MeteredTool:
    """A tool whose calls are on an account."""

    def __init__(self, tool: Tool, account: ExecutionAccount) -> None:
        self._tool = tool
        self._account = account
        self.long_input: bool = getattr(tool, "long_input", False)

    @property
    def info(self) -> ToolInfo:
        return self._tool.info

    @property
    def run(self) -> Callable[..., Awaitable[str]]:
        tool, account = self._tool, self._account

        @wraps(tool.run)
        async def run(*args: object, **kwargs: object) -> str:
            return await account.use(tool, lambda: tool.run(*args, **kwargs))

        return run


class _MeteredSchemaTool(_MeteredTool):
    """One that brings its schema along."""

    @property
    def schema(self) -> Mapping[str, object]:
        return self._tool.schema if isinstance(self._tool, SchemaTool) else {}
