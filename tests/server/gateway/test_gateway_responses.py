"""The Responses API and embeddings, with the real `openai` package."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.server.gateway.conftest import Gateway, Opening
from tests.support.endpoint import Endpoint

TOOL: Any = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}},
    "strict": False,
}


def client(gateway: Gateway) -> OpenAI:
    return OpenAI(base_url=gateway.url, api_key="any", max_retries=0)


def test_text_in_text_out(opening: Opening, endpoint: Endpoint) -> None:
    with opening(only="good") as gateway, client(gateway) as ask:
        answer = ask.responses.create(model="only", input="What is 6 × 7?", instructions="Be brief.")
    assert answer.output_text == "The answer is 42."
    assert answer.status == "completed"
    assert answer.usage is not None
    assert answer.usage.output_tokens > 0
    assert endpoint.requests()[0].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 6 × 7?"},
    ]


def test_a_stream_of_events(opening: Opening) -> None:
    with opening(only="good") as gateway, client(gateway) as ask:
        events = list(ask.responses.create(model="only", input="What is 6 × 7?", stream=True))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "The answer is 42."
    last: Any = events[-1]
    assert last.response.output_text == "The answer is 42."
    assert last.response.usage.output_tokens > 0


def test_the_stream_helper_of_the_client(opening: Opening) -> None:
    with (
        opening(only="good") as gateway,
        client(gateway) as ask,
        ask.responses.stream(model="only", input="What is 6 × 7?") as stream,
    ):
        assert stream.until_done().get_final_response().output_text == "The answer is 42."


@pytest.mark.parametrize("stream", [False, True])
def test_tools_and_going_on_from_the_previous_response(opening: Opening, endpoint: Endpoint, stream: bool) -> None:
    with opening(only="tool-caller") as gateway, client(gateway) as ask:
        if stream:
            events: Any = list(ask.responses.create(model="only", input="Add.", tools=[TOOL], stream=True))
            first = events[-1].response
            deltas = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
            assert json.loads("".join(deltas)) == {"n": 2}
        else:
            first = ask.responses.create(model="only", input="Add.", tools=[TOOL])
        (call,) = [item for item in first.output if item.type == "function_call"]
        assert (call.name, json.loads(call.arguments)) == ("add", {"n": 2})
        output: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "5"}]
        second = ask.responses.create(model="only", input=output, tools=[TOOL], previous_response_id=first.id)
    assert second.output_text == "The answer is 42. The tool said: 5"
    sent = endpoint.requests()[-1].body
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "tool"]
    assert sent["tools"] == [
        {"type": "function", "function": {name: value for name, value in TOOL.items() if name != "type"}}
    ]


def test_a_session_goes_on_through_responses(opening: Opening) -> None:
    with opening(only="good") as gateway, client(gateway) as ask:
        first = ask.responses.with_raw_response.create(model="sale", input="What is 6 × 7?")
        second = ask.responses.with_raw_response.create(
            model="sale", input="And 6 × 8?", previous_response_id=first.parse().id
        )
        assert second.headers["x-sale-session"] == first.headers["x-sale-session"]
        assert second.headers["x-sale-auction"] == first.headers["x-sale-auction"]


def test_a_broken_stream_is_a_failed_response(opening: Opening) -> None:
    with opening(only="cut") as gateway, client(gateway) as ask:
        events: Any = list(ask.responses.create(model="only", input="Go.", stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "upstream_broken"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": 5}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, "tools"),
        ({"input": "x", "previous_response_id": "resp_gone"}, "previous_response_id"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content"),
    ],
)
def test_what_cannot_be_translated_is_said_so(opening: Opening, body: dict[str, Any], param: str) -> None:
    with opening(only="good") as gateway, client(gateway) as ask, pytest.raises(openai.APIStatusError) as caught:
        ask.post("/responses", body={"model": "only", **body}, cast_to=object)
    assert caught.value.status_code in {400, 404}
    assert caught.value.param == param


def test_embeddings_of_an_endpoint(opening: Opening, endpoint: Endpoint) -> None:
    settings = {"embeddings": {"endpoint": endpoint.base_url, "model": "good@e"}}
    with opening(settings, only="good") as gateway, client(gateway) as ask:
        found = ask.embeddings.create(model="mine", input=["a", "b"])
    assert len(found.data) == 2
    assert endpoint.requests("good@e")[0].path == "/v1/embeddings"


def test_embeddings_of_the_embedded_model(opening: Opening) -> None:
    with opening(only="good") as gateway, client(gateway) as ask:
        floats = ask.embeddings.create(model="any", input="hello", encoding_format="float").data[0].embedding
        packed = ask.embeddings.create(model="any", input=["hello"]).data[0].embedding
        with pytest.raises(openai.BadRequestError):
            ask.embeddings.create(model="any", input="")
    assert len(floats) == 384
    assert packed == pytest.approx(floats, abs=1e-6)
