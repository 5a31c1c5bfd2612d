"""The test endpoint itself: a test that leans on it must be able to trust it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from openai import APIConnectionError, AsyncOpenAI

from tests.support.endpoint import Endpoint


@pytest.fixture
async def client(endpoint: Endpoint) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=endpoint.base_url, api_key="any", max_retries=0) as opened:
        yield opened


async def streamed(client: AsyncOpenAI, model: str) -> list[str]:
    stream = await client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "hello"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    words = [
        f"<{chunk.usage.completion_tokens}>" if chunk.usage else chunk.choices[0].delta.content or ""
        async for chunk in stream
    ]
    return [word for word in words if word]


async def test_streaming_ends_with_the_usage(client: AsyncOpenAI) -> None:
    assert await streamed(client, "good") == ["The ", "answer ", "is ", "42.", "<9>"]


async def test_a_cut_stream_is_no_clean_end(client: AsyncOpenAI) -> None:
    with pytest.raises(APIConnectionError):
        await streamed(client, "cut")


async def test_embeddings_of_texts_that_share_words_are_close(client: AsyncOpenAI) -> None:
    found = await client.embeddings.create(model="good", input=["sort a list", "sort a long list", "bake bread"])
    first, second, third = (one.embedding for one in found.data)

    def dot(left: list[float], right: list[float]) -> float:
        return sum(x * y for x, y in zip(left, right, strict=True))

    assert dot(first, first) == pytest.approx(1.0)
    assert dot(first, second) > 0.5 > abs(dot(first, third))


async def test_models_are_listed(client: AsyncOpenAI) -> None:
    assert [one.id async for one in client.models.list()] == ["good"]


async def test_what_was_sent_is_on_record_and_a_client_that_leaves_is_noticed(
    client: AsyncOpenAI, endpoint: Endpoint
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.chat.completions.create(model="hang", messages=[{"role": "user", "content": "hello"}], seed=7)
    assert await asyncio.to_thread(endpoint.wait, lambda: endpoint.requests("hang")[0].cancelled)
    (received,) = endpoint.requests()
    assert received.body["seed"] == 7
    assert received.headers["authorization"] == "Bearer any"
    endpoint.reset()
    assert endpoint.requests() == []


async def test_a_misspelt_trait_is_an_unknown_model(endpoint: Endpoint) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{endpoint.base_url}/chat/completions", json={"model": "god", "messages": []})
    assert answer.status_code == 404


def test_two_endpoints_stand_side_by_side() -> None:
    with Endpoint() as one, Endpoint() as other:
        assert one.base_url != other.base_url
        httpx2.get(f"{one.base_url}/models", trust_env=False)
        assert (len(one.requests()), len(other.requests())) == (1, 0)
