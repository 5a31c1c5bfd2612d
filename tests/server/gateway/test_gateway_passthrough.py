"""`/v1/completions`, `/v1/rerank` and `/v1/embeddings` are requests like any other: limits, labels, the ledger."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from sale.server.store.ledger import list_entries
from tests.server.gateway.conftest import Gateway, Serving
from tests.support.hang import HANG
from tests.support.replies import Json
from tests.support.wire import Out, Request, Wire

USAGE = {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1000}


def completed(**more: Any) -> Json:
    choice = {"index": 0, "text": "fine", "finish_reason": "stop"}
    return {"id": "cmpl-1", "object": "text_completion", "choices": [choice], **more}


async def counting(request: Request, out: Out) -> None:
    if request.path.endswith("/rerank"):
        await out.body({"results": [{"index": 0, "relevance_score": 0.5}], "usage": {"total_tokens": 1000}})
    elif request.path.endswith("/embeddings"):
        await out.body({"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 1000}})
    elif request.body.get("stream"):
        await out.events(completed(usage=USAGE))
    else:
        await out.body(completed(usage=USAGE))


def post(gateway: Gateway, path: str, secret: str = "any", **body: Any) -> httpx2.Response:
    given = {"model": "only", **body}
    return httpx2.post(f"{gateway.url}{path}", json=given, headers={"authorization": f"Bearer {secret}"}, timeout=HANG)


def test_an_endpoint_that_refuses_the_gateways_own_wish_for_usage(serving: Serving) -> None:
    async def play(request: Request, out: Out) -> None:
        if "stream_options" in request.body:
            await out.body({"error": {"message": "extra fields not permitted: stream_options"}}, 422)
        else:
            await out.events(completed())

    with Wire(only=play) as wire, serving(wire.agent("only")) as gateway:
        for count in (2, 3):
            found = post(gateway, "/completions", prompt="What is 6 × 7?", stream=True)
            assert found.status_code == 200, found.text
            assert found.text.endswith("data: [DONE]\n\n")
            assert len(wire.work()) == count, "the refusal was not remembered"
        own = {"include_usage": True}
        assert post(gateway, "/completions", prompt="What?", stream=True, stream_options=own).status_code == 422
        assert [line.output_tokens > 0 for line in gateway.lines()] == [True, True, False]


@pytest.mark.parametrize(("path", "asked"), [("/completions", {"prompt": "x"}), ("/rerank", {"query": "x"})])
def test_an_agents_minute_counts_what_is_passed_through(serving: Serving, path: str, asked: Json) -> None:
    with Wire(only=counting) as wire, serving(wire.agent("only", tokens_per_minute=1000)) as gateway:
        assert post(gateway, path, **asked).status_code == 200
        refused = post(gateway, path, **asked)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "agent_minute_used_up")
        assert int(refused.headers["retry-after"]) > 0
        chat = post(gateway, "/chat/completions", messages=[{"role": "user", "content": "x"}])
        assert chat.status_code == 429
        assert len(wire.work()) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_read_from_a_cache_costs_what_that_costs(serving: Serving, stream: bool) -> None:
    taken = {**USAGE, "prompt_tokens_details": {"cached_tokens": 800}}

    async def play(_: Request, out: Out) -> None:
        await (out.events(completed(usage=taken)) if stream else out.body(completed(usage=taken)))

    price = {"input": 1.0, "output": 1.0, "cached": 0.25}
    with Wire(only=play) as wire, serving(wire.agent("only", price=price)) as gateway:
        assert post(gateway, "/completions", prompt="x", stream=stream).status_code == 200
        (line,) = gateway.lines()
        assert (line.input_tokens, line.output_tokens, line.cached_tokens) == (900, 100, 800)
        assert line.work_dollars == pytest.approx((100 + 100 + 0.25 * 800) / 1e6)


def test_the_tokens_of_one_prompt_are_not_as_many_prompts(serving: Serving) -> None:
    with Wire(only=counting) as wire, serving(wire.agent("only")) as gateway:
        assert gateway.store is not None
        secret, _ = gateway.do(gateway.store.create_key("a", budget=0.01))
        found = post(gateway, "/completions", secret, prompt=list(range(1000)), max_tokens=100)
        assert found.status_code == 200, found.text
        many = post(gateway, "/completions", secret, prompt=[[1], [2]] * 100, max_tokens=100)
        assert many.status_code == 429


WORDS = "word " * 2_000
"""At least 2,000 tokens, and 3,334 of those that are set aside for them."""


@pytest.mark.parametrize(
    ("path", "asked", "least", "most"),
    [
        ("/rerank", {"query": WORDS, "documents": ["x"] * 1000}, 2_000_000, 4_000_000),
        ("/rerank", {"query": WORDS, "texts": ["x"] * 1000}, 2_000_000, 4_000_000),
        ("/rerank", {"query": WORDS, "candidates": ["x"] * 1000}, 2_000_000, 4_000_000),
        ("/rerank", {"query": WORDS, "documents": {"content": [{"type": "text", "text": "x"}] * 1000}}, 2e6, 4e6),
        ("/rerank", {"query": "x", "instruct": WORDS, "documents": ["x"] * 1000}, 2_000_000, 4_000_000),
        ("/rerank", {"query": "x", "documents": [WORDS] * 100}, 200_000, 400_000),
        ("/completions", {"prompt": [1] * 100_000}, 100_000, 101_000),
        ("/completions", {"prompt": [[1] * 1000] * 100}, 100_000, 130_000),
        ("/completions", {"prompt_embeds": ["e"] * 1000, "max_tokens": 1000}, 1_000_000, 1_100_000),
        ("/completions", {"prompt": "x", "prompt_embeds": ["e"] * 1000, "max_tokens": 1000}, 1_001_000, 1_100_000),
        ("/embeddings", {"input": [{"text": WORDS}] * 100}, 200_000, 400_000),
        ("/embeddings", {"input": [[WORDS] * 10] * 10}, 200_000, 400_000),
        ("/embeddings", {"messages": [{"role": "user", "content": WORDS}] * 100}, 200_000, 400_000),
        ("/embeddings", {"input": "x", "instruction": WORDS}, 2_000, 4_000),
        ("/embeddings", {"input": "x", "user": WORDS, "dimensions": 8}, 1, 100),
    ],
)
def test_as_many_tokens_are_set_aside_as_an_endpoint_reads(
    serving: Serving, path: str, asked: Json, least: float, most: float
) -> None:
    with Wire(only=counting) as wire:
        there = {"endpoint": wire.base_url, "model": "only", "price": 1.0}
        with serving(wire.agent("only"), server={"embeddings": there}) as gateway:
            assert gateway.store is not None
            seen: list[int] = []
            reserve = gateway.store.reserve

            async def watched(holder: Any, dollars: float, tokens: int) -> Any:
                seen.append(tokens)
                return await reserve(holder, dollars, tokens)

            gateway.store.reserve = watched
            given: Json = {"max_tokens": 1, **asked} if path == "/completions" else asked
            assert post(gateway, path, **given).status_code == 200
    assert least <= seen[0] <= most


@pytest.mark.parametrize("number", ["128", 128.0, 129, True])
@pytest.mark.parametrize("name", ["n", "best_of"])
def test_a_number_of_answers_that_no_money_is_set_aside_for(serving: Serving, name: str, number: Any) -> None:
    with Wire(only=counting) as wire, serving(wire.agent("only")) as gateway:
        found = post(gateway, "/completions", prompt="x", **{name: number})
        assert (found.status_code, found.json()["error"]["param"]) == (400, name)
        assert not wire.work()


def test_labels_that_the_body_requires_of_embeddings(serving: Serving) -> None:
    with Wire() as wire:
        there = {"endpoint": wire.base_url, "model": "e", "labels": {"region": "us"}}
        with serving(wire.agent("only"), server={"embeddings": there}) as gateway:
            wire.plays["e"] = counting
            found = post(gateway, "/embeddings", input="secret", metadata={"sale_require": "region=eu"})
            assert (found.status_code, found.json()["error"]["code"]) == (400, "requirement_unmet")
            assert not wire.work()
            met = post(gateway, "/embeddings", input="fine", metadata={"sale_require": "region=us"})
            assert met.status_code == 200
            assert wire.work()[0].body == {"model": "e", "input": "fine"}


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/completions", {"prompt": "x"}),
        ("/completions", {"prompt": "x", "stream": True}),
        ("/rerank", {"query": "x"}),
        ("/embeddings", {"input": "x"}),
    ],
)
def test_its_line_comes_before_its_end(serving: Serving, path: str, asked: Json) -> None:
    with Wire(only=counting) as wire:
        there = {"endpoint": wire.base_url, "model": "only", "price": 1.0}
        with serving(wire.agent("only"), server={"ledger": "before", "embeddings": there}) as gateway:
            assert gateway.store is not None
            assert post(gateway, path, **asked).status_code == 200
            database = gateway.store.database
            (line,) = gateway.do(database.read(lambda connection: list_entries(connection, 10, None, None)))
            assert (line.status, line.input_tokens + line.output_tokens) == (200, 1000)
            assert line.work_dollars == pytest.approx(0.001)
            assert len(gateway.lines()) == 1
