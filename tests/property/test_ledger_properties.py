"""However many calls run at once and however they end, no cap is exceeded and every call is on record."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from sale.auction.ledger import Ledger, Payer, worst_usage
from sale.errors import CapError, RateLimitedError, RejectedError, SaleError, ServerError
from sale.types import Caps, Price, Prompt, Reply, Usage

ENDINGS = ("reply", "reply", "reply", "rejected", "rate-limited", "server", "bug", "timeout", "cancelled")


@dataclass(frozen=True)
class Plan:
    """One call: how big it may be, how big it turns out, and how it ends."""

    size: int
    max_tokens: int
    used: float
    turns: int
    ending: str

    @property
    def prompt(self) -> Prompt:
        return Prompt(system="", user="x" * self.size, template="t")

    @property
    def actual(self) -> Usage:
        worst = worst_usage(self.prompt, self.max_tokens)
        return Usage(
            input_tokens=int(worst.input_tokens * self.used), output_tokens=int(worst.output_tokens * self.used)
        )


plans = st.builds(
    Plan,
    size=st.integers(0, 300),
    max_tokens=st.integers(1, 300),
    used=st.floats(0, 1),
    turns=st.integers(0, 3),
    ending=st.sampled_from(ENDINGS),
)
PRICE = Price(input=1.0, output=3.0, blended=1.5)


async def make(plan: Plan, ledger: Ledger, seen: list[float]) -> str:
    async def ask() -> Reply:
        for _ in range(plan.turns):
            await asyncio.sleep(0)
        match plan.ending:
            case "rejected":
                raise RejectedError("no")
            case "rate-limited":
                raise RateLimitedError("later")
            case "server":
                raise ServerError("500")
            case "bug":
                raise ZeroDivisionError
            case "timeout" | "cancelled":
                await asyncio.sleep(60)
            case _:
                pass
        return Reply(text="", usage=plan.actual, seconds=0.0)

    seconds = 0.001 if plan.ending == "timeout" else 30.0
    payer = Payer(stage="bid", agent="a", price=PRICE)
    try:
        await ledger.pay(payer, plan.prompt, plan.max_tokens, seconds=seconds, ask=ask)
    except CapError:
        return "refused"
    except SaleError:
        return "failed"
    finally:
        seen.append(ledger.settlement.dollars)
    return "settled"


@given(
    st.lists(plans, min_size=1, max_size=15),
    st.builds(
        Caps,
        calls=st.integers(1, 15),
        tokens=st.integers(1, 4000),
        dollars=st.floats(0, 0.01),
        seconds=st.just(60.0),
    ),
)
def test_concurrent_calls_never_exceed_a_cap(calls: list[Plan], caps: Caps) -> None:
    async def run() -> None:
        ledger, seen = Ledger(caps=caps), list[float]()
        tasks = [asyncio.create_task(make(plan, ledger, seen)) for plan in calls]
        for _ in range(6):
            await asyncio.sleep(0)
        for plan, task in zip(calls, tasks, strict=True):
            if plan.ending == "cancelled":
                task.cancel()
        ends = [
            "cancelled" if isinstance(end, asyncio.CancelledError) else end
            for end in [await settled(task) for task in tasks]
        ]
        spent = ledger.settlement
        made = [(plan, end) for plan, end in zip(calls, ends, strict=True) if end != "refused"]
        assert len(spent.calls) == len(made) <= caps.calls
        assert sum(call.error is None for call in spent.calls) == ends.count("settled")
        unknown = [
            worst_usage(plan.prompt, plan.max_tokens)
            for plan, end in made
            if end != "settled" and plan.ending not in {"rejected", "rate-limited"}
        ]
        assert spent.usage.total + sum(usage.total for usage in unknown) <= caps.tokens
        assert spent.dollars + sum(PRICE.dollars(usage) for usage in unknown) <= caps.dollars + 1e-12
        # What may have been billed is still reserved; nothing else is.
        assert ledger._tokens == spent.usage.total + sum(usage.total for usage in unknown)
        assert seen == sorted(seen)

    asyncio.run(run())


async def settled(task: asyncio.Task[str]) -> str | asyncio.CancelledError:
    try:
        return await task
    except asyncio.CancelledError as error:
        return error


@given(st.integers(1, 30), st.integers(1, 10))
def test_calls_made_at_once_stop_exactly_at_the_cap(wanted: int, cap: int) -> None:
    async def run() -> None:
        ledger = Ledger(caps=Caps(calls=cap))
        plan = Plan(size=1, max_tokens=1, used=1.0, turns=1, ending="reply")
        ends = [await task for task in [asyncio.create_task(make(plan, ledger, [])) for _ in range(wanted)]]
        assert ends.count("settled") == min(wanted, cap)

    asyncio.run(run())
