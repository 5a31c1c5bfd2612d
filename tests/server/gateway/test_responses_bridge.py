"""Responses over chat completions: what endpoints send oddly, and what comes back to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from sale.server.gateway.responses import messages_of
from tests.server.gateway.conftest import Gateway, Serving
from tests.support.replies import Json
from tests.support.wire import Out, Request, Wire, chunk, usage, whole

LOOK: Any = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
A: Json = {"id": "a", "type": "function", "function": {"name": "alpha", "arguments": '{"x":1}'}}
B: Json = {"id": "b", "type": "function", "function": {"name": "beta", "arguments": '{"y":2}'}}


def client(gateway: Gateway) -> OpenAI:
    return OpenAI(base_url=gateway.url, api_key="any", max_retries=0)


def asked(gateway: Gateway, given: Any, **more: Any) -> Any:
    with client(gateway) as ask:
        made: Any = ask.responses.create(model="only", input=given, **more)
        return list(made) if more.get("stream") else made  # read before the client is closed


def calling(*calls: Json, **message: Any) -> Any:
    """An endpoint that calls tools once, whole or streamed, and then answers."""

    async def play(request: Request, out: Out) -> None:
        if any(one["role"] == "tool" for one in request.body["messages"]):
            await out.body(whole("done"))
        elif request.body.get("stream"):
            said: list[Json] = [{name: value} for name, value in message.items()]
            said += [{"tool_calls": [call]} for call in calls]
            await out.events(*(chunk(delta) for delta in said), chunk({}, "tool_calls"))
        else:
            told = {"role": "assistant", "content": None, **message, "tool_calls": list(calls)}
            found = whole(taken=usage(9, 120, completion_tokens_details={"reasoning_tokens": 100}))
            found["choices"][0] |= {"message": told, "finish_reason": "tool_calls"}
            await out.body(found)

    return play


@pytest.mark.parametrize(
    "calls",
    [
        [A, B],
        [A | {"index": None}, B | {"index": None}],
        [A | {"index": 0}, B | {"index": 0}],
        [A | {"index": 0}, B | {"index": 1}],
    ],
    ids=["absent", "null", "shared", "right"],
)
def test_two_calls_are_two_calls_whatever_their_index(serving: Serving, calls: Sequence[Json]) -> None:
    with (
        Wire(only=calling(*calls)) as wire,
        serving(wire.agent("only")) as gateway,
        client(gateway) as ask,
        ask.responses.stream(model="only", input="Go.") as stream,
    ):
        found = stream.until_done().get_final_response()
    assert [(one.name, one.arguments) for one in found.output if one.type == "function_call"] == [
        ("alpha", '{"x":1}'),
        ("beta", '{"y":2}'),
    ]


SIGNED = A | {"extra_content": {"google": {"thought_signature": "abc"}}}
DETAILS = [{"type": "reasoning.encrypted", "data": "xyz", "index": 0}]
OUTPUT: Any = {"type": "function_call_output", "call_id": "a", "output": "3"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "message",
    [{"reasoning_content": "I must look."}, {"reasoning": "Look.", "reasoning_details": DETAILS}, {}],
    ids=["text", "details", "signatures"],
)
@pytest.mark.parametrize("replayed", [False, True])
def test_reasoning_and_signatures_come_back(serving: Serving, message: Json, replayed: bool, stream: bool) -> None:
    with Wire(only=calling(SIGNED, **message)) as wire, serving(wire.agent("only")) as gateway:
        user: Any = {"role": "user", "content": "Look."}
        if stream:
            first = list(asked(gateway, [user], stream=True))[-1].response
        else:
            first = asked(gateway, [user])
            assert first.usage.output_tokens_details.reasoning_tokens == 100
        assert "reasoning" in [item.type for item in first.output]
        if replayed:
            items = [item.model_dump(exclude_none=True) for item in first.output]
            second = asked(gateway, [user, *items, OUTPUT])
        else:
            second = asked(gateway, [OUTPUT], previous_response_id=first.id)
        assert second.output_text == "done"
        _, said, result = wire.work()[-1].body["messages"]
    assert said == {"role": "assistant", "content": None, "tool_calls": [SIGNED], **message}
    assert result == {"role": "tool", "tool_call_id": "a", "content": "3"}


def test_words_between_a_call_and_its_output_are_of_one_message(serving: Serving) -> None:
    items: Any = [
        {"role": "user", "content": "Go."},
        {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "One moment."}]},
        OUTPUT,
    ]
    with Wire() as wire, serving(wire.agent("only")) as gateway:
        asked(gateway, items)
        messages = wire.work()[-1].body["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert messages[1]["content"] == "One moment."
    assert messages[1]["tool_calls"][0]["id"] == "a"


def test_images_that_tools_gave_follow_all_results(serving: Serving) -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    calls = [{"type": "function_call", "call_id": name, "name": "look", "arguments": "{}"} for name in "ab"]
    items: Any = [
        *calls,
        OUTPUT | {"output": [{"type": "input_text", "text": "here"}, image]},
        OUTPUT | {"call_id": "b"},
        {"role": "user", "content": "Go on."},
    ]
    with Wire() as wire, serving(wire.agent("only")) as gateway:
        asked(gateway, items)
        messages = wire.work()[-1].body["messages"]
    assert [message["role"] for message in messages] == ["assistant", "tool", "tool", "user", "user"]
    assert messages[1]["content"] == "here"
    assert messages[3]["content"] == [
        {"type": "text", "text": "What the tool call a returned:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]


TOOLS: Any = [
    LOOK,
    {"type": "web_search"},
    {
        "type": "custom",
        "name": "patch",
        "description": "Patch.",
        "format": {"type": "grammar", "definition": "start: A"},
    },
    {"type": "namespace", "name": "agents", "tools": [LOOK | {"name": "spawn"}]},
]


@pytest.mark.parametrize("stream", [False, True])
def test_custom_tools_and_namespaces_there_and_back(serving: Serving, stream: bool) -> None:
    patch = {"name": "patch", "arguments": json.dumps({"input": "*** Begin"})}
    spawn = {"name": "agents__spawn", "arguments": "{}"}
    calls = [{"id": "a", "type": "function", "function": patch}, {"id": "b", "type": "function", "function": spawn}]
    with Wire(only=calling(*calls)) as wire, serving(wire.agent("only")) as gateway:
        if stream:
            events = list(asked(gateway, "Go.", tools=TOOLS, stream=True))
            deltas = [event.delta for event in events if event.type == "response.custom_tool_call_input.delta"]
            assert deltas == ["*** Begin"]
            first = events[-1].response
        else:
            first = asked(gateway, "Go.", tools=TOOLS)
        custom, spawned = first.output
        assert (custom.type, custom.name, custom.input) == ("custom_tool_call", "patch", "*** Begin")
        assert (spawned.type, spawned.name, spawned.namespace) == ("function_call", "spawn", "agents")
        functions = [tool["function"] for tool in wire.work()[-1].body["tools"]]
        assert [function["name"] for function in functions] == ["look", "patch", "agents__spawn"]
        assert functions[1]["description"] == "Patch.\n\nstart: A"
        items = [item.model_dump(exclude_none=True) for item in first.output]
        outputs: Any = [
            {"type": "custom_tool_call_output", "call_id": "a", "output": "ok"},
            {"type": "function_call_output", "call_id": "b", "output": "ok"},
        ]
        asked(gateway, [{"role": "user", "content": "Go."}, *items, *outputs], tools=TOOLS)
        sent = wire.work()[-1].body["messages"][1]["tool_calls"]
    assert [call["function"]["name"] for call in sent] == ["patch", "agents__spawn"]
    assert json.loads(sent[0]["function"]["arguments"]) == {"input": "*** Begin"}


def test_tools_of_a_provider_are_done_without_and_said_to_be_lost(serving: Serving) -> None:
    with Wire() as wire, serving(wire.agent("only")) as gateway, client(gateway) as ask:
        raw = ask.responses.with_raw_response.create(model="only", input="Go.", tools=TOOLS)
    assert raw.headers["x-sale-lost"] == "tools.web_search"


def test_a_limit_reaches_who_knows_only_its_other_name(serving: Serving) -> None:
    async def strict(request: Request, out: Out) -> None:
        if "max_tokens" in request.body:
            await out.body({"error": {"message": "not known", "param": "max_tokens"}}, 400)
        else:
            await out.body(whole())

    with Wire(only=strict) as wire, serving(wire.agent("only")) as gateway:
        assert asked(gateway, "Hi.", max_output_tokens=50).output_text == "fine"
        assert wire.work()[-1].body["max_completion_tokens"] == 50


@pytest.mark.parametrize("kind", [["function"], {"type": "function"}, 5, True, None])
def test_a_type_that_is_not_a_text_is_the_clients_mistake(serving: Serving, kind: Any) -> None:
    typed = {"type": kind, "role": "user", "name": "look", "text": "Hi."}
    places: list[Json] = [
        {"tools": [typed]},
        {"tools": [LOOK], "tool_choice": typed},
        {"tools": [{"type": "namespace", "name": "n", "tools": [typed]}]},
        {"input": [typed]},
        {"input": [{"role": "user", "content": [typed]}]},
        {"input": [{"type": "function_call_output", "call_id": "a", "output": [typed]}]},
    ]
    with Wire() as wire, serving(wire.agent("only")) as gateway:
        for place in places:
            found = httpx2.post(f"{gateway.url}/responses", json={"model": "only", "input": "Hi."} | place)
            assert found.status_code == 400, (place, found.text)
            assert found.json()["error"]["param"]
        assert not wire.work()


@pytest.mark.parametrize("finish", [["stop"], {"reason": "stop"}, 5])
@pytest.mark.parametrize("stream", [False, True])
def test_an_end_of_an_unknown_kind_is_an_end(serving: Serving, finish: Any, stream: bool) -> None:
    async def odd(request: Request, out: Out) -> None:
        if request.body.get("stream"):
            await out.events(chunk({"content": "fine"}), chunk({}, finish))
        else:
            value = whole()
            value["choices"][0]["finish_reason"] = finish
            await out.body(value)

    with Wire(only=odd) as wire, serving(wire.agent("only")) as gateway:
        found = asked(gateway, "Hi.", stream=stream)
        assert (found[-1].response if stream else found).status == "completed"


def test_words_beside_a_call_are_joined_once() -> None:
    """Each piece would be joined to all before it: ten thousand to ten megabytes."""
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
    said = [{"role": "assistant", "content": text} for text in ("x" * 10_000_000, *("y" * 10_000))]
    (message,) = messages_of([call, *said])
    assert message["content"] == "x" * 10_000_000 + "y" * 10_000
    assert [one["id"] for one in message["tool_calls"]] == ["a"]
