"""The calls of a task: settled ones are repeated and not made, refusals waited for, unknown bills kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from sale.batch.calls import BACK_OFF, PRESENT, TaskCalls
from sale.batch.halts import BatchHaltError
from sale.batch.models import BatchModel, CallTerms
from sale.errors import BadReplyError, CallError, CallTimeoutError, RateLimitedError, RejectedError, UnreachableError
from sale.memory.batch_ledger import NANO, BatchTotals, Claim
from sale.memory.batches import Batch
from sale.memory.store import AuctionMemory
from sale.models.protocol import GenerationRequest, ToolModel
from sale.models.scripted import Line, ScriptedModel
from sale.types import Price, Prompt, TokenLogprobs
from tests.memory.builders import HashEmbedder

PRICE = Price(input=1.0, output=1.0, blended=1.0)
PROMPT = Prompt(system="Be brief.", user="Plan it.", template="bid@1")


@pytest.fixture
async def batch(tmp_path: Path) -> AsyncGenerator[Batch]:
    async with await AuctionMemory.open(tmp_path / "m.sqlite3", embedder=HashEmbedder()) as memory:
        opened = await memory.batch("b")
        await opened.add({"t": "x"})
        yield opened


async def claimed(batch: Batch) -> Claim:
    claim = await batch.claim()
    assert claim is not None
    return claim


class Waits:
    """Counts the seconds that were waited, without waiting."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


async def take_up(batch: Batch, claim: Claim, *, cap: float = 1.0, waits: Waits | None = None) -> None:
    """As a process does that begins with the task, or goes on with it."""
    paid = await batch.settled_calls(claim)
    PRESENT.set(TaskCalls(batch, claim, paid, cap=round(cap * NANO), sleep=waits or Waits()))


def refinement(user: str) -> GenerationRequest:
    return GenerationRequest(Prompt(system="s", user=user, template="refine@1"), max_tokens=20)


def terms(seconds: float = 10.0, identity: str = "one") -> CallTerms:
    return CallTerms(agent="a", price=PRICE, identity=identity, answer_tokens=50, seconds=lambda _: seconds, limit=None)


def model(*says: str | Line | CallError, seconds: float = 10.0) -> tuple[BatchModel, ScriptedModel]:
    lines = iter(says)
    inner = ScriptedModel(lambda prompt, schema: next(lines))
    return BatchModel(inner, terms(seconds)), inner


async def settled(batch: Batch, claim: Claim) -> BatchTotals:
    await batch.spending(claim)  # after what is still to be written
    return await batch.totals()


async def test_a_settled_call_is_repeated_word_for_word_and_not_made(batch: Batch) -> None:
    claim = await claimed(batch)
    measured = (TokenLogprobs(token="1.", logprob=-0.5, top=(("1.", -0.5), ("2.", -1.25))),)
    asked, inner = model(Line(text="1. Go.", logprobs=measured), "1. Once more.")
    await take_up(batch, claim)
    first = await asked.generate(GenerationRequest(PROMPT, max_tokens=20, measure=True))
    second = await asked.generate(GenerationRequest(PROMPT, max_tokens=20, measure=True))
    assert (first.text, second.text) == ("1. Go.", "1. Once more."), "asked again in one go it is another call"
    again, none = model()
    await take_up(batch, claim)
    assert await again.generate(GenerationRequest(PROMPT, max_tokens=20, measure=True)) == first
    assert await again.generate(GenerationRequest(PROMPT, max_tokens=20, measure=True)) == second
    assert len(inner.asked) == 2
    assert none.asked == []
    totals = await settled(batch, claim)
    assert totals.paid == sum(reply.usage.total for reply in (first, second)) * 1000  # nano-dollars at $1 a million


async def test_another_request_or_another_model_is_another_call(batch: Batch) -> None:
    claim = await claimed(batch)
    await take_up(batch, claim)
    asked, inner = model("one", "two", "three", "four")
    await asked.generate(GenerationRequest(PROMPT, max_tokens=20))
    await take_up(batch, claim)
    await asked.generate(GenerationRequest(PROMPT, max_tokens=21))
    await asked.generate(GenerationRequest(PROMPT, max_tokens=20, sample=1))
    other = BatchModel(inner, terms(identity="two"))
    assert (await other.generate(GenerationRequest(PROMPT, max_tokens=20))).text == "four"


async def test_a_refinement_is_repeated_whatever_the_memory_has_learnt_since(batch: Batch) -> None:
    claim = await claimed(batch)
    await take_up(batch, claim)
    asked, inner = model("1. Better.")
    first = await asked.generate(refinement("one past pair"))
    await take_up(batch, claim)
    again = await asked.generate(refinement("two past pairs"))
    assert again == first
    assert len(inner.asked) == 1


async def test_an_endpoint_that_is_asked_too_much_is_asked_later_and_costs_nothing_till_then(batch: Batch) -> None:
    claim, waits = await claimed(batch), Waits()
    await take_up(batch, claim, waits=waits)
    asked, _ = model(RateLimitedError("slow down"), RateLimitedError("slow down"), "done")
    reply = await asked.generate(GenerationRequest(PROMPT, max_tokens=20))
    assert reply.text == "done"
    assert waits.seconds == list(BACK_OFF[:2])
    totals = await settled(batch, claim)
    assert (totals.paid, totals.set_aside, totals.unknown) == (reply.usage.total * 1000, 0, 0)
    forever, inner = model(*[RateLimitedError("quota")] * (len(BACK_OFF) + 1))
    with pytest.raises(RateLimitedError):
        await forever.generate(GenerationRequest(PROMPT, max_tokens=20))
    assert len(inner.asked) == len(BACK_OFF) + 1


def unsent() -> CallError:
    error = UnreachableError("no connection")
    error.unsent = True
    return error


@pytest.mark.parametrize(
    ("failure", "unknown"),
    [
        (lambda: RejectedError("no such model"), False),
        (unsent, False),
        (lambda: UnreachableError("it broke"), True),
        (lambda: BadReplyError("half a document"), True),
    ],
)
async def test_what_certainly_cost_nothing_is_freed_and_all_else_stays_charged(
    batch: Batch, failure: Callable[[], CallError], unknown: bool
) -> None:
    claim = await claimed(batch)
    await take_up(batch, claim)
    asked, _ = model(failure())
    with pytest.raises(CallError):
        await asked.generate(GenerationRequest(PROMPT, max_tokens=20))
    totals = await settled(batch, claim)
    assert (totals.paid, totals.set_aside) == (0, 0)
    assert (totals.unknown > 0) == unknown
    retried, _ = model("now")
    assert (await retried.generate(GenerationRequest(PROMPT, max_tokens=20))).text == "now"


async def test_a_call_has_its_own_time_and_its_bill_is_unknown_after_it(batch: Batch) -> None:
    claim = await claimed(batch)
    await take_up(batch, claim)
    asked, _ = model(Line(text="late", seconds=30.0), seconds=0.01)
    with pytest.raises(CallTimeoutError):
        await asked.generate(GenerationRequest(PROMPT, max_tokens=20))
    assert (await settled(batch, claim)).unknown > 0


async def test_a_cancelled_call_is_unknown(batch: Batch) -> None:
    claim = await claimed(batch)
    await take_up(batch, claim)
    begun = asyncio.Event()

    def say(prompt: Prompt, schema: object) -> Line:
        begun.set()
        return Line(text="never", seconds=30.0)

    asked = BatchModel(ScriptedModel(say), terms())
    under_way = asyncio.ensure_future(asked.generate(GenerationRequest(PROMPT, max_tokens=20)))
    await begun.wait()
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await under_way
    totals = await settled(batch, claim)
    assert totals.set_aside == 0
    assert totals.unknown > 0


async def test_the_cap_halts_the_task_before_the_call(batch: Batch) -> None:
    claim = await claimed(batch)
    await take_up(batch, claim, cap=1e-6)
    asked, inner = model("never")
    with pytest.raises(BatchHaltError) as halted:
        await asked.generate(GenerationRequest(PROMPT, max_tokens=20))
    assert halted.value.reason == "cap"
    assert inner.asked == []
    assert not isinstance(halted.value, Exception), "the market would put it down to the agent"


async def test_a_task_that_another_process_has_is_left_to_it(batch: Batch) -> None:
    claim = await claimed(batch)
    await take_up(batch, claim)
    batch.give_back(claim.task)
    asked, inner = model("never")
    with pytest.raises(BatchHaltError) as halted:
        await asked.generate(GenerationRequest(PROMPT, max_tokens=20))
    assert halted.value.reason == "taken over"
    assert inner.asked == []


class Looping(ScriptedModel):
    """A model whose tool loop counts its requests."""

    requests = 0

    async def for_tools(self) -> ToolModel:  # type: ignore[override]
        async def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            self.requests += 1
            return ModelResponse(
                parts=[TextPart(f"answer {self.requests}")], usage=RequestUsage(input_tokens=10, output_tokens=5)
            )

        return FunctionModel(respond)


async def test_turns_of_a_tool_loop_are_calls_too_whenever_they_were_asked(batch: Batch) -> None:
    claim = await claimed(batch)
    inner = Looping(lambda prompt, schema: "unused")
    loop = await BatchModel(inner, terms()).for_tools()

    async def ask(text: str) -> ModelResponse:
        # A request of its own each time, with the time and the run it was made in.
        return await loop.request([ModelRequest(parts=[UserPromptPart(text)])], None, ModelRequestParameters())

    await take_up(batch, claim)
    first = await ask("Do it.")
    assert (await settled(batch, claim)).paid == 15_000
    await take_up(batch, claim)
    again = await ask("Do it.")
    assert (again.text, again.usage, again.timestamp) == (first.text, first.usage, first.timestamp)
    assert inner.requests == 1
    assert (await ask("Do something else.")).text == "answer 2"
