"""Anthropic's Messages API, with the real `anthropic` package."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import Anthropic, AsyncAnthropic

from tests.server.gateway.conftest import Gateway, Opening
from tests.support.endpoint import Endpoint
from tests.support.replies import ANSWER, THOUGHTS, Ask, Json

TOOL: Any = {
    "name": "add",
    "description": "Add.",
    "input_schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
}
HI: Any = [{"role": "user", "content": "What is 6 × 7?"}]
MARK: Any = {"type": "ephemeral"}
PNG = base64.b64encode(b"\x89PNG not really").decode()


def client(gateway: Gateway, **options: Any) -> Anthropic:
    given: Any = {"api_key": "any"} | options
    return Anthropic(base_url=gateway.base, max_retries=0, **given)


def ask(client: Anthropic, model: str = "only", **given: Any) -> Any:
    asked: Any = {"model": model, "max_tokens": 200, "messages": HI} | given
    return client.messages.with_raw_response.create(**asked)


def answer(client: Anthropic, model: str = "only", **given: Any) -> Any:
    return ask(client, model, **given).parse()


@pytest.fixture
def gateway_of_one(opening: Opening) -> Iterator[Gateway]:
    with opening(only="good") as gateway:
        yield gateway


def sent(endpoint: Endpoint) -> Json:
    """The last request for work as the endpoint got it."""
    return endpoint.requests()[-1].body


def test_a_whole_message(gateway_of_one: Gateway, endpoint: Endpoint) -> None:
    with client(gateway_of_one) as claude:
        raw = ask(claude, system="Be brief.", stop_sequences=["END"], extra_body={"temperature": 0.5, "top_p": 0.9})
    found = raw.parse()
    assert found.content[0].text == ANSWER
    assert (found.role, found.type, found.model) == ("assistant", "message", "only")
    assert (found.stop_reason, found.stop_sequence) == ("end_turn", None)
    assert found.usage.output_tokens > 0
    assert found.id.startswith("msg_")
    assert found._request_id.startswith("req_")
    assert raw.headers["x-sale-agent"] == "only"
    assert "x-sale-lost" not in raw.headers
    assert sent(endpoint) == {
        "model": "good@only",
        "messages": [{"role": "system", "content": "Be brief."}, *HI],
        "max_tokens": 200,
        "stop": ["END"],
        "temperature": 0.5,
        "top_p": 0.9,
    }


async def test_an_awaited_message_and_stream(gateway_of_one: Gateway) -> None:
    async with AsyncAnthropic(base_url=gateway_of_one.base, api_key="any", max_retries=0) as claude:
        found = await claude.messages.create(model="only", max_tokens=200, messages=HI)
        assert found.content[0].type == "text"
        assert found.content[0].text == ANSWER
        async with claude.messages.stream(model="only", max_tokens=200, messages=HI) as stream:
            assert "".join([text async for text in stream.text_stream]) == ANSWER


def test_a_stream_has_the_events_of_the_protocol(gateway_of_one: Gateway) -> None:
    with client(gateway_of_one) as claude:
        events = list(claude.messages.create(model="only", max_tokens=200, messages=HI, stream=True))
        whole = answer(claude)
    kinds = [event.type for event in events]
    deltas = kinds.count("content_block_delta")
    assert kinds == [
        *("message_start", "content_block_start"),
        *["content_block_delta"] * deltas,
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    assert deltas > 1
    start, end = events[0], events[-2]
    assert start.type == "message_start"
    assert (start.message.content, start.message.stop_reason) == ([], None)
    assert start.message.usage.input_tokens > 0
    assert end.type == "message_delta"
    assert end.delta.stop_reason == "end_turn"
    assert end.usage.output_tokens == whole.usage.output_tokens
    assert end.usage.input_tokens == whole.usage.input_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_their_results_read(opening: Opening, endpoint: Endpoint, stream: bool) -> None:
    with opening(only="tool-caller") as gateway, client(gateway) as claude:

        def said(messages: Any) -> Any:
            given: Any = {"model": "only", "max_tokens": 200, "messages": messages, "tools": [TOOL]}
            if not stream:
                return claude.messages.create(**given)
            with claude.messages.stream(**given) as events:
                return events.get_final_message()

        first = said(HI)
        assert first.stop_reason == "tool_use"
        (call,) = first.content
        assert (call.type, call.name, call.input) == ("tool_use", "add", {"n": 2})
        result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "5"}]}
        then = {"type": "text", "text": "Go on."}
        second = said(
            [*HI, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result, then]}]
        )
    assert second.content[0].text == f"{ANSWER} The tool said: 5"
    assert second.stop_reason == "end_turn"
    body = sent(endpoint)
    function = {"name": "add", "description": "Add.", "parameters": TOOL["input_schema"]}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call.id, "type": "function", "function": {"name": "add", "arguments": '{"n":2}'}}],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "5"},
        {"role": "user", "content": "Go on."},
    ]


@pytest.mark.parametrize(
    ("choice", "chat"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "add"}, {"tool_choice": {"type": "function", "function": {"name": "add"}}}),
        ({"type": "any", "disable_parallel_tool_use": True}, {"tool_choice": "required", "parallel_tool_calls": False}),
    ],
)
def test_choices_of_tools(gateway_of_one: Gateway, endpoint: Endpoint, choice: Any, chat: Json) -> None:
    with client(gateway_of_one) as claude:
        answer(claude, tools=[TOOL], tool_choice=choice)
    assert {name: value for name, value in sent(endpoint).items() if name in {"tool_choice", *chat}} == chat


def test_images_documents_and_failures_reach_the_endpoint(gateway_of_one: Gateway, endpoint: Endpoint) -> None:
    image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    linked: Any = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    pdf: Any = {
        "type": "document",
        "title": "a.pdf",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
    }
    text: Any = {
        "type": "document",
        "title": "Notes",
        "source": {"type": "text", "media_type": "text/plain", "data": "It is 42. \n"},
    }
    found: Any = {
        "type": "search_result",
        "source": "corpus",
        "title": "Page",
        "content": [{"type": "text", "text": "It is 43."}],
    }
    call: Any = {"type": "tool_use", "id": "c1", "name": "add", "input": {}}
    seen: Any = {
        "type": "tool_result",
        "tool_use_id": "c1",
        "is_error": True,
        "content": [{"type": "text", "text": " no "}, image],
    }
    messages: Any = [
        {"role": "user", "content": [image, linked, pdf, text, found]},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [seen]},
    ]
    with client(gateway_of_one) as claude:
        answer(claude, messages=messages, tools=[TOOL])
    first, _, result, shown = sent(endpoint)["messages"]
    url = f"data:image/png;base64,{PNG}"
    assert first["content"] == [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
        {"type": "text", "text": "Notes\n\nIt is 42. \n"},
        {"type": "text", "text": "Page\ncorpus\n\nIt is 43."},
    ]
    assert result == {"role": "tool", "tool_call_id": "c1", "content": "The tool failed.\n no "}
    assert shown == {
        "role": "user",
        "content": [
            {"type": "text", "text": "What the tool call c1 returned:"},
            {"type": "image_url", "image_url": {"url": url}},
        ],
    }


def test_reasoning_is_shown_to_whom_asks_for_it(opening: Opening) -> None:
    with opening(only="reasoning-field") as gateway, client(gateway) as claude:
        shown = answer(claude, thinking={"type": "adaptive"})
        omitted = answer(claude, thinking={"type": "adaptive", "display": "omitted"})
        hidden = answer(claude)
    assert [block.type for block in shown.content] == ["thinking", "text"]
    assert shown.content[0].thinking == THOUGHTS
    assert [block.type for block in omitted.content] == ["thinking", "text"]
    assert omitted.content[0].thinking == ""
    assert [block.type for block in hidden.content] == ["text"]


@pytest.mark.parametrize("display", ["summarized", "omitted", None])
def test_reasoning_comes_back_to_an_endpoint_in_a_tool_loop(
    opening: Opening, endpoint: Endpoint, display: str | None
) -> None:
    message = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "I must look.",
        "reasoning_details": [{"type": "reasoning.text", "text": "I must look.", "signature": "xyz", "index": 0}],
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "add", "arguments": '{"n":1}'},
                "extra_content": {"google": {"thought_signature": "abc"}},
            }
        ],
    }
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    endpoint.raw = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "choices": [choice]}).encode()
    thinking: Any = {"thinking": {"type": "adaptive", "display": display}} if display else {}
    with opening(only="raw") as gateway, client(gateway) as claude:
        first = answer(claude, tools=[TOOL], **thinking)
        result = {"type": "tool_result", "tool_use_id": "c1", "content": "3"}
        turns = [*HI, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        raw = ask(claude, messages=turns, tools=[TOOL], **thinking)
    assert sent(endpoint)["messages"][1] == message
    assert "x-sale-lost" not in raw.headers


def test_reasoning_of_others_is_lost_and_said_to_be(gateway_of_one: Gateway, endpoint: Endpoint) -> None:
    said = [{"type": "thinking", "thinking": "hm", "signature": "EqQB"}, {"type": "text", "text": "42"}]
    turns: Any = [*HI, {"role": "assistant", "content": said}, {"role": "user", "content": "And 6 × 8?"}]
    with client(gateway_of_one) as claude:
        raw = ask(claude, messages=turns)
    assert raw.headers["x-sale-lost"] == "thinking"
    assert sent(endpoint)["messages"][1] == {"role": "assistant", "content": "42"}


def test_marks_for_caches_are_kept(gateway_of_one: Gateway, endpoint: Endpoint) -> None:
    system: Any = [{"type": "text", "text": "Be brief.", "cache_control": MARK}]
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "Hi.", "cache_control": MARK}]}]
    with client(gateway_of_one) as claude:
        raw = ask(claude, system=system, messages=messages, tools=[TOOL | {"cache_control": MARK}])
    assert "x-sale-lost" not in raw.headers
    body = sent(endpoint)
    assert [message["content"] for message in body["messages"]] == [system, messages[0]["content"]]
    assert body["tools"][0]["cache_control"] == MARK


def test_the_form_and_the_effort_of_the_answer(gateway_of_one: Gateway, endpoint: Endpoint) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    config: Any = {"format": {"type": "json_schema", "schema": schema}, "effort": "low"}
    with client(gateway_of_one) as claude:
        found = answer(claude, output_config=config)
        strong = ask(claude, output_config={"effort": "max"})
    assert "x" in json.loads(found.content[0].text)
    body = endpoint.requests()[0].body
    assert body["reasoning_effort"] == "low"
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert sent(endpoint)["reasoning_effort"] == "high"
    assert strong.headers["x-sale-lost"] == "output_config.effort"


def test_tools_that_wait_to_be_found_are_shown_once_they_are(gateway_of_one: Gateway, endpoint: Endpoint) -> None:
    search, waiting = TOOL | {"name": "ToolSearch"}, TOOL | {"defer_loading": True}
    call: Any = {"type": "tool_use", "id": "c1", "name": "ToolSearch", "input": {"query": "add"}}
    result: Any = {
        "type": "tool_result",
        "tool_use_id": "c1",
        "content": [{"type": "tool_reference", "tool_name": "add"}],
    }
    turns: Any = [*HI, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    with client(gateway_of_one) as claude:
        answer(claude, tools=[search, waiting])
        answer(claude, tools=[search, waiting], messages=turns)
    before, after = (one.body for one in endpoint.requests())
    assert [tool["function"]["name"] for tool in before["tools"]] == ["ToolSearch"]
    assert [tool["function"]["name"] for tool in after["tools"]] == ["ToolSearch", "add"]
    assert after["messages"][-1]["content"] == "The tool add can be called now."


@pytest.mark.parametrize(
    ("trait", "reason"), [("truncated", "max_tokens"), ("good", "end_turn"), ("refusal", "refusal")]
)
@pytest.mark.parametrize("stream", [False, True])
def test_reasons_to_stop(opening: Opening, trait: str, reason: str, stream: bool) -> None:
    with opening(only=trait) as gateway, client(gateway) as claude:
        if stream:
            with claude.messages.stream(model="only", max_tokens=200, messages=HI) as events:
                assert events.get_final_message().stop_reason == reason
        else:
            assert answer(claude).stop_reason == reason


def test_the_stop_sequence_that_an_endpoint_names(opening: Opening, endpoint: Endpoint) -> None:
    choice = {"index": 0, "message": {"content": "one"}, "finish_reason": "stop", "stop_reason": "END"}
    endpoint.raw = json.dumps({"id": "x", "choices": [choice]}).encode()
    with opening(only="raw") as gateway, client(gateway) as claude:
        found = answer(claude, stop_sequences=["END"])
        other = answer(claude, stop_sequences=["FIN"])
    assert (found.stop_reason, found.stop_sequence) == ("stop_sequence", "END")
    assert (other.stop_reason, other.stop_sequence) == ("end_turn", None)


def test_cached_tokens_are_no_part_of_the_input(opening: Opening, endpoint: Endpoint) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    choice = {"index": 0, "message": {"content": "one"}, "finish_reason": "stop"}
    endpoint.raw = json.dumps({"id": "x", "choices": [choice], "usage": usage}).encode()
    with opening(only="raw") as gateway, client(gateway) as claude:
        found = answer(claude).usage
    assert (found.input_tokens, found.cache_read_input_tokens, found.output_tokens) == (40, 60, 9)
    assert found.output_tokens_details.thinking_tokens == 4


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages.0.content.0.source"),
        ({"messages": [{"role": "user", "content": [{"type": "server_tool_use"}]}]}, "messages.0.content.0"),
        ({"messages": [*HI, {"role": "assistant", "content": "The answer is"}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0"),
        ({"tools": [{"name": "add"}]}, "tools.0.input_schema"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"extra_body": {"mcp_servers": [{"name": "x"}]}}, "mcp_servers"),
        ({"extra_body": {"safeguards": [{"type": "dangerous_tool_use"}]}}, "safeguards"),
        ({"extra_headers": {"anthropic-version": "2023-01-01"}}, "anthropic-version"),
    ],
)
def test_what_cannot_be_had_is_refused_in_words(gateway_of_one: Gateway, given: Any, where: str) -> None:
    with client(gateway_of_one) as claude, pytest.raises(anthropic.BadRequestError) as caught:
        answer(claude, **given)
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["message"].startswith(where)
    assert body["request_id"] == caught.value.request_id


def test_fields_nobody_knows_are_said_to_be_lost(gateway_of_one: Gateway, endpoint: Endpoint) -> None:
    nothing = {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}
    betas = {"anthropic-beta": "something-2026-11-01"}
    with client(gateway_of_one) as claude:
        known = ask(claude, extra_body=nothing | {"speed": "standard"}, extra_headers=betas)
        lost = ask(claude, extra_body={"speed": "fast", "context_management": {"edits": [{"type": "clear_tool_uses"}]}})
    assert "x-sale-lost" not in known.headers
    assert lost.headers["x-sale-lost"] == "context_management, speed"
    assert "speed" not in sent(endpoint)


def test_errors_have_the_types_of_the_protocol(opening: Opening) -> None:
    with opening({"body_mb": 1}, only="good", slow="429-always", down="500-always", long="context-too-long") as gateway:
        with client(gateway) as claude:
            with pytest.raises(anthropic.NotFoundError, match="not_found_error"):
                answer(claude, "nobody")
            with pytest.raises(anthropic.RateLimitError, match="rate_limit_error") as limited:
                answer(claude, "slow")
            with pytest.raises(anthropic.InternalServerError, match="api_error"):
                answer(claude, "down")
            with pytest.raises(anthropic.BadRequestError, match="invalid_request_error"):
                answer(claude, "long")
            with pytest.raises(anthropic.APIStatusError, match="request_too_large") as large:
                answer(claude, messages=[{"role": "user", "content": "x" * 2_000_000}])
        assert limited.value.response.headers["retry-after"] == "1"
        assert limited.value.response.headers["x-sale-error"] == "upstream_rate_limited"
        assert large.value.status_code == 413
        with httpx2.Client(base_url=gateway.base) as http:
            for path, status, kind in (
                ("/v1/messages/x", 404, "not_found_error"),
                ("/v1/messages", 405, "invalid_request_error"),
            ):
                found = http.get(path)
                assert (found.status_code, found.json()["error"]["type"]) == (status, kind)
            assert "type" not in http.get("/v1/x").json(), "OpenAI's form elsewhere"


def test_a_cut_stream_never_looks_whole(opening: Opening) -> None:
    with opening(only="cut") as gateway, client(gateway) as claude:
        stream = claude.messages.create(model="only", max_tokens=200, messages=HI, stream=True)
        heard: list[str] = []
        with pytest.raises(anthropic.APIStatusError, match="broke off"):
            heard.extend(event.type for event in stream)
    assert "message_start" in heard
    assert "message_stop" not in heard
    assert "message_delta" not in heard


@pytest.mark.parametrize("header", ["x-api-key", "authorization", "api-key"])
def test_keys_in_any_header(opening: Opening, header: str) -> None:
    with opening(only="good") as gateway, httpx2.Client(base_url=gateway.base) as http:
        assert gateway.store is not None
        secret = gateway.do(gateway.store.create_key("mine"))[0]
        body = {"model": "only", "max_tokens": 9, "messages": HI}
        shown = f"Bearer {secret}" if header == "authorization" else secret
        assert http.post("/v1/messages", json=body, headers={header: shown}).status_code == 200
        for path in ("/v1/messages", "/v1/messages/count_tokens"):
            refused = http.post(path, json=body, headers={header: shown + "x"})
            assert refused.status_code == 401
            assert refused.json()["error"]["type"] == "authentication_error"


def test_tokens_are_counted_without_asking_anybody(gateway_of_one: Gateway, endpoint: Endpoint) -> None:
    with client(gateway_of_one) as claude:
        short = claude.messages.count_tokens(model="sale", messages=HI).input_tokens
        system = claude.messages.count_tokens(model="sale", messages=HI, system="x" * 4000, tools=[TOOL]).input_tokens
        with pytest.raises(anthropic.NotFoundError):
            claude.messages.count_tokens(model="nobody", messages=HI)
        with pytest.raises(anthropic.BadRequestError, match="messages"):
            claude.messages.count_tokens(model="sale", messages=[])
    assert 5 <= short <= 60
    assert 1000 <= system - short <= 1100
    assert not endpoint.requests()


def test_a_key_is_told_no_names_of_agents_it_may_not_use(gateway: Gateway) -> None:
    assert gateway.store is not None
    secret, _ = gateway.do(gateway.store.create_key("a", agents=["small"]))
    for path in ("/messages", "/messages/count_tokens", "/chat/completions"):
        body = {"model": "nobody", "max_tokens": 9, "messages": HI}
        told = httpx2.post(f"{gateway.url}{path}", json=body, headers={"x-api-key": secret})
        assert told.status_code == 404
        assert "there are: sale, small" in told.text
        assert "large" not in told.text


def test_models_in_the_protocols_own_form(gateway_of_one: Gateway) -> None:
    with client(gateway_of_one) as claude:
        assert [model.id for model in claude.models.list()] == ["sale", "only"]
        assert claude.models.retrieve("only").display_name == "only"


# Conversations


CLAUDE_CODE = "11111111-2222-4333-8444-555555555555"


def named(session: str, form: str) -> Any:
    """A session as Claude Code names it, in each of the ways it has done so."""
    if form == "header":
        return {"extra_headers": {"x-claude-code-session-id": session}}
    user = (
        json.dumps({"device_id": "d", "session_id": session})
        if form == "json"
        else f"user_ab_account__session_{session}"
    )
    return {"metadata": {"user_id": user}}


@pytest.mark.parametrize("form", ["header", "json", "text"])
def test_a_session_of_claude_code_is_one_conversation(gateway: Gateway, form: str) -> None:
    with client(gateway) as claude:
        first = ask(claude, "sale", tools=[TOOL], **named(CLAUDE_CODE, form))
        # A compacted history begins with other words.
        then = ask(
            claude,
            "sale",
            tools=[TOOL],
            messages=[{"role": "user", "content": "Summary: …"}],
            **named(CLAUDE_CODE, form),
        )
        other = ask(claude, "sale", tools=[TOOL], **named("66666666-2222-4333-8444-555555555555", form))
    assert first.headers["x-sale-session"] == CLAUDE_CODE
    assert then.headers["x-sale-auction"] == first.headers["x-sale-auction"]
    assert other.headers["x-sale-auction"] != first.headers["x-sale-auction"]


def test_sessions_of_different_keys_never_mix(gateway: Gateway) -> None:
    assert gateway.store is not None
    keys = [gateway.do(gateway.store.create_key(name))[0] for name in ("one", "two")]
    auctions: list[str] = []
    for key in keys:
        with client(gateway, api_key=key) as claude:
            auctions.append(ask(claude, "sale", tools=[TOOL], **named(CLAUDE_CODE, "json")).headers["x-sale-auction"])
    assert len(set(auctions)) == 2


def test_a_conversation_is_known_by_its_words_over_any_protocol(gateway: Gateway) -> None:
    with client(gateway) as claude:
        first = ask(claude, "sale", system="Be brief.")
        turns: Any = [
            *HI,
            {"role": "assistant", "content": first.parse().content},
            {"role": "user", "content": "And 8?"},
        ]
        second = ask(claude, "sale", messages=turns, system="Be brief.")
        whole = ask(claude, "sale", messages=turns, extra_headers={"x-sale-session": first.headers["x-sale-session"]})
    assert second.headers["x-sale-auction"] == first.headers["x-sale-auction"] == whole.headers["x-sale-auction"]


def test_what_is_no_turn_holds_no_auction(gateway: Gateway, endpoint: Endpoint) -> None:
    def bids() -> int:
        return sum(
            "You take part in a market" in Ask(body=one.body, headers={}, traits=(), turn=0).prompt
            for one in endpoint.requests()
        )

    with client(gateway) as claude:
        probe = ask(claude, "sale", max_tokens=1)
        title = ask(claude, "sale", **named(CLAUDE_CODE, "json"))
        assert bids() == 0
        assert "x-sale-auction" not in probe.headers
        assert title.headers["x-sale-agent"] == "large", "the incumbent answers before there is a session"
        turn = ask(claude, "sale", tools=[TOOL], **named(CLAUDE_CODE, "json"))
        held = bids()
        assert held > 0
        later = ask(claude, "sale", **named(CLAUDE_CODE, "json"))
        assert later.headers["x-sale-agent"] == turn.headers["x-sale-agent"]
        assert bids() == held
    lines = gateway.lines()
    assert [line.auction_id is None for line in lines] == [True, True, False, True]
    assert all(line.work_dollars > 0 for line in lines)


def test_another_agent_answers_what_is_no_turn_where_the_first_fails(opening: Opening) -> None:
    with opening(small="good", large="500-always") as gateway, client(gateway) as claude:
        found = ask(claude, "sale", max_tokens=1)
    assert found.headers["x-sale-agent"] == "small"
