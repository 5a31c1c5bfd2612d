"""One piece of work for one agent, and the log of it: what was asked and answered, and what it cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field

from sale.agents.account import ExecutionAccount
from sale.agents.protocol import Tool
from sale.errors import CallError, CallTimeoutError, SaleError
from sale.models.protocol import GenerationRequest, Model
from sale.types import Call, Execution, Price, Prompt, Reply, Usage
from sale.wording import quantity


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkItem:
    """One piece of work for one agent."""

    agent: str
    price: Price
    prompt: Prompt
    followed_strategy: bool
    answer_tokens: int
    """The longest answer of one call, in tokens."""
    seconds: float
    """Seconds for all of it."""
    turns: int = 1
    temperature: float = 0.0
    choosing: bool = False
    """True where each step of `work_in_steps` takes two calls: which tool, then its inputs."""
    opening: bool = False
    """True where work in steps begins with one search, made for the agent, with the task's own words."""
    account: ExecutionAccount | None = None
    """The account its calls are counted on; `None` where they are not counted."""

    def meter(self, tools: Sequence[Tool]) -> list[Tool]:
        """Tools on its account."""
        return [self.account.meter(tool) if self.account else tool for tool in tools]

    @property
    def late(self) -> str:
        """The error of work that did not end in time, as it stands on record."""
        return describe(CallTimeoutError(f"not done within {self.seconds:g} s"))

    def call_line(self, usage: Usage, seconds: float, error: str | None, template: str | None = None) -> Call:
        """One line of the settlement; of the work prompt unless another template is named."""
        return Call(
            stage="execute",
            agent=self.agent,
            usage=usage,
            dollars=self.price.dollars(usage),
            seconds=seconds,
            prompt=self.prompt.template if template is None else template,
            error=error,
        )


@dataclass(slots=True)
class Worklog:
    """The calls and messages of one piece of work. However the work ends, what was spent is in the execution."""

    item: WorkItem
    calls: list[Call] = field(default_factory=list[Call])
    trace: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])
    began: float = field(default_factory=time.monotonic)

    def note(self, role: str, content: str) -> None:
        """Put a message on record."""
        self.trace.append({"role": role, "content": content})

    def note_prompt(self, prompt: Prompt) -> None:
        """Put both parts of a prompt on record."""
        self.note("system", prompt.system)
        self.note("user", prompt.user)

    async def ask(
        self, model: Model, prompt: Prompt, *, schema: Mapping[str, object] | None = None, sample: int = 0
    ) -> Reply:
        """Ask once. The call is on record also where it fails or is interrupted.

        Raises:
            CallError: No usable answer.
        """
        item, began = self.item, time.monotonic()

        def record(usage: Usage, seconds: float, error: str | None) -> None:
            self.calls.append(item.call_line(usage, seconds, error, prompt.template))

        request = GenerationRequest(prompt, max_tokens=item.answer_tokens, schema=schema, sample=sample)
        try:
            reply = await model.generate(request)
        except CallError as error:
            record(Usage(), time.monotonic() - began, describe(error))
            raise
        except asyncio.CancelledError:  # most likely the time is up
            record(Usage(), time.monotonic() - began, item.late)
            raise
        record(reply.usage, reply.seconds, None)
        self.note("assistant", reply.text)
        return reply

    async def finish(self, work: Awaitable[str | None]) -> str | None:
        """Wait for the work, at most as long as the item says; return the reason why it has no whole answer.

        Args:
            work: Returns that reason, or `None`.
        """
        try:
            async with asyncio.timeout(self.item.seconds):
                return await work
        except TimeoutError:
            return self.item.late
        except CallError as error:
            return describe(error)

    def complete(self, mode: str, answer: str, error: str | None) -> Execution:
        """Return the execution."""
        return Execution(
            agent=self.item.agent,
            answer=answer,
            mode=mode,
            followed_strategy=self.item.followed_strategy,
            trace=tuple(self.trace),
            calls=tuple(self.calls),
            seconds=time.monotonic() - self.began,
            error=error,
        )


def shortfall_of(answer: str, *, truncated: bool, tokens: int) -> str | None:
    """Why an answer is not whole, for the record; `None` where it is."""
    if truncated:
        early = "" if answer.strip() else ", before it began"
        return f"execution.tokens: the answer was cut at {quantity(tokens, 'token')}{early}"
    return None if answer.strip() else "call.bad_reply: the answer is empty"


def describe(error: SaleError) -> str:
    """An error on record: code and message."""
    return f"{error.code}: {error.message}"
