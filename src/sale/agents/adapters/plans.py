"""Where an adapted agent's plan comes from: its own model, a function, a fixed text, or another agent.

Whatever has a `bid` can plan for another agent; what it takes is settled at the price of the agent it plans for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from sale.auction.protocols import BidRequest
from sale.errors import BadReplyError, SaleError
from sale.models.errors import FOREIGN, MESSAGE_LENGTH, to_call_error
from sale.types import Prompt, Reply, Task, Usage
from sale.types.calls import USUAL_BYTES_PER_TOKEN, byte_length


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A text and what it took; return it instead of a string to report the real usage."""

    text: str
    usage: Usage


Planner = Callable[[Task], Awaitable[str | Work]]
Ask = Callable[[Prompt, int], Awaitable[Reply]]
"""Asks a model: the prompt and the longest answer, in tokens."""


class PlanSource(Protocol):
    """Writes plans. Any agent does."""

    async def bid(self, request: BidRequest, /) -> Reply:
        """Write a strategy.

        Raises:
            SaleError: It has none.
        """
        ...


@dataclass(frozen=True, slots=True)
class FixedPlan:
    """The same plan for every task: for an agent that always works one way. It competes by price alone."""

    text: str

    async def bid(self, request: BidRequest, /) -> Reply:  # noqa: ARG002  the shape is that of `PlanSource`
        """The text, at no input and its own length."""
        return Reply(text=self.text, usage=Usage(output_tokens=tokens_in(self.text)), seconds=0.0)


@dataclass(frozen=True, slots=True)
class PlanFunction:
    """An async function of the task that returns its plan."""

    function: Planner

    async def bid(self, request: BidRequest, /) -> Reply:
        """Call it.

        Raises:
            BadReplyError: It raised, or returned no text.
        """
        began = time.monotonic()
        try:
            work = as_work(await self.function(request.task), request.task.text)
        except SaleError:
            raise
        except Exception as error:
            raise BadReplyError(describe_error(error)) from error
        return Reply(text=work.text, usage=work.usage, seconds=time.monotonic() - began)


@dataclass(frozen=True, slots=True)
class OwnModel:
    """The agent's own model, asked with the market's prompt for a bid, as every other bidder is."""

    agent: str
    ask: Ask

    async def bid(self, request: BidRequest, /) -> Reply:
        """Ask it.

        Raises:
            CallError: Whatever goes wrong below.
        """
        try:
            return await self.ask(request.prompt, request.max_tokens)
        except SaleError:
            raise
        except FOREIGN as error:
            raise to_call_error(error, self.agent) from error
        except Exception as error:
            raise BadReplyError(describe_error(error), where=self.agent) from error


def as_work(made: str | Work, read: str) -> Work:
    """Return the result of a foreign function as work, with its usage estimated where it reports none.

    Raises:
        TypeError: It is neither text nor work.
    """
    if isinstance(made, Work):
        return made
    if not isinstance(made, str):  # pyright: ignore[reportUnnecessaryIsInstance]  somebody else's function
        raise TypeError(f"the function must return str or Work, got {made!r}")
    return Work(text=made, usage=estimate_usage(read, made))


def estimate_usage(read: str, written: str) -> Usage:
    """Estimate the usage of texts whose tokens were not counted."""
    return Usage(input_tokens=tokens_in(read), output_tokens=tokens_in(written))


def tokens_in(text: str) -> int:
    """About how many tokens a text has."""
    return math.ceil(byte_length(text) / USUAL_BYTES_PER_TOKEN)


def describe_error(error: BaseException) -> str:
    """Describe a foreign exception in one short line: its class and its message."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 1] + "…"
