"""The official `openai` package through the gateway, changed in nothing but its base URL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.support.faulty_server import FaultWall
from tests.support.gateway_process import KEY, Served, gateway
from tests.support.hang import HANG
from tests.support.replies import ANSWER


def tool(name: str, argument: str, kind: str = "integer") -> dict[str, Any]:
    parameters = {"type": "object", "properties": {argument: {"type": kind}}, "required": [argument]}
    return {"type": "function", "function": {"name": name, "description": f"Get {name}.", "parameters": parameters}}


TOOLS: Any = [tool("weather", "day"), tool("traffic", "hour")]


class Point(BaseModel):
    """What a structured answer holds."""

    x: int
    y: int


@pytest.fixture
def client(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=served.base_url, api_key="any", max_retries=0, timeout=HANG) as found:
        yield found


@pytest.fixture
async def aclient(served: Served) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=served.base_url, api_key="any", max_retries=0, timeout=HANG) as found:
        yield found


def user(words: str) -> Any:
    return [{"role": "user", "content": words}]


def test_a_whole_answer(client: OpenAI, served: Served, wall: FaultWall) -> None:
    raw = client.chat.completions.with_raw_response.create(model="sale", messages=user("What is six times seven?"))
    found = raw.parse()
    assert found.choices[0].message.content == ANSWER
    assert found.usage is not None
    assert found.usage.completion_tokens > 0
    assert raw.headers["x-sale-agent"] == "first"
    assert raw.headers["x-sale-auction"]
    assert raw.headers["x-sale-session"]
    assert float(raw.headers["x-sale-cost"]) > 0
    assert "x-stainless-lang" not in wall.seen()[0].headers
    assert wall.seen()[0].headers["authorization"] == f"Bearer {KEY}", "the client's key went on"


async def test_an_awaited_answer(aclient: AsyncOpenAI) -> None:
    found = await aclient.chat.completions.create(model="sale", messages=user("What is six times eight?"))
    assert found.choices[0].message.content == ANSWER


def test_a_stream(client: OpenAI) -> None:
    words: list[str] = []
    with client.chat.completions.create(model="sale", messages=user("Count."), stream=True) as stream:
        for chunk in stream:
            assert chunk.usage is None
            words += [choice.delta.content or "" for choice in chunk.choices]
    assert "".join(words) == ANSWER


async def test_an_awaited_stream_with_usage(aclient: AsyncOpenAI) -> None:
    asked = user("Count further.")
    options: Any = {"include_usage": True}
    async with aclient.chat.completions.stream(model="sale", messages=asked, stream_options=options) as stream:
        events = [event.type async for event in stream]
        found = await stream.get_final_completion()
    assert "content.delta" in events
    assert found.choices[0].message.content == ANSWER
    assert found.usage is not None
    assert found.usage.completion_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_called_in_parallel_and_a_session_that_sticks(
    aclient: AsyncOpenAI, wall: FaultWall, stream: bool
) -> None:
    messages = user(f"How is the day? {stream} fault:calls")
    completions = aclient.chat.completions
    if stream:
        async with completions.stream(model="sale", messages=messages, tools=TOOLS) as live:
            message = (await live.get_final_completion()).choices[0].message
    else:
        message = (await completions.create(model="sale", messages=messages, tools=TOOLS)).choices[0].message
    assert message.tool_calls is not None
    calls = [(one.function.name, json.loads(one.function.arguments)) for one in message.tool_calls if one.function]  # pyright: ignore[reportAttributeAccessIssue]
    assert calls == [("weather", {"day": 2}), ("traffic", {"hour": 2})]
    seen = wall.seen()[-1].body
    assert seen["tools"] == TOOLS, "the client's tools did not arrive as they were sent"
    messages.append(message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}))
    messages += [{"role": "tool", "tool_call_id": one.id, "content": f"{one.id}: fine"} for one in message.tool_calls]
    raw = await completions.with_raw_response.create(model="sale", messages=messages, tools=TOOLS)
    assert raw.parse().choices[0].message.content == f"{ANSWER} The tool said: {message.tool_calls[-1].id}: fine"
    assert raw.headers["x-sale-agent"] == "first"
    first, second = (one.body["messages"] for one in wall.seen())
    assert [one for one in second[: len(first)] if one["role"] != "assistant"] == first, "the prompt cache is lost"


def test_structured_output(client: OpenAI) -> None:
    found = client.chat.completions.parse(model="sale", messages=user("Where?"), response_format=Point)
    assert found.choices[0].message.parsed == Point(x=3, y=4)


def test_models(client: OpenAI) -> None:
    assert {one.id for one in client.models.list()} >= {"sale", "first", "second"}
    assert client.models.retrieve("first").id == "first"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_what_it_does_not_know_is_passed_on(client: OpenAI, wall: FaultWall) -> None:
    more: Any = {"seed": 7, "stop": ["END"], "extra_body": {"a_new_field": {"deep": [1, None]}}}
    image: Any = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:,x"}}]
    client.chat.completions.create(model="first", messages=[{"role": "user", "content": image}], n=2, **more)
    body = wall.seen()[-1].body
    assert (body["seed"], body["stop"], body["n"], body["a_new_field"]) == (7, ["END"], 2, {"deep": [1, None]})
    assert body["messages"] == [{"role": "user", "content": image}]


def test_errors_are_of_the_right_class(client: OpenAI) -> None:
    def ask(words: str, model: str = "first", **more: Any) -> None:
        client.chat.completions.create(model=model, messages=user(words), **more)

    with pytest.raises(openai.NotFoundError) as unknown:
        ask("Hello.", model="nobody")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        ask("Hello.", n=0)
    assert wrong.value.param == "n"
    with pytest.raises(openai.BadRequestError) as too_long:
        ask("Hello. fault:context-too-long")
    assert too_long.value.code == "context_length_exceeded"
    with pytest.raises(openai.RateLimitError) as limited:
        ask("Hello. fault:429")
    assert limited.value.response.headers["retry-after"] == "1"
    with pytest.raises(openai.InternalServerError):
        ask("Hello. fault:500")


def test_a_stream_that_breaks_off_raises(client: OpenAI) -> None:
    words: list[str] = []

    def read() -> None:
        with client.chat.completions.create(model="sale", messages=user("Go on. fault:cut-3"), stream=True) as stream:
            for chunk in stream:
                words.extend(choice.delta.content or "" for choice in chunk.choices)

    with pytest.raises(openai.APIError):
        read()
    assert ANSWER.startswith("".join(words))
    assert "".join(words)


def test_feedback_settles_the_session(client: OpenAI, served: Served) -> None:
    raw = client.chat.completions.with_raw_response.create(model="sale", messages=user("What is one and one?"))
    told = {"session_id": raw.headers["x-sale-session"], "verdict": "success", "detail": "It was two."}
    found: Any = client.post("/feedback", body=told, cast_to=object)
    assert found is not None
    shown = json.loads(served.command("memory", "show", raw.headers["x-sale-auction"], "--json"))
    assert "success" in json.dumps(shown)


def test_embeddings(client: OpenAI) -> None:
    found = client.embeddings.create(model="embedder", input=["a cat", "a dog", "an invoice"])
    cat, dog, invoice = (one.embedding for one in found.data)
    assert len(cat) == 384
    assert sum(a * b for a, b in zip(cat, dog, strict=True)) > sum(a * b for a, b in zip(cat, invoice, strict=True))


def test_responses(client: OpenAI) -> None:
    first = client.responses.create(model="sale", input="What is six times seven?", instructions="Be brief.")
    assert first.output_text == ANSWER
    assert first.usage is not None
    assert first.usage.output_tokens > 0
    second = client.responses.create(model="sale", input="And eight?", previous_response_id=first.id)
    assert second.output_text == ANSWER
    with pytest.raises(openai.APIStatusError):
        client.responses.create(model="sale", input="And nine?", previous_response_id="resp_nobody")


def test_responses_streamed(client: OpenAI) -> None:
    with client.responses.stream(model="sale", input="Count to three.") as stream:
        kinds = [event.type for event in stream]
        found = stream.get_final_response()
    assert found.output_text == ANSWER
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert "response.output_text.delta" in kinds


def test_responses_with_tools(client: OpenAI) -> None:
    tools: Any = [{"type": "function", "strict": False, **one["function"]} for one in TOOLS]
    first = client.responses.create(model="sale", input="How is the day? fault:calls", tools=tools)
    calls = [one for one in first.output if one.type == "function_call"]
    assert [(one.name, json.loads(one.arguments)) for one in calls] == [
        ("weather", {"day": 2}),
        ("traffic", {"hour": 2}),
    ]
    outputs: Any = [{"type": "function_call_output", "call_id": one.call_id, "output": "fine"} for one in calls]
    second = client.responses.create(model="sale", input=outputs, previous_response_id=first.id, tools=tools)
    assert second.output_text == f"{ANSWER} The tool said: fine"


def test_keys(wall: FaultWall, tmp_path: Path) -> None:
    agents = [{"name": "only", "endpoint": wall.base_url, "model": "always", "price": 1.0, "logprobs": 0}]
    with gateway(tmp_path, agents) as served:
        poor = served.new_key("--budget", "0.000000001")
        rich = served.new_key("--budget", "1")

        def ask(key: str) -> str | None:
            with OpenAI(base_url=served.base_url, api_key=key, max_retries=0) as client:
                return client.chat.completions.create(model="sale", messages=user("Hello.")).choices[0].message.content

        assert ask(rich) == ANSWER
        with pytest.raises(openai.AuthenticationError):
            ask("sk-sale-nobody")
        with pytest.raises(openai.RateLimitError) as spent:
            ask(poor)
        assert spent.value.code == "insufficient_quota"
        served.command("keys", "revoke", json.loads(served.command("keys", "list", "--json"))["keys"][-1]["id"])
        assert rich not in served.said
