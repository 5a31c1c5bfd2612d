"""Whatever an endpoint sends, a call ends in a reply or a `CallError`; nothing else gets out or is counted wrong."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sale.auction.ballots import expected_scores
from sale.auction.entropy import strategy_entropy
from sale.errors import CallError
from sale.models.logprobs import read_logprobs, usable_entries
from sale.models.protocol import GenerationRequest
from sale.types import Reply
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.pool import PLAN, model

MAX_COUNT = 10**9
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**30)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([10**400, -0.0, "\ud800", "<think>", "</think>"])
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["message", "content", "token", "logprob", "text", "type", "function", "error"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


def whole() -> dict[str, Any]:
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1_780_000_000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "1. Plan.", "tool_calls": None, "reasoning_content": None},
                "logprobs": {
                    "content": [
                        {
                            "token": "1",
                            "logprob": -0.1,
                            "top_logprobs": [{"token": "1", "logprob": -0.1, "bytes": None}],
                        }
                    ]
                },
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "total_tokens": 7,
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [place for step, inner in steps for place in places(inner, (*path, step))]


@st.composite
def bent(draw: st.DrawFn) -> dict[str, Any]:
    """A good answer with one to three of its parts replaced or removed."""
    answer = whole()
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places(answer)))
        parent: Any = answer
        for step in place[:-1]:
            parent = parent[step]
        if isinstance(parent, dict) and draw(st.booleans()):
            del parent[place[-1]]
        else:
            parent[place[-1]] = draw(anything)
        if not answer:
            break
    return answer


def asked(endpoint: Endpoint, raw: bytes) -> Reply | CallError:
    endpoint.raw = raw

    async def once() -> Reply | CallError:
        found = model(endpoint, "raw")
        try:
            async with asyncio.timeout(HANG):
                return await found.generate(GenerationRequest(PLAN, max_tokens=50, measure=True))
        except CallError as error:
            return error
        finally:
            await found.aclose()

    return asyncio.run(once())


def encoded(answer: object) -> bytes:
    return json.dumps(answer).encode()  # the way Python servers send NaN, Infinity and lone surrogates


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(answer=bent() | anything)
@example(answer=[])
@example(answer=whole() | {"usage": {"prompt_tokens": 3, "completion_tokens": 10**26}})
@example(
    answer=whole()
    | {"usage": {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": -1}}}
)
@example(answer={"choices": {"0": 1}})
@example(answer=whole() | {"created": 10**18})
@example(answer=whole() | {"created": -(10**18)})
@example(answer=whole() | {"created": math.nan})
@example(answer=whole() | {"moderation": {"results": 1}, "service_tier": [], "metadata": 3})
def test_any_json_is_a_reply_or_a_call_error(endpoint: Endpoint, answer: object) -> None:
    found = asked(endpoint, encoded(answer))
    if isinstance(found, CallError):
        assert "\n" not in found.message
        assert found.where == "alice"
        return
    assert isinstance(found.text, str)
    assert 0 <= found.usage.input_tokens <= MAX_COUNT
    assert 0 <= found.usage.output_tokens <= MAX_COUNT
    assert found.usage.output_tokens > 0 or not found.text
    for token in found.logprobs or ():
        assert all(-1e6 <= logprob <= 0 for logprob in (token.logprob, *(value for _, value in token.top)))


@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"1", b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5_000, b"\xff\xfe", b'{"choices": [', b"\x00" * 100],
    ids=lambda raw: repr(raw[:6]),
)
def test_any_bytes_are_a_call_error(endpoint: Endpoint, raw: bytes) -> None:
    assert isinstance(asked(endpoint, raw), CallError)


def test_a_tool_of_an_unknown_kind_is_a_call_error(endpoint: Endpoint) -> None:
    answer = whole()
    answer["choices"][0]["message"]["tool_calls"] = [
        {"id": "1", "type": "custom", "custom": {"name": "x", "input": ""}}
    ]
    found = asked(endpoint, encoded(answer))
    assert isinstance(found, CallError)
    assert "nobody offered" in found.message


def test_what_small_servers_leave_out_is_filled_in(endpoint: Endpoint) -> None:
    answer = {
        "choices": [{"message": {"content": "1. Plan."}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4.0},
    }
    found = asked(endpoint, encoded(answer))
    assert isinstance(found, Reply)
    assert found.text == "1. Plan."
    assert (found.usage.input_tokens, found.usage.output_tokens) == (3, 4)


@given(entries=st.lists(anything, max_size=4) | anything)
def test_any_list_of_log_probabilities_can_be_read_and_measured(entries: object) -> None:
    read = read_logprobs({"logprobs": entries})
    assert read is None or read
    assert usable_entries(usable_entries(entries)) == usable_entries(entries)
    if read:
        entropy = strategy_entropy(read)
        assert entropy is None or 0 <= entropy.normalised <= 1
        assert all(0 <= score <= 5 for score in expected_scores(read, {"A": 3}).values())
