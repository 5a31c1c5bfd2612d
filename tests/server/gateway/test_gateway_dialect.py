"""What the gateway writes into a translated request and an endpoint refuses: sent again without it, and remembered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from sale.models.address import Address
from sale.server.gateway.dialect import Dialects
from tests.server.gateway.conftest import Gateway, Serving
from tests.support.replies import Json
from tests.support.wire import Out, Play, Request, Wire, whole

TOOL = {"name": "f", "description": "F.", "input_schema": {"type": "object"}}
MARKED = [{"type": "text", "text": "Hi.", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "Ho."}]


def refusing(holds: Callable[[Json], bool], complaint: str, param: str | None = None) -> Play:
    """An endpoint that refuses bodies of which something holds."""

    async def play(request: Request, out: Out) -> None:
        if holds(request.body):
            await out.body({"error": {"message": complaint, "type": "invalid_request_error", "param": param}}, 400)
        elif request.body.get("stream"):
            choice = {"index": 0, "delta": {"content": "fine"}, "finish_reason": "stop"}
            await out.events({"id": "x", "choices": [choice]})
        else:
            await out.body(whole())

    return play


def posted(gateway: Gateway, path: str = "/v1/messages", **body: Any) -> Any:
    given = {"model": "only", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi."}]} | body
    with httpx2.Client(base_url=gateway.base) as http:
        return http.post(path, json=given)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("field", "complaint", "given"),
    [
        ("reasoning_effort", "Unsupported parameter: 'reasoning_effort'", {"output_config": {"effort": "low"}}),
        ("top_k", "body.top_k: Extra inputs are not permitted", {"top_k": 5}),
        (
            "parallel_tool_calls",
            "Unrecognized request argument supplied: parallel_tool_calls",
            {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
    ],
)
def test_a_field_that_is_refused_is_left_out_from_then_on(
    serving: Serving, field: str, complaint: str, given: Json, stream: bool
) -> None:
    with (
        Wire(only=refusing(lambda body: field in body, complaint)) as wire,
        serving(wire.agent("only")) as gateway,
    ):
        for count in (2, 3):
            answer = posted(gateway, stream=stream, **given)
            assert answer.status_code == 200
            assert "fine" in answer.text
            assert answer.headers["x-sale-lost"] == field
            assert len(wire.work()) == count, "the refusal was not remembered"
        assert [line.status for line in gateway.lines()] == [200, 200]


def test_a_limit_has_another_name_elsewhere(serving: Serving) -> None:
    play = refusing(lambda body: "max_tokens" in body, "Unsupported parameter", param="max_tokens")
    with Wire(only=play) as wire, serving(wire.agent("only")) as gateway:
        answer = posted(gateway)
        assert answer.status_code == 200
        assert "x-sale-lost" not in answer.headers, "nothing was lost"
        assert wire.work()[-1].body["max_completion_tokens"] == 9


def test_content_is_one_text_for_who_takes_no_lists(serving: Serving) -> None:
    def has_list(body: Json) -> bool:
        return any(isinstance(message["content"], list) for message in body["messages"])

    play = refusing(has_list, "messages[0]: invalid type: sequence, expected a string")
    with Wire(only=play) as wire, serving(wire.agent("only")) as gateway:
        answer = posted(gateway, system=MARKED, messages=[{"role": "user", "content": MARKED}])
        assert answer.status_code == 200
        assert answer.headers["x-sale-lost"] == "cache_control"
        assert [message["content"] for message in wire.work()[-1].body["messages"]] == ["Hi.\n\nHo."] * 2


def test_marks_are_taken_out_of_tools_and_images_too(serving: Serving) -> None:
    play = refusing(lambda body: "cache_control" in str(body), "cache_control: Extra inputs are not permitted")
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    with Wire(only=play) as wire, serving(wire.agent("only")) as gateway:
        mark = {"cache_control": {"type": "ephemeral"}}
        answer = posted(gateway, messages=[{"role": "user", "content": [image | mark]}], tools=[TOOL | mark])
        assert answer.status_code == 200
        (message,) = wire.work()[-1].body["messages"]
        assert message["content"] == [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]


def test_a_fifth_mark_costs_nobody_else_the_cache(serving: Serving) -> None:
    play = refusing(
        lambda body: str(body).count("cache_control") > 4,
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    )

    def marked(count: int) -> Any:
        part = {"type": "text", "text": "Hi.", "cache_control": {"type": "ephemeral"}}
        return posted(gateway, messages=[{"role": "user", "content": [part] * count}])

    with Wire(only=play) as wire, serving(wire.agent("only")) as gateway:
        assert "x-sale-lost" not in marked(4).headers
        assert marked(5).headers["x-sale-lost"] == "cache_control"
        assert "x-sale-lost" not in marked(4).headers
        assert str(wire.work()[-1].body).count("cache_control") == 4


def test_a_refused_field_is_tried_again_after_an_hour() -> None:
    now = 0.0
    known = Dialects(clock=lambda: now)
    place = Address(base_url="http://127.0.0.1/v1", model="m")
    known.learn(place, {"top_k"}, frozenset({"max_tokens"}))
    now = 3599.0
    assert known.refused_by(place) == {"top_k"}
    now = 3600.0
    assert known.refused_by(place) == frozenset()
    known.learn(place, {"top_k", "max_tokens"}, frozenset())
    assert known.refused_by(place) == {"top_k"}, "it took the other one before"


def test_what_is_refused_either_way_is_told_and_not_remembered(serving: Serving) -> None:
    play = refusing(lambda _: True, "max_tokens is too large: 9")
    with Wire(only=play) as wire, serving(wire.agent("only")) as gateway:
        for count in (2, 4):
            answer = posted(gateway)
            assert answer.status_code == 400
            assert answer.json()["error"]["message"] == "max_tokens is too large: 9"
            assert len(wire.work()) == count


def test_a_refusal_of_anything_else_is_told_at_once(serving: Serving) -> None:
    with Wire(only=refusing(lambda _: True, "no")) as wire, serving(wire.agent("only")) as gateway:
        assert posted(gateway, output_config={"effort": "low"}, top_k=5).status_code == 400
        assert len(wire.work()) == 1


def test_what_a_chat_client_wrote_itself_is_never_changed(serving: Serving) -> None:
    play = refusing(lambda body: "max_tokens" in body, "Unsupported parameter", param="max_tokens")
    with Wire(only=play) as wire, serving(wire.agent("only")) as gateway:
        answer = posted(gateway, "/v1/chat/completions")
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "max_tokens"
        assert len(wire.work()) == 1


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
@pytest.mark.parametrize("others", [{}, {"ticket": "7"}])
def test_the_name_of_a_session_is_not_the_endpoints_business(serving: Serving, path: str, others: Json) -> None:
    play = refusing(lambda body: "sale_session" in str(body), "metadata is allowed only with store")
    with Wire(only=play) as wire, serving(wire.agent("only")) as gateway:
        answer = posted(gateway, path, input="Hi.", metadata={"sale_session": "mine"} | others)
        assert answer.status_code == 200
        if path != "/v1/messages":
            assert wire.work()[0].body.get("metadata", {}) == others
