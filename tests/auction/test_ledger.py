"""Every call is reserved before it is made, and on record after, whatever becomes of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

import pytest

from sale.auction.events import CallSettled
from sale.auction.ledger import FOREIGN_MESSAGE_BYTES, TEMPLATE_TOKENS, Ledger, Payer, worst_usage
from sale.auction.protocols import Look
from sale.errors import (
    BadReplyError,
    CallError,
    CallTimeoutError,
    CapError,
    RateLimitedError,
    RejectedError,
    SaleError,
    ServerError,
    SourcesError,
    UnreachableError,
)
from sale.types import Caps, Price, Prompt, Reply, Task, Usage
from tests.support.scripted import Watch

PROMPT = Prompt(system="sys", user="ask me", template="bid@12345678")
PAYER = Payer(stage="bid", agent="a", price=Price(input=1.0, output=4.0, blended=2.0))
WORST = worst_usage(PROMPT, 50)


def answers(usage: Usage = Usage(input_tokens=3, output_tokens=7)) -> Callable[[], Awaitable[Reply]]:  # noqa: B008
    async def ask() -> Reply:
        return Reply(text="yes", usage=usage, seconds=0.0)

    return ask


def raises(error: BaseException) -> Callable[[], Awaitable[Reply]]:
    async def ask() -> Reply:
        raise error

    return ask


def hangs() -> Callable[[], Awaitable[Reply]]:
    async def ask() -> Reply:
        await asyncio.sleep(60)
        raise AssertionError

    return ask


async def pay(ledger: Ledger, ask: Callable[[], Awaitable[Reply]], seconds: float = 5.0) -> Reply:
    return await ledger.pay(PAYER, PROMPT, 50, seconds=seconds, ask=ask)


def free(ledger: Ledger) -> bool:
    """Whether nothing is reserved or spent but what is on record."""
    spent = ledger.settlement
    return ledger._tokens == spent.usage.total and math.isclose(ledger._dollars, spent.dollars, abs_tol=1e-15)


def test_the_worst_case_is_a_token_for_every_byte() -> None:
    prompt = Prompt(system="ü", user="123 😀", template="t")
    assert worst_usage(prompt, 9) == Usage(input_tokens=2 + 8 + TEMPLATE_TOKENS, output_tokens=9)


async def test_a_call_is_settled_at_its_real_usage() -> None:
    watch = Watch()
    ledger = Ledger(caps=Caps(), observe=watch)
    reply = await pay(ledger, answers())
    assert reply.text == "yes"
    (call,) = ledger.settlement.calls
    assert (call.stage, call.agent, call.prompt, call.error) == ("bid", "a", "bid@12345678", None)
    assert call.usage == Usage(input_tokens=3, output_tokens=7)
    assert call.dollars == pytest.approx((3 * 1.0 + 7 * 4.0) / 1e6)
    assert call.seconds == 0
    assert watch.events == [CallSettled(call=call)]
    assert free(ledger)


class TestCaps:
    async def test_calls(self) -> None:
        ledger = Ledger(caps=Caps(calls=2))
        await pay(ledger, answers())
        await pay(ledger, answers())
        with pytest.raises(CapError, match="3 calls, over the cap of 2") as caught:
            await pay(ledger, raises(AssertionError("it must not be called")))
        assert caught.value.where == "a, bid"
        assert "auction.caps.calls" in caught.value.hint
        assert len(ledger.settlement.calls) == 2

    async def test_tokens_to_the_last(self) -> None:
        await pay(Ledger(caps=Caps(tokens=WORST.total)), answers())
        with pytest.raises(CapError, match="tokens"):
            await pay(Ledger(caps=Caps(tokens=WORST.total - 1)), answers())

    async def test_dollars_to_the_last(self) -> None:
        worst = PAYER.price.dollars(WORST)
        await pay(Ledger(caps=Caps(dollars=worst)), answers())
        with pytest.raises(CapError, match="dollars"):
            await pay(Ledger(caps=Caps(dollars=worst * 0.999)), answers())

    async def test_seconds(self) -> None:
        ledger = Ledger(caps=Caps(seconds=0.01))
        await asyncio.sleep(0.02)
        assert ledger.seconds_left <= 0 < ledger.seconds
        with pytest.raises(CapError, match=r"has used its 0\.01 s"):
            await pay(ledger, answers())
        assert free(ledger)

    async def test_the_deadline_of_the_auction_cuts_a_call_short(self) -> None:
        ledger = Ledger(caps=Caps(seconds=0.05))
        with pytest.raises(CallTimeoutError, match=r"no answer within 0\.05 s"):
            await pay(ledger, hangs(), seconds=60)
        assert ledger.seconds == pytest.approx(0.05)

    async def test_what_is_under_way_counts(self) -> None:
        ledger = Ledger(caps=Caps(tokens=2 * WORST.total - 1))
        first = asyncio.create_task(pay(ledger, hangs()))
        await asyncio.sleep(0)
        with pytest.raises(CapError):
            await pay(ledger, answers())
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    async def test_what_is_settled_makes_room(self) -> None:
        ledger = Ledger(caps=Caps(tokens=WORST.total + 10))
        await pay(ledger, answers())
        await pay(ledger, answers())
        with pytest.raises(CapError):
            await pay(ledger, answers())


class TestFailures:
    @pytest.mark.parametrize(
        "error",
        [
            RejectedError("wrong key", where="a"),
            RateLimitedError("slow down", where="a"),
            SourcesError("no weights", hint="Connect."),
        ],
    )
    async def test_what_was_refused_before_any_work_costs_nothing(self, error: SaleError) -> None:
        ledger = Ledger(caps=Caps())
        with pytest.raises(type(error)) as caught:
            await pay(ledger, raises(error))
        assert caught.value is error
        (call,) = ledger.settlement.calls
        assert call.error == f"{error.code}: {error}"
        assert (call.usage, call.dollars) == (Usage(), 0.0)
        assert free(ledger)

    @pytest.mark.parametrize(
        "error", [UnreachableError("broke"), ServerError("500"), BadReplyError("html"), CallTimeoutError("theirs")]
    )
    async def test_what_may_have_been_billed_stays_reserved(self, error: CallError) -> None:
        ledger = Ledger(caps=Caps())
        with pytest.raises(type(error)):
            await pay(ledger, raises(error))
        (call,) = ledger.settlement.calls
        assert call.error == f"{error.code}: {error}"
        assert ledger._tokens == WORST.total
        assert ledger._dollars == PAYER.price.dollars(WORST)

    async def test_a_late_answer_is_a_timeout_and_stays_reserved(self) -> None:
        ledger = Ledger(caps=Caps())
        with pytest.raises(CallTimeoutError, match=r"no answer within 0.01 s") as caught:
            await pay(ledger, hangs(), seconds=0.01)
        assert caught.value.where == "a"
        (call,) = ledger.settlement.calls
        assert call.error is not None
        assert call.error.startswith("call.timeout: ")
        assert call.seconds >= 0.01
        assert ledger._tokens == WORST.total

    async def test_a_cancelled_call_is_on_record(self) -> None:
        ledger = Ledger(caps=Caps())
        task = asyncio.create_task(pay(ledger, hangs()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [call.error for call in ledger.settlement.calls] == ["call: cancelled"]
        assert ledger._tokens == WORST.total

    @pytest.mark.parametrize("error", [ValueError("oh\ud800"), KeyError("k"), TimeoutError("theirs"), RuntimeError()])
    async def test_whatever_an_agent_raises_is_a_failed_call(self, error: Exception) -> None:
        ledger = Ledger(caps=Caps())
        with pytest.raises(CallError, match=type(error).__name__) as caught:
            await pay(ledger, raises(error))
        assert caught.value.where == "a"
        assert caught.value.__cause__ is error
        (call,) = ledger.settlement.calls
        assert (call.error or "").encode()  # it can be stored

    async def test_of_several_errors_the_first_is_told(self) -> None:
        several = ExceptionGroup("unhandled errors in a TaskGroup", [ExceptionGroup("", [ValueError("bad port")])])
        with pytest.raises(CallError, match=r"^a: ValueError: bad port") as caught:
            await pay(Ledger(caps=Caps()), raises(several))
        assert caught.value.__cause__ is several

    async def test_a_long_complaint_is_cut(self) -> None:
        with pytest.raises(CallError) as caught:
            await pay(Ledger(caps=Caps()), raises(ValueError("x" * 9999)))
        assert len(caught.value.message) == FOREIGN_MESSAGE_BYTES

    async def test_an_agent_that_cancels_itself_has_failed(self) -> None:
        ledger = Ledger(caps=Caps())
        with pytest.raises(CallError, match="the agent itself cancelled the call"):
            await pay(ledger, raises(asyncio.CancelledError()))
        assert len(ledger.settlement.calls) == 1

    async def test_what_is_no_reply_is_a_failed_call(self) -> None:
        async def ask() -> Reply:
            return None  # pyright: ignore[reportReturnType]

        with pytest.raises(CallError, match="AttributeError"):
            await pay(Ledger(caps=Caps()), ask)

    @pytest.mark.parametrize("usage", [Usage(input_tokens=-1), Usage(output_tokens=-1)])
    async def test_a_negative_usage_makes_no_room_under_the_caps(self, usage: Usage) -> None:
        ledger = Ledger(caps=Caps())
        with pytest.raises(BadReplyError, match="negative"):
            await pay(ledger, answers(usage))
        assert ledger._tokens == WORST.total

    async def test_what_ends_the_program_goes_through(self) -> None:
        class Stop(BaseException):
            pass

        with pytest.raises(Stop):
            await pay(Ledger(caps=Caps()), raises(Stop()))


class Shelf:
    """An agent with something to look into."""

    name, looks, look_dollars = "a", 1, 0.3

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def look(self, task: Task, /) -> Look:
        if self.error is not None:
            raise self.error
        await asyncio.sleep(60)
        raise AssertionError


class TestLooks:
    """They are settled as calls of models are."""

    @pytest.mark.parametrize(
        ("error", "kept"), [(RejectedError("wrong key"), 0.0), (ServerError("500"), 0.3), (ValueError("oh"), 0.3)]
    )
    async def test_only_what_may_have_been_billed_stays_reserved(self, error: Exception, kept: float) -> None:
        ledger = Ledger(caps=Caps())
        with pytest.raises(CallError):
            await ledger.look(Shelf(error), Task(text="Do it."), seconds=5.0)
        assert ledger.at_most == pytest.approx(kept)
        assert len(ledger.settlement.calls) == 1

    async def test_one_that_is_cancelled_is_on_record(self) -> None:
        ledger = Ledger(caps=Caps())
        task = asyncio.create_task(ledger.look(Shelf(None), Task(text="Do it."), seconds=60.0))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [(call.stage, call.error) for call in ledger.settlement.calls] == [("look", "call: cancelled")]
        assert ledger.at_most == pytest.approx(0.3)
