"""The money and time of one auction: every call is reserved before it is made and settled after.

A reservation is pessimistic: the whole token cap of the answer, and as many prompt tokens as the worst tokenizer makes
of the text. So concurrent calls cannot overspend a cap together. A call whose bill is unknown (it timed out, the
connection broke) keeps its reservation against the caps for the rest of the auction: it may have been charged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

from sale.auction.events import CallSettled, Observer, ignore
from sale.auction.foreign import await_foreign, expect_kind
from sale.auction.protocols import Look, Looker
from sale.auction.text import clip, make_storable
from sale.errors import (
    BadReplyError,
    CallError,
    CallTimeoutError,
    CapError,
    ConfigError,
    RateLimitedError,
    RejectedError,
    SaleError,
    first_error,
)
from sale.types import Call, Caps, Price, Prompt, Settlement, Stage, Task, Usage

# Prose takes about 0.25, but many tokenizers make a token of every digit and of every byte of a rare character.
TOKENS_PER_BYTE = 1
# Chat templates wrap messages in a few dozen tokens.
TEMPLATE_TOKENS = 64
# Refused before any work, so there is nothing to pay; the same goes for what fails before a call is made (no weights).
FREE = (RejectedError, RateLimitedError)
FOREIGN_MESSAGE_BYTES = 300
_NO_TOKENS = Price(input=0.0, output=0.0, blended=0.0)
_NO_PROMPT = Prompt(system="", user="", template="")


class MeasuredCall(Protocol):
    """The result of a call, with the tokens it consumed."""

    @property
    def usage(self) -> Usage:
        """Tokens in and out."""
        ...


R = TypeVar("R", bound=MeasuredCall)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Payer:
    """For whom and for what a call is made."""

    stage: Stage
    agent: str
    price: Price
    model: bool = True
    """True where a model is called: the cap on calls counts only those."""


def worst_usage(prompt: Prompt, max_tokens: int) -> Usage:
    """The most a call can consume."""
    size = len(prompt.system.encode()) + len(prompt.user.encode())
    return Usage(input_tokens=size * TOKENS_PER_BYTE + TEMPLATE_TOKENS, output_tokens=max_tokens)


def declared_bound(name: str, bound: Callable[[], Usage]) -> Usage:
    """The most a call can consume, as whoever makes it says.

    Args:
        name: Names the juror in the error.
        bound: Says it.

    Raises:
        ConfigError: It says nothing of the kind.
    """
    try:
        said = cast("object", bound())
    except Exception as error:
        raise ConfigError(f"its usage_bound fails: {type(error).__name__}: {error}", where=f"juror {name!r}") from error
    if not isinstance(said, Usage) or min(said.input_tokens, said.output_tokens) < 0:
        raise ConfigError(f"its usage_bound is {said!r}", where=f"juror {name!r}", hint="Return a Usage from 0 up.")
    return said


@dataclass(slots=True)
class Ledger:
    """The money, tokens and time one auction has spent and may still spend."""

    caps: Caps
    observe: Observer = ignore
    _calls: list[Call] = field(default_factory=list[Call])
    _count: int = 0
    _tokens: int = 0
    _dollars: float = 0.0
    _started: float = field(default_factory=lambda: time.monotonic())

    @property
    def settlement(self) -> Settlement:
        """Everything settled so far."""
        return Settlement(calls=tuple(self._calls))

    @property
    def at_most(self) -> float:
        """Dollars that were spent, and those that calls whose bill is unknown may have cost."""
        return self._dollars

    @property
    def seconds(self) -> float:
        """Wall time since the auction began."""
        return time.monotonic() - self._started

    @property
    def seconds_left(self) -> float:
        """Wall time until the deadline; not above 0 once it has passed."""
        return self.caps.seconds - self.seconds

    async def pay(
        self,
        payer: Payer,
        prompt: Prompt,
        max_tokens: int,
        *,
        seconds: float,
        ask: Callable[[], Awaitable[R]],
        worst: Usage | None = None,
    ) -> R:
        """Make one call within the caps and put it on the record, whatever becomes of it.

        Args:
            payer: Who is asked, at which stage, at what price.
            prompt: What is sent; its size decides the reservation.
            max_tokens: The cap on the answer, in tokens.
            seconds: The longest the call may take; the auction's own deadline may come first.
            ask: Makes the call.
            worst: The most it can consume, where that is not `worst_usage` of the prompt and the cap.

        Raises:
            CapError: A cap leaves no room for the call; it is not made.
            SaleError: The call failed or took too long. Whatever else the agent raises comes as a `CallError`.
        """
        worst = worst_usage(prompt, max_tokens) if worst is None else worst
        began = time.monotonic()

        async def measured() -> R:
            return _measured(await ask(), payer.agent)

        with self._reserved(payer, prompt, worst, payer.price.dollars(worst)) as left:
            reply = await _answer(measured, min(seconds, left), payer.agent)
        actual = payer.price.dollars(reply.usage)
        self._tokens += reply.usage.total
        self._dollars += actual
        self._record(
            Call(
                stage=payer.stage,
                agent=payer.agent,
                usage=reply.usage,
                dollars=actual,
                seconds=time.monotonic() - began,
                prompt=prompt.template,
            )
        )
        return reply

    async def look(self, looker: Looker, task: Task, *, seconds: float) -> Look:
        """Have an agent look into its own tools, within the caps, and put its calls on the record.

        Args:
            looker: The agent; its `look_dollars` are reserved until it has looked.
            task: What it looks for.
            seconds: The longest it may take; the auction's own deadline may come first.

        Raises:
            CapError: A cap leaves no room for it; nothing is looked at.
            SaleError: It took too long, or raised.
        """
        name = looker.name
        payer = Payer(stage="look", agent=name, price=_NO_TOKENS, model=False)

        async def looked() -> Look:
            return expect_kind(await looker.look(task), Look, "look")

        with self._reserved(payer, _NO_PROMPT, Usage(), looker.look_dollars) as left:
            found = await _answer(looked, min(seconds, left), name)
        for call in found.calls:
            self._dollars += call.dollars
            self._record(call)
        return found

    @contextmanager
    def _reserved(self, payer: Payer, prompt: Prompt, worst: Usage, dollars: float) -> Generator[float]:
        """Reserve the most that a call can take, for the seconds that are left, and settle it if it fails.

        Where it may have been charged the reservation stays.

        Raises:
            CapError: A cap leaves no room for it.
        """
        left, began = self._admit(worst, dollars, payer), time.monotonic()
        try:
            yield left
        except asyncio.CancelledError:
            self._failed(payer, prompt, time.monotonic() - began, CallError("cancelled"))
            raise
        except SaleError as error:
            if isinstance(error, FREE) or not isinstance(error, CallError):
                self._release(worst, dollars)
            self._failed(payer, prompt, time.monotonic() - began, error)
            raise
        self._release(worst, dollars)

    def _admit(self, worst: Usage, dollars: float, payer: Payer) -> float:
        """Reserve, or raise; returns the seconds left. No await between check and reservation: it is atomic."""
        left = self.seconds_left
        wants = (
            ("calls", self._count + payer.model, self.caps.calls),
            ("tokens", self._tokens + worst.total, self.caps.tokens),
            ("dollars", self._dollars + dollars, self.caps.dollars),
        )
        for name, wanted, cap in wants:
            if wanted > cap:
                raise CapError(
                    f"the call would bring the auction to {wanted:,.6g} {name}, over the cap of {cap:,.6g}",
                    where=f"{payer.agent}, {payer.stage}",
                    hint=f"Raise auction.caps.{name} in sale.toml, or use fewer agents or the panel jury.",
                )
        if left <= 0:
            raise CapError(
                f"the auction has used its {self.caps.seconds:g} s",
                where=f"{payer.agent}, {payer.stage}",
                hint="Raise auction.caps.seconds in sale.toml.",
            )
        self._count += payer.model
        self._tokens += worst.total
        self._dollars += dollars
        return left

    def _release(self, worst: Usage, dollars: float) -> None:
        self._tokens -= worst.total
        self._dollars -= dollars

    def _failed(self, payer: Payer, prompt: Prompt, seconds: float, error: SaleError) -> None:
        self._record(
            Call(
                stage=payer.stage,
                agent=payer.agent,
                usage=Usage(),
                dollars=0.0,
                seconds=seconds,
                prompt=prompt.template,
                error=f"{error.code}: {error}",
            )
        )

    def _record(self, call: Call) -> None:
        self._calls.append(call)
        self.observe(CallSettled(call=call))


def _measured(reply: R, agent: str) -> R:
    """The reply, if its usage can be one."""
    if min(reply.usage.input_tokens, reply.usage.output_tokens) < 0:
        raise BadReplyError(f"the usage is negative: {reply.usage!r}", where=agent)
    return reply


async def _answer(ask: Callable[[], Awaitable[T]], allowed: float, agent: str) -> T:
    """Return the reply, or raise a `SaleError`: an exception of a foreign agent fails its call, never the auction."""
    clock = asyncio.timeout(allowed)
    try:
        async with clock:
            return await await_foreign(ask(), where=agent)
    except SaleError:
        raise
    except Exception as error:
        if isinstance(error, TimeoutError) and clock.expired():
            raise CallTimeoutError(f"no answer within {allowed:.3g} s", where=agent) from None
        first = first_error(error)
        text = clip(make_storable(f"{type(first).__name__}: {first}"), FOREIGN_MESSAGE_BYTES)
        raise CallError(text, where=agent) from error
