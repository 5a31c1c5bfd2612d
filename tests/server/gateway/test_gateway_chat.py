"""Chat completions through the gateway with the real `openai` package."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.server.gateway.conftest import Gateway, Opening
from tests.support.endpoint import Endpoint

HELLO: list[Any] = [{"role": "user", "content": "What is 6 × 7?"}]


def client(gateway: Gateway, key: str = "any") -> OpenAI:
    return OpenAI(base_url=gateway.url, api_key=key, max_retries=0)


def test_a_whole_answer_from_an_agent_by_name(gateway: Gateway, endpoint: Endpoint) -> None:
    with client(gateway) as ask:
        answer = ask.chat.completions.with_raw_response.create(model="large", messages=HELLO, seed=7, user="me")
        assert answer.parse().choices[0].message.content == "The answer is 42."
    assert answer.headers["x-sale-agent"] == "large"
    assert "x-sale-auction" not in answer.headers
    assert float(answer.headers["x-sale-cost"]) > 0
    (seen,) = endpoint.requests()
    assert seen.body == {"model": "good@large", "messages": HELLO, "seed": 7, "user": "me"}
    (line,) = gateway.lines()
    usage = answer.parse().usage
    assert usage is not None
    assert (line.input_tokens, line.output_tokens) == (usage.prompt_tokens, usage.completion_tokens)
    assert line.work_dollars == pytest.approx(usage.prompt_tokens * 1e-6 + usage.completion_tokens * 2e-6)
    assert float(answer.headers["x-sale-cost"]) == pytest.approx(line.work_dollars, abs=1e-9)
    assert (line.status, line.agent, line.model, line.streamed, line.path) == (
        200,
        "large",
        "large",
        False,
        "/v1/chat/completions",
    )


def test_a_stream_hides_usage_that_nobody_asked_for_and_the_ledger_has_it(gateway: Gateway) -> None:
    with client(gateway) as ask:
        chunks = list(ask.chat.completions.create(model="small", messages=HELLO, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "The answer is 42."
    assert all(c.usage is None for c in chunks)
    (line,) = gateway.lines()
    assert line.streamed
    assert line.output_tokens > 0
    assert line.first_token_seconds is not None


def test_a_stream_shows_usage_to_who_asks(gateway: Gateway, endpoint: Endpoint) -> None:
    with client(gateway) as ask:
        stream = ask.chat.completions.create(
            model="small", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        last = list(stream)[-1]
    assert last.usage is not None
    assert last.usage.completion_tokens > 0


def test_a_stream_ends_with_done(gateway: Gateway) -> None:
    body = {"model": "small", "messages": HELLO, "stream": True}
    answer = httpx2.post(f"{gateway.url}/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_the_async_client_too(gateway: Gateway) -> None:
    async with AsyncOpenAI(base_url=gateway.url, api_key="any", max_retries=0) as ask:
        answer = await ask.chat.completions.create(model="sale", messages=HELLO)
    assert answer.choices[0].message.content == "The answer is 42."


def test_the_market_auctions_the_first_request_and_sticks_to_the_winner(gateway: Gateway, endpoint: Endpoint) -> None:
    with client(gateway) as ask:
        first = ask.chat.completions.with_raw_response.create(model="sale", messages=HELLO)
        calls = len(endpoint.requests())
        said = first.parse().choices[0].message
        more: list[Any] = [*HELLO, said.model_dump(exclude_none=True), {"role": "user", "content": "And 6 × 8?"}]
        second = ask.chat.completions.with_raw_response.create(model="sale", messages=more)
    assert second.headers["x-sale-session"] == first.headers["x-sale-session"]
    assert second.headers["x-sale-auction"] == first.headers["x-sale-auction"]
    assert second.headers["x-sale-agent"] == first.headers["x-sale-agent"]
    assert len(endpoint.requests()) == calls + 1, "there was another auction"
    one, two = gateway.lines()
    assert one.auction_dollars > 0
    assert two.auction_dollars == 0
    assert one.session_id == two.session_id == first.headers["x-sale-session"]


def test_the_plan_is_in_the_system_message_of_every_turn_and_nothing_else_is_changed(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    start: list[Any] = [{"role": "system", "content": "Be brief."}, *HELLO]
    with client(gateway) as ask:
        first = ask.chat.completions.with_raw_response.create(model="sale", messages=start)
        work = [endpoint.requests()[-1]]
        more: list[Any] = [*start, {"role": "assistant", "content": "42"}, {"role": "user", "content": "Sure?"}]
        ask.chat.completions.create(model="sale", messages=more)
        work.append(endpoint.requests()[-1])
    told = [one.body["messages"][0]["content"] for one in work]
    assert told[0] == told[1]
    assert told[0].startswith("Be brief.\n\n")
    assert f"({work[0].model})" in told[0], "the winner's own plan names its model"
    assert work[0].body["messages"][1:] == start[1:]
    assert work[1].body["messages"][1:] == more[1:]
    assert first.headers["x-sale-agent"] in work[0].model


def test_tools_pass_both_ways(opening: Opening) -> None:
    tool: Any = {
        "type": "function",
        "function": {"name": "add", "parameters": {"properties": {"n": {"type": "integer"}}}},
    }
    with opening(only="tool-caller") as gateway, client(gateway) as ask:
        first = ask.chat.completions.create(model="sale", messages=HELLO, tools=[tool])
        (call,) = first.choices[0].message.tool_calls or []
        assert json.loads(call.model_dump()["function"]["arguments"]) == {"n": 2}
        back: list[Any] = [
            *HELLO,
            first.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "5"},
        ]
        second = ask.chat.completions.create(model="sale", messages=back, tools=[tool])
        assert second.choices[0].message.content == "The answer is 42. The tool said: 5"


def test_models(gateway: Gateway) -> None:
    with client(gateway) as ask:
        assert [model.id for model in ask.models.list()] == ["sale", "small", "large"]
        assert ask.models.retrieve("large").id == "large"
        with pytest.raises(openai.NotFoundError):
            ask.models.retrieve("huge")
        with pytest.raises(openai.NotFoundError, match="there are: sale, small, large"):
            ask.chat.completions.create(model="huge", messages=HELLO)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b"\xff", None),
        (b"{}", "model"),
        (b'{"model": "small"}', "messages"),
        (b'{"model": "small", "messages": []}', "messages"),
        (b'{"model": "small", "messages": [1]}', "messages[0]"),
        (b'{"model": "small", "messages": [{"role": 1}]}', "messages[0].role"),
        (b'{"model": "small", "messages": [{"role": "user"}], "stream": "yes"}', "stream"),
        (b'{"model": "small", "messages": [{"role": "user"}], "n": 0}', "n"),
        (b"[" * 100_000, None),
    ],
)
def test_what_is_wrong_is_a_400_that_says_where(gateway: Gateway, body: bytes, param: str | None) -> None:
    answer = httpx2.post(f"{gateway.url}/chat/completions", content=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param


def test_other_addresses_and_methods(gateway: Gateway) -> None:
    assert httpx2.get(f"{gateway.url}/nothing").json()["error"]["code"] == "unknown_url"
    answer = httpx2.get(f"{gateway.url}/chat/completions")
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert httpx2.get(f"{gateway.base}/healthz").json() == {"status": "ok"}
    assert httpx2.get(f"{gateway.base}/readyz").status_code == 200


def test_a_body_has_its_limit(opening: Opening) -> None:
    with opening({"body_mb": 1}, only="good") as gateway:
        answer = httpx2.post(f"{gateway.url}/chat/completions", content=b"x" * (1024 * 1024 + 1))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"
