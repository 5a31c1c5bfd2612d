"""Calls by a batch API, over real HTTP: sent together, paid for once, and found again whatever was cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Protocol

import pytest

from sale.batch.calls import PRESENT, JobDesk, TaskCalls
from sale.batch.halts import BatchHaltError
from sale.batch.job_api import OpenAIJobs
from sale.batch.jobs import Jobs, JobTransport, Pace
from sale.batch.models import BatchModel, CallTerms
from sale.errors import RateLimitedError, RejectedError, ServerError, StoreError
from sale.memory.batch_ledger import NANO, BatchTotals, Claim, TaskEnd
from sale.memory.batches import Batch
from sale.memory.store import AuctionMemory
from sale.models.address import Address, RequestShape
from sale.models.asking import SamplingOptions
from sale.models.endpoint import EndpointModel, fixed_address
from sale.models.protocol import GenerationRequest
from sale.types import Price, Prompt, Reply
from tests.memory.builders import HashEmbedder
from tests.support.endpoint import Endpoint

PRICE = Price(input=0.5, output=0.5, blended=0.5)
PACE = Pace(quiet=0.02, patience=0.3, look=0.005, first=0.01, most=0.05)


class Worker:
    """One process at work on a batch, as far as the database and the endpoint know."""

    def __init__(self, memory: AuctionMemory, batch: Batch, endpoint: Endpoint, *, cap: float, size: int) -> None:
        self.memory = memory
        self.batch = batch
        self.cap = round(cap * NANO)
        self.jobs = Jobs(batch, cap=self.cap, pace=PACE, most_requests=size)
        self.desk = JobDesk(jobs=self.jobs, live=asyncio.Semaphore(1))
        self.models = {name: self.model(endpoint, name) for name in ("a", "b")}

    def model(self, endpoint: Endpoint, name: str) -> BatchModel:
        shape = RequestShape(body={"top_p": 0.9}, headers={"x-team": "t"})
        address = fixed_address(Address(base_url=endpoint.base_url, model=f"good@{name}", shape=shape))
        model = EndpointModel(name, address, manner=SamplingOptions(logprobs=0)).through(JobTransport())
        terms = CallTerms(
            agent=name,
            price=PRICE,
            identity="one",
            answer_tokens=50,
            seconds=lambda _: 10.0,
            limit=None,
            api=OpenAIJobs(name, address),
        )
        return BatchModel(model, terms)

    async def claim(self) -> Claim:
        claim = await self.batch.claim()
        assert claim is not None
        return claim

    async def ask(self, claim: Claim, *questions: str, agent: str = "a") -> list[Reply]:
        """The calls of one task, side by side."""
        self.jobs.held += 1
        try:
            paid, queued = await self.batch.settled_calls(claim), await self.batch.queued_calls(claim)
            PRESENT.set(TaskCalls(self.batch, claim, paid, cap=self.cap, desk=self.desk, queued=queued))
            return await asyncio.gather(*(self.models[agent].generate(said(one)) for one in questions))
        finally:
            self.jobs.held -= 1

    async def totals(self, claim: Claim) -> BatchTotals:
        await self.batch.spending(claim)  # after what is still to be written
        return await self.batch.totals()

    async def aclose(self) -> None:
        await self.jobs.aclose()
        for model in self.models.values():
            await model.aclose()


def said(question: str) -> GenerationRequest:
    return GenerationRequest(Prompt(system="Be brief.", user=question, template="work@1"), max_tokens=20)


class Hire(Protocol):
    """Makes a worker."""

    async def __call__(self, *, cap: float = 1.0, size: int = 100) -> Worker: ...


@pytest.fixture
async def hire(tmp_path: Path, endpoint: Endpoint) -> AsyncGenerator[Hire]:
    """Makes workers on one batch of four tasks."""
    opened = list[Worker]()

    async def one(*, cap: float = 1.0, size: int = 100) -> Worker:
        memory = await AuctionMemory.open(tmp_path / "m.sqlite3", embedder=HashEmbedder())
        batch = await memory.batch("b")
        await batch.add({f"t{n}": "x" for n in range(4)})
        opened.append(Worker(memory, batch, endpoint, cap=cap, size=size))
        return opened[-1]

    yield one
    for worker in opened:
        await worker.aclose()
        await worker.memory.aclose()


async def kill(worker: Worker) -> None:
    """As far as the database knows, its process is no more."""
    await worker.jobs.aclose()
    await asyncio.to_thread(worker.memory._database.backend.presence.leave)


async def take_over(hire: Hire, dead: Worker) -> tuple[Worker, Claim]:
    await kill(dead)
    worker = await hire()
    return worker, await worker.claim()


async def cut_off(endpoint: Endpoint, worker: Worker, claim: Claim, until: Callable[[], bool], *questions: str) -> None:
    """Ask, and let go of the calls once something is so."""
    asking = asyncio.ensure_future(worker.ask(claim, *questions))
    assert await asyncio.to_thread(endpoint.wait, until)
    assert not asking.done()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_calls_of_all_tasks_go_in_one_job_for_each_agent(hire: Hire, endpoint: Endpoint) -> None:
    worker = await hire()
    claims = [await worker.claim() for _ in range(3)]
    asked = [worker.ask(claim, "One?", "Two?", agent=agent) for claim, agent in zip(claims, "aab", strict=True)]
    found = await asyncio.gather(*asked)
    assert [len(replies) for replies in found] == [2, 2, 2]
    assert all("42" in reply.text for replies in found for reply in replies)
    assert sorted(endpoint.books.begun) == [2, 4]
    assert endpoint.requests() == [], "nothing is asked live"
    body = endpoint.books.done[0]
    assert (body["top_p"], body["max_tokens"], body["messages"][0]["content"]) == (0.9, 20, "Be brief.")
    totals = await worker.totals(claims[0])
    tokens = sum(reply.usage.total for replies in found for reply in replies)
    assert (totals.paid, totals.set_aside, totals.unknown) == (tokens * 500, 0, 0), "at half a dollar a million"


async def test_what_is_settled_is_repeated_and_what_is_not_is_asked(hire: Hire, endpoint: Endpoint) -> None:
    worker = await hire()
    claim = await worker.claim()
    (first,) = await worker.ask(claim, "One?")
    assert await worker.ask(claim, "One?", "Two?") == [first, *(await worker.ask(claim, "Two?"))]
    assert len(endpoint.books.done) == 2


async def test_a_job_whose_process_is_killed_is_awaited_by_the_next(hire: Hire, endpoint: Endpoint) -> None:
    endpoint.books.questions = 10**9
    first = await hire()
    await cut_off(endpoint, first, await first.claim(), lambda: len(endpoint.books._asked) > 0, "One?", "Two?")
    totals = await first.batch.totals()
    assert (totals.paid, totals.unknown) == (0, 0)
    assert totals.set_aside > 0
    endpoint.books.questions = 1
    second, claim = await take_over(hire, first)
    assert len(await second.ask(claim, "One?", "Two?")) == 2
    assert endpoint.books.begun == [2], "it is not begun again"
    assert (await second.totals(claim)).set_aside == 0


async def test_one_that_was_never_begun_costs_nothing(hire: Hire, endpoint: Endpoint) -> None:
    first = await hire()
    claim = await first.claim()
    key = first.batch.key(claim, "work", "a", "r")
    await first.batch.open_job("j", "a")
    await first.batch.fill_job("j", [(key, 100)], first.cap)
    queued = await first.batch.queued_calls(claim)
    assert [(one.job, one.key) for one in queued] == [("j", key)]
    second, _ = await take_over(hire, first)
    end = await second.jobs._end(
        OpenAIJobs("a", fixed_address(Address(base_url=endpoint.base_url, model="m"))), "a", "j"
    )
    assert (end.replies, end.gone) == ({}, False)
    assert (await second.totals(claim)).set_aside == 0
    assert await second.batch.job("j") is None


@pytest.mark.parametrize("lost", [False, True])
async def test_one_that_was_cut_off_while_it_was_sent_is_looked_for(hire: Hire, endpoint: Endpoint, lost: bool) -> None:
    """Killed while the endpoint begins it: its id is not on record, and it is found by its name."""
    endpoint.books.jobs.update({f"batch_x{n}": {"id": f"batch_x{n}", "status": "completed"} for n in range(3)})
    endpoint.books.hold_begin = 60.0
    first = await hire()
    await cut_off(endpoint, first, await first.claim(), lambda: len(endpoint.books.begun) > 0, "One?")
    if lost:  # as if the request had never arrived
        endpoint.books.jobs.popitem()
    endpoint.books.hold_begin = 0.0
    second, claim = await take_over(hire, first)
    assert len(await second.ask(claim, "One?")) == 1
    assert endpoint.books.begun == ([1, 1] if lost else [1])
    assert len(endpoint.books.done) == 1
    assert (await second.totals(claim)).unknown == 0


@pytest.mark.parametrize("status", [404, 500])
async def test_where_jobs_are_not_listed_its_bill_is_not_known(hire: Hire, endpoint: Endpoint, status: int) -> None:
    endpoint.books.lose_begin = True
    once = iter([status] * (1 if status == 404 else 3))
    endpoint.books.refuse = lambda step: next(once, None) if step == "list" else None
    worker = await hire()
    claim = await worker.claim()
    assert len(await worker.ask(claim, "One?")) == 1
    assert endpoint.books.begun == ([1, 1] if status == 404 else [1])
    assert ((await worker.totals(claim)).unknown > 0) == (status == 404)


async def test_one_whose_beginning_is_not_known_is_looked_for_at_once(hire: Hire, endpoint: Endpoint) -> None:
    endpoint.books.lose_begin = True
    worker = await hire()
    claim = await worker.claim()
    assert len(await worker.ask(claim, "One?")) == 1
    assert endpoint.books.begun == [1]


async def test_one_that_another_process_sends_is_waited_for(hire: Hire, endpoint: Endpoint) -> None:
    endpoint.books.hold_begin = 0.3
    first, second = await hire(), await hire()
    claim = await first.claim()
    await cut_off(endpoint, first, claim, lambda: len(endpoint.books.begun) > 0, "One?")
    first.batch.give_back(claim.task)
    await first.totals(claim)
    again = await second.claim()
    assert len(await second.ask(again, "One?")) == 1
    assert endpoint.books.begun == [1]


async def test_one_that_this_process_sends_is_waited_for_too(hire: Hire, endpoint: Endpoint) -> None:
    endpoint.books.hold_begin = 0.3
    worker = await hire()
    claim = await worker.claim()
    await cut_off(endpoint, worker, claim, lambda: len(endpoint.books.begun) > 0, "One?")
    assert len(await worker.ask(claim, "One?")) == 1
    assert endpoint.books.begun == [1]


async def test_what_was_not_done_in_time_is_given_again(hire: Hire, endpoint: Endpoint) -> None:
    books = endpoint.books
    books.outcome = lambda number: "expired" if number == 1 else "completed"
    books.line = lambda body, number: None if number == 1 and "Two" in str(body) else (200, books.answer(body))
    worker = await hire()
    claim = await worker.claim()
    assert len(await worker.ask(claim, "One?", "Two?")) == 2
    assert books.begun == [2, 1]
    totals = await worker.totals(claim)
    assert (totals.set_aside, totals.unknown) == (0, 0)


async def test_what_is_never_done_is_an_error_in_the_end(hire: Hire, endpoint: Endpoint) -> None:
    endpoint.books.line = lambda body, number: None
    worker = await hire()
    claim = await worker.claim()
    with pytest.raises(RateLimitedError, match="not done in 3 jobs"):
        await worker.ask(claim, "One?")
    assert endpoint.books.begun == [1, 1, 1]
    totals = await worker.totals(claim)
    assert (totals.paid, totals.set_aside, totals.unknown) == (0, 0, 0)


FAULT = {"error": {"message": "no"}}


@pytest.mark.parametrize(
    ("status", "raised", "jobs", "unknown"),
    [(400, RejectedError, 1, False), (429, RateLimitedError, 3, False), (500, ServerError, 1, True)],
)
async def test_a_request_that_failed_is_what_it_would_be_live(
    hire: Hire, endpoint: Endpoint, status: int, raised: type[Exception], jobs: int, unknown: bool
) -> None:
    books = endpoint.books
    books.line = lambda body, number: (200, books.answer(body)) if "Two" in str(body) else (status, FAULT)
    worker = await hire()
    one, two = await worker.claim(), await worker.claim()
    failing, fine = await asyncio.gather(worker.ask(one, "One?"), worker.ask(two, "Two?"), return_exceptions=True)
    assert isinstance(failing, raised)
    assert not isinstance(fine, BaseException)
    assert len(books.begun) == jobs
    totals = await worker.totals(one)
    assert totals.set_aside == 0
    assert (totals.unknown > 0) == unknown


async def test_a_job_that_is_refused_costs_nothing_and_says_why(hire: Hire, endpoint: Endpoint) -> None:
    endpoint.books.outcome = lambda number: "failed:invalid_file"
    worker = await hire()
    claim = await worker.claim()
    with pytest.raises(RejectedError, match="the job is refused: invalid_file"):
        await worker.ask(claim, "One?", "Two?")
    assert endpoint.books.begun == [2]
    totals = await worker.totals(claim)
    assert (totals.paid, totals.set_aside, totals.unknown) == (0, 0, 0)


async def test_where_too_much_is_queued_smaller_jobs_follow(hire: Hire, endpoint: Endpoint) -> None:
    books = endpoint.books
    books.outcome = lambda number: "failed:token_limit_exceeded" if books.begun[number - 1] > 1 else "completed"
    worker = await hire(size=4)
    claim = await worker.claim()
    assert len(await worker.ask(claim, "One?", "Two?", "Three?")) == 3
    assert books.begun == [3, 2, 1, 1, 1, 1] or max(books.begun[2:]) <= 2
    books.outcome = lambda number: "failed:token_limit_exceeded"
    with pytest.raises(RejectedError, match="token_limit_exceeded"):
        await worker.ask(claim, "Four?")


async def test_a_job_that_the_endpoint_has_forgotten_stays_charged(hire: Hire, endpoint: Endpoint) -> None:
    books = endpoint.books
    books.questions = 10**9
    worker = await hire()
    claim = await worker.claim()
    asking = asyncio.ensure_future(worker.ask(claim, "One?"))
    await asyncio.to_thread(endpoint.wait, lambda: len(books.jobs) > 0)
    books.jobs.clear()
    books.questions = 1
    assert len(await asking) == 1
    totals = await worker.totals(claim)
    assert totals.unknown > 0
    assert totals.set_aside == 0
    assert books.begun == [1, 1]


async def test_the_cap_holds_before_anything_is_sent(hire: Hire, endpoint: Endpoint) -> None:
    worker = await hire(cap=1e-6)
    claim = await worker.claim()
    with pytest.raises(BatchHaltError) as halted:
        await worker.ask(claim, "One?")
    assert halted.value.reason == "cap"
    assert endpoint.books.files == {}
    assert (await worker.totals(claim)).set_aside == 0


async def test_where_money_is_set_aside_for_others_a_call_waits_for_it(hire: Hire, endpoint: Endpoint) -> None:
    # One call can cost 103 tokens or so at half a dollar a million; the cap is enough for one at a time.
    worker = await hire(cap=8e-5)
    claim = await worker.claim()
    assert len(await worker.ask(claim, "One?", "Two?")) == 2
    assert endpoint.books.begun == [1, 1]


async def test_a_task_that_another_process_has_is_left_to_it(hire: Hire, endpoint: Endpoint) -> None:
    worker = await hire()
    claim = await worker.claim()
    worker.batch.give_back(claim.task)
    with pytest.raises(BatchHaltError) as halted:
        await worker.ask(claim, "One?")
    assert halted.value.reason == "taken over"
    assert endpoint.books.begun == []


@pytest.mark.parametrize("step", ["upload", "begin"])
@pytest.mark.parametrize(("status", "raised"), [(400, RejectedError), (429, RateLimitedError)])
async def test_a_job_that_cannot_be_begun_costs_nothing(
    hire: Hire, endpoint: Endpoint, step: str, status: int, raised: type[Exception]
) -> None:
    endpoint.books.refuse = lambda asked: status if asked == step else None
    worker = await hire()
    claim = await worker.claim()
    with pytest.raises(raised, match=f"{step} is refused"):
        await worker.ask(claim, "One?")
    assert endpoint.books.begun == []
    totals = await worker.totals(claim)
    assert (totals.paid, totals.set_aside, totals.unknown) == (0, 0, 0)


@pytest.mark.parametrize("garbled", [False, True])
async def test_where_the_endpoint_does_not_say_what_it_did_the_batch_stops(
    hire: Hire, endpoint: Endpoint, garbled: bool
) -> None:
    endpoint.books.garble = garbled
    endpoint.books.refuse = lambda step: 403 if step == "end" and not garbled else None
    worker = await hire()
    claim = await worker.claim()
    with pytest.raises(BatchHaltError) as halted:
        await worker.ask(claim, "One?")
    assert halted.value.reason == "endpoint"
    assert (await worker.totals(claim)).set_aside > 0, "it may have been done"


async def test_an_endpoint_that_is_down_for_a_while_is_asked_again(hire: Hire, endpoint: Endpoint) -> None:
    down = iter([500] * 4)
    endpoint.books.refuse = lambda step: next(down, None) if step == "end" else None
    worker = await hire()
    assert len(await worker.ask(await worker.claim(), "One?")) == 1


async def test_a_full_job_is_sent_and_one_that_waits_long_too(hire: Hire, endpoint: Endpoint) -> None:
    worker = await hire(size=2)
    worker.jobs.held += 1  # a task is at work elsewhere, and does not end
    assert len(await worker.ask(await worker.claim(), "One?", "Two?", "Three?")) == 3
    assert endpoint.books.begun == [2, 1]


async def test_a_large_request_goes_by_itself(hire: Hire, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sale.batch.jobs.MAX_BYTES", 10)
    worker = await hire()
    assert len(await worker.ask(await worker.claim(), "One?", "Two?")) == 2
    assert endpoint.books.begun == [1, 1]


async def test_a_memory_that_cannot_be_written_halts_the_task(
    hire: Hire, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StoreError("the disk is full")

    worker = await hire()
    claim = await worker.claim()
    monkeypatch.setattr(worker.batch, "open_job", full)
    with pytest.raises(BatchHaltError) as halted:
        await worker.ask(claim, "One?")
    assert halted.value.reason == "memory"
    assert isinstance(halted.value.cause, StoreError)


async def test_agents_without_a_batch_api_are_asked_live_a_few_at_a_time(hire: Hire, endpoint: Endpoint) -> None:
    worker = await hire()
    claim = await worker.claim()
    address = fixed_address(Address(base_url=endpoint.base_url, model="slow-50+good"))
    terms = CallTerms(agent="c", price=PRICE, identity="c", answer_tokens=9, seconds=lambda _: 10.0, limit=None)
    worker.models["c"] = BatchModel(EndpointModel("c", address), terms)
    assert len(await worker.ask(claim, "One?", "Two?", agent="c")) == 2
    first, second = endpoint.requests()
    assert second.at - first.at > 0.05, "one after the other"
    assert endpoint.books.begun == []


async def test_what_is_left_in_a_job_when_its_task_ends_stays_charged(hire: Hire, endpoint: Endpoint) -> None:
    worker = await hire()
    claim = await worker.claim()
    await worker.batch.open_job("j", "a")
    await worker.batch.fill_job("j", [(worker.batch.key(claim, "work", "a", "r"), 100)], worker.cap)
    assert await worker.batch.finish(claim, TaskEnd(status="done", verdict="unknown", line="{}"))
    totals = await worker.totals(claim)
    assert (totals.set_aside, totals.unknown) == (0, 100)
