"""Somebody's own functions as an agent of the market."""

from __future__ import annotations

import asyncio

import pytest

from sale.agents.adapters import FunctionAgent, Work
from sale.auction.prompts import bid_prompt
from sale.auction.protocols import BidRequest
from sale.errors import BadReplyError, InputError, RateLimitedError
from sale.types import AuctionRules, Price, Task, ToolInfo, Usage
from tests.support.builders import TASK, pair
from tests.support.scripted import Remembered, acts, contractor, hold

RATE = Price(input=1.0, output=4.0, blended=2.0)
REQUEST = BidRequest(task=TASK, prompt=bid_prompt(TASK, [], 300), max_tokens=300)


async def plans(task: Task) -> str:
    return "1. Add.\n2. Check."


async def works(task: Task, plan: str | None) -> str:
    return "55"


def agent(bid=plans, execute=works, **more) -> FunctionAgent:
    return FunctionAgent("mine", price=RATE, bid=bid, execute=execute, **more)


def fails(error: BaseException):
    async def function(*_: object) -> str:
        raise error

    return function


class TestIdentity:
    def test_is_what_it_was_made_with(self) -> None:
        made = agent(tools=(ToolInfo(name="abacus", description="adds"),))
        assert (made.name, made.price, made.juror) == ("mine", RATE, None)
        assert [tool.name for tool in made.tools] == ["abacus"]
        assert agent().tools == ()


class TestBid:
    async def test_is_what_the_planner_says_counted_at_four_characters_a_token(self) -> None:
        reply = await agent().bid(REQUEST)
        assert reply.text == "1. Add.\n2. Check."
        assert reply.usage == Usage(input_tokens=-(-len(TASK.text) // 4), output_tokens=5)
        assert reply.logprobs is None
        assert reply.seconds >= 0

    async def test_may_tell_its_real_usage(self) -> None:
        async def planner(task: Task) -> Work:
            return Work(text="1. Add.", usage=Usage(input_tokens=100, output_tokens=7))

        assert (await agent(planner).bid(REQUEST)).usage == Usage(input_tokens=100, output_tokens=7)

    async def test_what_the_planner_raises_is_its_failure(self) -> None:
        with pytest.raises(BadReplyError, match="ValueError: no idea") as caught:
            await agent(fails(ValueError("no idea"))).bid(REQUEST)
        assert caught.value.where == "mine"

    @pytest.mark.parametrize("error", [RateLimitedError("later"), InputError("an inner market's complaint")])
    async def test_our_own_errors_stay_what_they_are(self, error: Exception) -> None:
        with pytest.raises(type(error)) as caught:
            await agent(fails(error)).bid(REQUEST)
        assert caught.value is error

    async def test_a_function_that_returns_no_text_says_so(self) -> None:
        async def forgets(task: Task) -> None:
            return None

        with pytest.raises(BadReplyError, match="must return str or Work, got None"):
            await agent(forgets).bid(REQUEST)

    async def test_a_function_that_is_not_async_says_so(self) -> None:
        def hurries(task: Task) -> str:
            return "1. Add."

        with pytest.raises(BadReplyError, match="await"):
            await agent(hurries).bid(REQUEST)


class TestExecute:
    async def test_hands_the_plan_to_the_worker(self) -> None:
        seen: list[tuple[Task, str | None]] = []

        async def worker(task: Task, plan: str | None) -> Work:
            seen.append((task, plan))
            return Work(text="55", usage=Usage(input_tokens=1_000_000, output_tokens=500_000))

        done = await agent(execute=worker).execute(TASK, "1. Add.")
        assert seen == [(TASK, "1. Add.")]
        assert (done.agent, done.answer, done.mode, done.followed_strategy) == ("mine", "55", "function", True)
        assert done.error is None
        (call,) = done.calls
        assert (call.stage, call.agent, call.dollars, call.error) == ("execute", "mine", 1.0 + 2.0, None)

    async def test_may_work_without_a_plan(self) -> None:
        assert not (await agent().execute(TASK, None)).followed_strategy

    async def test_what_the_worker_raises_is_on_record(self) -> None:
        done = await agent(execute=fails(ZeroDivisionError("division by zero"))).execute(TASK, "1. Divide.")
        assert (done.answer, done.error) == ("", "ZeroDivisionError: division by zero")
        assert done.calls[0].error == done.error
        assert done.calls[0].usage == Usage()

    async def test_a_worker_that_returns_no_text_has_failed(self) -> None:
        async def forgets(task: Task, plan: str | None) -> None:
            return None

        done = await agent(execute=forgets).execute(TASK, None)
        assert done.error == "TypeError: the function must return str or Work, got None"

    async def test_a_worker_that_cancels_itself_has_failed(self) -> None:
        async def gives_up(task: Task, plan: str | None) -> str:
            own = asyncio.create_task(asyncio.sleep(60, ""))
            own.cancel()
            return await own

        done = await agent(execute=gives_up).execute(TASK, None)
        assert done.error is not None
        assert "the agent itself cancelled the call" in done.error

    async def test_is_cancelled_like_anything_else(self) -> None:
        async def sleeps(task: Task, plan: str | None) -> str:
            await asyncio.sleep(60)
            return ""

        task = asyncio.create_task(agent(execute=sleeps).execute(TASK, None))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


class TestInAnAuction:
    async def test_competes_and_goes_without_entropy(self) -> None:
        held = await hold([agent(), contractor("other", acts(bid="1. Guess."), price=2.0)])
        mine = next(bid for bid in held.auction.bids if bid.agent == "mine")
        assert mine.strategy.entropy is None
        assert {score.juror for score in mine.scores} == {"other"}

    @pytest.mark.parametrize("error", [ValueError("no idea"), InputError("an inner complaint")])
    async def test_drops_out_when_it_fails(self, error: Exception) -> None:
        held = await hold([agent(fails(error)), contractor("other")])
        assert held.auction.winner.agent == "other"
        assert held.auction.dropouts[0].agent == "mine"

    async def test_is_asked_again_when_it_may_refine(self) -> None:
        asked: list[Task] = []

        async def planner(task: Task) -> str:
            asked.append(task)
            return "1. Guess."

        dear = contractor("dear", acts(bid="1. Good.", judge=lambda plan: 5 if "Good" in plan else 0), price=9.0)
        held = await hold([agent(planner), dear], rules=AuctionRules(), memory=Remembered({"mine": (pair(),)}))
        assert held.auction.provisional == "dear"
        assert asked == [TASK, TASK]
        await agent().aclose()
