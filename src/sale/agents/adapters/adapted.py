"""The parts all adapters share: the terms an agent works on, and one piece of work from its prompt to its settlement.

A foreign agent may raise anything, hang, or end without a word. Whatever it does is on the execution's record;
nothing of it reaches the market but a cancellation of the market's own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic_core import to_json, to_jsonable_python

from sale.agents.account import CANCELLED, NO_BUDGET, ExecutionAccount, keep_call, max_dollars
from sale.agents.adapters.plans import PlanSource, describe_error, estimate_usage
from sale.agents.prompts import work_prompt
from sale.agents.worklog import describe
from sale.auction.foreign import await_foreign
from sale.auction.protocols import BidRequest, Juror
from sale.errors import CallTimeoutError, SaleError
from sale.models.errors import FOREIGN, to_call_error
from sale.types import Call, Execution, Price, Prompt, Reply, Task, ToolInfo, Usage
from sale.types.tools import Budget

NO_ANSWER = "call.bad_reply: the answer is empty"


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """The name, the price and the limits of an adapted agent."""

    name: str
    """Unique in the pool."""
    price: Price
    """Dollars per million tokens: bids are costed with it, and what the agent reports is settled at it."""
    price_per_task: float | None = None
    """Dollars for one execution whose tokens are not reported. Without it such work is counted by the length of its
    texts."""
    seconds: float = 600.0
    """The longest an execution may take."""
    budget: Budget = NO_BUDGET
    """Limits of what an execution may spend. Tokens, dollars and calls hold where the framework reports them as it goes
    (Pydantic AI, OpenAI Agents, LangGraph); seconds always."""
    follow_strategy: bool = True
    """True where it is shown its winning strategy while it works."""
    tools: tuple[ToolInfo, ...] = ()
    """Its tools, which are described to it when it plans."""


@dataclass(slots=True)
class AdapterLog:
    """The results of a piece of work so far. They are kept, however the work ends."""

    answer: str = ""
    usages: list[tuple[Usage, float]] = field(default_factory=list[tuple[Usage, float]])
    """Tokens and seconds of each model call that was reported."""
    trace: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])
    dollars: float | None = None
    """Dollars of the work as a whole, where they are reported: they then count, and not the price of tokens."""
    begun: bool = False
    """True once work that reports no usage has cost something."""
    terms: Terms | None = None
    """The terms whose budget the work is held to."""

    def check(self, usages: Sequence[Usage] | None = None) -> None:
        """See whether there may be another model call after these; after those reported so far, unless given.

        Raises:
            SpentError: The budget is used up.
        """
        if self.terms is None:
            return
        account = ExecutionAccount(self.terms.name, self.terms.price, self.terms.budget, keep=lambda _: None)
        for usage in [usage for usage, _ in self.usages] if usages is None else usages:
            account.record_call(usage, 0.0)
        account.allow()


Doing = Callable[[Prompt, AdapterLog], Awaitable[None]]
"""Does the work of a prompt and keeps its course; may raise anything."""


class AdaptedAgent:
    """The part of a contractor that is the same for every framework. It does not judge."""

    def __init__(self, terms: Terms, plans: PlanSource) -> None:
        """Nothing is called yet.

        Args:
            terms: Name, price, limits.
            plans: Where its plans come from.
        """
        self._terms = terms
        self._plans = plans

    @property
    def name(self) -> str:
        """Unique in the pool."""
        return self._terms.name

    @property
    def price(self) -> Price:
        """Dollars per million tokens."""
        return self._terms.price

    @property
    def tools(self) -> tuple[ToolInfo, ...]:
        """Its tools, by its own account."""
        return self._terms.tools

    @property
    def juror(self) -> Juror | None:
        """It does not judge."""
        return None

    @property
    def price_per_task(self) -> float | None:
        """Dollars of one execution, where its terms name them."""
        return self._terms.price_per_task

    @property
    def dearest(self) -> float | None:
        """The price of a task, or what the budget allows, whichever is more."""
        known = (self._terms.price_per_task, max_dollars(self._terms.budget, self._terms.price))
        return max((most for most in known if most is not None), default=None)

    async def prepare(self) -> None:
        """Nothing to get ready."""

    async def bid(self, request: BidRequest, /) -> Reply:
        """Have a plan written.

        Raises:
            SaleError: There is none.
        """
        return await self._plans.bid(request)

    async def aclose(self) -> None:
        """Nothing to let go of: whoever made the agent closes it."""


async def carry_out(terms: Terms, mode: str, task: Task, strategy: str | None, do: Doing) -> Execution:
    """One piece of work of an adapted agent, within its time.

    Args:
        terms: The agent's.
        mode: The kind of agent, for the record.
        task: What is to be done.
        strategy: Its winning strategy; shown to it where its terms say so.
        do: Does it.
    """
    shown = strategy if terms.follow_strategy else None
    prompt = work_prompt(task, strategy=shown)
    worklog = AdapterLog(terms=terms)
    began = time.monotonic()
    try:
        error = await _outcome(terms, prompt, worklog, do)
    except asyncio.CancelledError:
        for call in _settled(terms, prompt, worklog, time.monotonic() - began, CANCELLED):
            keep_call(call)
        raise
    seconds = time.monotonic() - began
    return Execution(
        agent=terms.name,
        answer=worklog.answer,
        mode=mode,
        followed_strategy=shown is not None,
        trace=tuple(worklog.trace),
        calls=_settled(terms, prompt, worklog, seconds, error),
        seconds=seconds,
        error=error,
    )


async def _outcome(terms: Terms, prompt: Prompt, worklog: AdapterLog, do: Doing) -> str | None:
    """Why there is no whole answer; `None` where there is one."""
    seconds = min(terms.seconds, terms.budget.seconds or terms.seconds)
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            await await_foreign(do(prompt, worklog))
    except Exception as error:  # noqa: BLE001  anything may be raised by somebody else's agent
        if limit.expired():
            return describe(CallTimeoutError(f"not done within {seconds:g} s"))
        return describe_failure(error, terms.name)
    return None if worklog.answer.strip() else NO_ANSWER


def describe_failure(error: Exception, where: str) -> str:
    """An exception for the record, ours or anybody's, in one line."""
    if isinstance(error, SaleError):
        return describe(error)
    return describe(to_call_error(error, where)) if isinstance(error, FOREIGN) else describe_error(error)


def text_of(output: object) -> str:
    """Return an agent's answer as text, a value of another type as JSON."""
    return output if isinstance(output, str) else to_json(output, fallback=str).decode()


def json_of(value: object) -> object:
    """Anything as JSON-ready values, for a trace."""
    return to_jsonable_python(value, fallback=str)


def _settled(terms: Terms, prompt: Prompt, worklog: AdapterLog, seconds: float, error: str | None) -> tuple[Call, ...]:
    """A line for each call that was reported, else one for the work as a whole; and one for how it failed."""
    reported = [(usage, spent) for usage, spent in worklog.usages if usage.total]
    if worklog.dollars is not None:
        usage = sum((usage for usage, _ in reported), Usage())
        return (_line(terms, prompt, usage, worklog.dollars, seconds, error),)
    if not reported and (worklog.answer.strip() or worklog.begun):
        usage = estimate_usage(prompt.user, worklog.answer)
        dollars = terms.price.dollars(usage) if terms.price_per_task is None else terms.price_per_task
        return (_line(terms, prompt, usage, dollars, seconds, error),)
    lines = [_line(terms, prompt, usage, terms.price.dollars(usage), spent, None) for usage, spent in reported]
    if error is not None:
        lines.append(_line(terms, prompt, Usage(), 0.0, max(0.0, seconds - sum(s for _, s in reported)), error))
    return tuple(lines)


def _line(terms: Terms, prompt: Prompt, usage: Usage, dollars: float, seconds: float, error: str | None) -> Call:
    return Call(
        stage="execute",
        agent=terms.name,
        usage=usage,
        dollars=dollars,
        seconds=seconds,
        prompt=prompt.template,
        error=error,
    )
