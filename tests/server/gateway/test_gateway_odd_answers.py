"""What endpoints send that is not quite an answer: read as far as it can be, said, and somebody else's turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from sale import config
from sale.server.gateway.errors import ApiError
from sale.server.gateway.stream import StreamRelay, StreamUsage
from sale.server.gateway.upstream_json import UpstreamComplaint, format_reason
from tests.server.gateway.conftest import Gateway, Serving
from tests.support.replies import Json
from tests.support.wire import Out, Play, Request, Wire, chunk, usage, whole

HELLO: list[Any] = [{"role": "user", "content": "What is 6 × 7?"}]
ROLE = chunk({"role": "assistant", "content": ""})
SAID = "the model ran out of memory"
ERRORS: dict[str, Any] = {
    "openai": {"error": {"message": SAID, "type": "server_error", "code": None}},
    "text": {"error": SAID},
    "fastapi": {"detail": SAID},
    "fastapi-fault": {"detail": [{"loc": ["body", "messages"], "msg": SAID, "type": "value_error"}]},
    "vllm": {"object": "error", "message": SAID, "type": "InternalServerError", "code": 500},
    "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": SAID}},
    "message": {"message": SAID},
    "choices-too": {"error": {"message": SAID, "code": 502}, "choices": []},
    "in-choice": {"choices": [{"index": 0, "error": {"message": SAID, "code": 502}, "finish_reason": "error"}]},
    "status": {"error": {"message": SAID, "code": 400}},
    "limit": {"error": {"message": SAID, "code": 429}},
}


def ask(
    gateway: Gateway,
    model: str,
    *,
    key: str = "any",
    stream: bool = False,
    path: str = "/chat/completions",
    **more: Any,
) -> Any:
    asked = {"input": "What is 6 × 7?"} if path == "/responses" else {"messages": HELLO}
    body = {"model": model, "stream": stream, **asked, **more}
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.post(f"{gateway.url}{path}", json=body, headers=headers, timeout=60)


def streams(*events: object, done: bool = True) -> Play:
    async def play(request: Request, out: Out) -> None:
        await out.events(*events, done=done)

    return play


def says(body: object, status: int = 200) -> Play:
    async def play(request: Request, out: Out) -> None:
        await out.body(body, status)

    return play


def who(answer: Any) -> str:
    """The agent that answers; a comment says it where the auction took so long that the headers were out."""
    told = answer.headers.get("x-sale-agent")
    return str(told) if told else str(answer.text.partition(" agent=")[2].split()[0])


def text_of(answer: Any) -> str:
    """The words of a stream; every event of it must be JSON in UTF-8."""
    found: list[str] = []
    for event in answer.content.decode().split("\n\n"):
        if event.startswith("data: {"):
            for choice in json.loads(event[6:]).get("choices", []):
                found.append(choice["delta"].get("content") or "")
    return "".join(found)


EMPTY = {
    "done": streams(),
    "usage": streams({**chunk(), "choices": [], "usage": usage(9, 1)}),
    "role": streams(ROLE),
    "role-usage": streams(ROLE, {**chunk(), "choices": [], "usage": usage(9, 1)}),
    "comment": streams(b": processing\n\n"),
    "nothing": streams(done=False),
    "error-after-role": streams(ROLE, ERRORS["openai"]),
    "error-after-comment": streams(b": processing\n\n", ERRORS["fastapi"], done=False),
    "event-error": streams(ROLE, b'event: error\ndata: {"message": "' + SAID.encode() + b'"}\n\n', done=False),
    "event-error-text": streams(b"event: error\ndata: " + SAID.encode() + b"\n\n", done=False),
    "no-chunk": streams({**chunk(), "choices": ["?"]}),
    "odd-delta": streams({**chunk(), "choices": [{"index": 0, "delta": ["?"]}]}),
    "odd-calls": streams(chunk({"tool_calls": [None]})),
}


def raw(delta: bytes) -> bytes:
    """A chunk whose delta's bytes are as given."""
    head = b'data: {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": '
    return head + delta + b', "finish_reason": null}]}\n\n'


HALVES = {
    "surrogates": [rb'{"content": "a \ud83d"}', rb'{"content": "\ude00 b"}'],
    "low-range": [rb'{"content": "a \ud83d"}', rb'{"content": "\udc80 b"}'],
    "bytes": [b'{"content": "a \xf0\x9f"}', b'{"content": "\x98\x80 b"}'],
    "bytes-in-four": [
        b'{"content": "a \xf0"}',
        b'{"content": "\x9f"}',
        b'{"content": "\x98"}',
        b'{"content": "\x80 b"}',
    ],
    "both-in-one": [rb'{"content": "a \ud83d\ude00 b"}'],
}


NUMBERS = ["-Infinity", "Infinity", "NaN", "1e999", "-1e999", "9" * 400]


def numbered(number: str) -> bytes:
    """A whole answer with a number in its log-probabilities."""
    logprobs = f'{{"content": [{{"token": "x", "logprob": {number}, "top_logprobs": []}}]}}'
    choice = f'{{"index": 0, "message": {{"content": "fine"}}, "finish_reason": "stop", "logprobs": {logprobs}}}'
    return f'{{"id": "c", "choices": [{choice}]}}'.encode()


ALONE = rb'{"id": "c", "choices": [{"index": 0, "message": {"content": "a \ud83d b"}, "finish_reason": "stop"}]}'
FAULT = {"detail": [{"loc": ["body", "temperature"], "msg": "Input should be less than 2", "type": "x"}]}
BODIES = [b"[]", b"null", b'{"choices": [null]}', b'{"choices": [{"message": "x"}]}', b"\xff"]
PLAYS: dict[str, Play] = {
    **{f"empty/{name}": play for name, play in EMPTY.items()},
    **{f"error/{name}": says(error) for name, error in ERRORS.items()},
    **{f"fault/{status}": says(FAULT, status) for status in (400, 404, 422, 500, 503)},
    **{f"body/{place}": says(body) for place, body in enumerate(BODIES)},
    **{f"half/{name}": streams(*map(raw, deltas), chunk({}, "stop")) for name, deltas in HALVES.items()},
    **{f"number/{place}": says(numbered(number)) for place, number in enumerate(NUMBERS)},
    **{
        f"numbers/{place}": streams(b"data: " + numbered(number).replace(b'"message"', b'"delta"') + b"\n\n")
        for place, number in enumerate(NUMBERS)
    },
    "whole": says(whole("forty-two", usage(10, 5))),
    "alone": says(ALONE),
    "alone/stream": streams(raw(rb'{"content": "a \ud83d"}'), raw(rb'{"content": " b"}'), chunk({}, "stop")),
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway over an agent for each of the plays, and a good one; keys choose among them."""
    folder = tmp_path_factory.mktemp("odd")
    wire = Wire()
    wire.plays.update(PLAYS)
    with wire:
        agents = [*(wire.agent(name, judge=False) for name in PLAYS), wire.agent("large", price=10.0)]
        settings = {"agents": agents, "memory": {"path": folder / "memory.sqlite3"}}
        with Gateway(config.Settings.model_validate(settings), folder / "server.sqlite3") as running:
            yield running


def key_for(gateway: Gateway, *agents: str) -> str:
    assert gateway.store is not None
    return str(gateway.do(gateway.store.create_key(" ".join(agents), agents=agents))[0])


class TestBeforeTheFirstWord:
    @pytest.mark.parametrize("name", EMPTY)
    def test_the_next_best_takes_over(self, odd: Gateway, name: str) -> None:
        small = f"empty/{name}"
        key = key_for(odd, small, "large")
        answer = ask(odd, "sale", key=key, stream=True, stream_options={"include_usage": True})
        assert answer.status_code == 200
        assert who(answer) == "large"
        assert "42" in text_of(answer)
        assert answer.text.endswith("data: [DONE]\n\n")
        for path in ("/chat/completions", "/responses"):
            named = ask(odd, small, key=key, stream=True, path=path)
            assert named.status_code == 502, named.text
            assert named.json()["error"]["code"] == "upstream_broken"
            if "error" in name:
                assert SAID in named.json()["error"]["message"]

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("name", ERRORS)
    def test_an_error_under_status_200(self, odd: Gateway, name: str, stream: bool) -> None:
        small = f"error/{name}"
        key = key_for(odd, small, "large")
        answer = ask(odd, "sale", key=key, stream=stream)
        assert (answer.status_code, who(answer)) == (200, "large")
        for path in ("/chat/completions", "/responses"):
            named = ask(odd, small, key=key, stream=stream, path=path)
            assert named.status_code == {"status": 400, "limit": 429}.get(name, 502)
            assert SAID in named.json()["error"]["message"]
            assert float(named.headers["x-sale-cost"]) == 0.0

    @pytest.mark.parametrize("status", [400, 404, 422, 500, 503])
    def test_a_reason_in_fastapi_s_words(self, odd: Gateway, status: int) -> None:
        key = key_for(odd, f"fault/{status}")
        for stream in (False, True):
            answer = ask(odd, f"fault/{status}", key=key, stream=stream)
            assert answer.status_code == (status if status in {400, 422} else 502)
            assert "body.temperature: Input should be less than 2" in answer.json()["error"]["message"]

    def test_a_reason_names_no_key_and_no_address(self, serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("UPSTREAM_KEY", "very-secret-key-1")
        error = "at http://10.1.2.3:8000/v1 with very-secret-key-1 or sk-proj-abcdefgh1234 on 10.1.2.3:99"
        with Wire(small=says({"error": error}), down=says({"detail": error}, 500)) as wire:
            agents = [wire.agent(name, api_key_env="UPSTREAM_KEY") for name in ("small", "down")]
            with serving(*agents) as gateway:
                for name in ("small", "down"):
                    message = ask(gateway, name).json()["error"]["message"]
                    assert "at ‹hidden›" in message
                    for secret in ("10.1.2.3", "very-secret", "abcdefgh"):
                        assert secret not in message

    @pytest.mark.parametrize("status", [200, 500])
    def test_a_reason_that_repeats_a_long_request_is_cut(self, serving: Serving, status: int) -> None:
        """Of a text without an end the beginning is looked at: all of this one would take hours."""
        error = {"error": {"message": "a-" * (2_000_000 if status == 200 else 30_000), "code": "x-" * 500_000}}
        if status != 200:
            del error["error"]["code"]
        with Wire(small=says(error, status)) as wire, serving(wire.agent("small")) as gateway:
            message = ask(gateway, "small").json()["error"]["message"]
            assert message.endswith("a-a-")
            assert len(message) < 2_100

    def test_no_half_of_a_secret_is_at_the_end_of_what_is_looked_at(self) -> None:
        for place in range(7_970, 8_001):
            text = "a://b " * (place // 6) + "very-secret-key-1 " * 9_000
            said = format_reason(UpstreamComplaint(message=text), ["very-secret-key-1"])
            assert "very" not in said
        for told in ("x.-https://h.test", "9https://h.test", f"{'a' * 99}https://h.test", "HTTPS://h.test"):
            assert "h.test" not in format_reason(UpstreamComplaint(message=told), [])

    def test_a_whole_answer_for_a_stream_is_made_one(self, odd: Gateway) -> None:
        wanted = {"include_usage": True}
        answer = ask(odd, "whole", key=key_for(odd, "whole"), stream=True, stream_options=wanted)
        assert text_of(answer) == "forty-two"
        assert answer.text.endswith("data: [DONE]\n\n")
        assert '"completion_tokens":5' in answer.text

    @pytest.mark.parametrize("place", range(len(BODIES)))
    @pytest.mark.parametrize("path", ["/chat/completions", "/responses"])
    def test_what_is_no_answer(self, odd: Gateway, place: int, path: str) -> None:
        answer = ask(odd, f"body/{place}", key=key_for(odd, f"body/{place}"), path=path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_broken")


class TestLettersAndNumbers:
    @pytest.mark.parametrize("name", HALVES)
    def test_a_letter_in_two_chunks(self, odd: Gateway, name: str) -> None:
        wanted = "a \U0001f480 b" if name == "low-range" else "a 😀 b"
        key = key_for(odd, f"half/{name}")
        assert text_of(ask(odd, f"half/{name}", key=key, stream=True)) == wanted
        answer = ask(odd, f"half/{name}", key=key, stream=True, path="/responses")
        assert wanted in answer.content.decode()

    def test_a_half_that_stays_alone_is_a_mark(self, odd: Gateway) -> None:
        key = key_for(odd, "alone", "alone/stream")
        assert ask(odd, "alone", key=key).json()["choices"][0]["message"]["content"] == "a � b"
        assert text_of(ask(odd, "alone/stream", key=key, stream=True)) == "a � b"

    @pytest.mark.parametrize("place", range(len(NUMBERS)))
    def test_numbers_that_json_does_not_have(self, odd: Gateway, place: int) -> None:
        key = key_for(odd, f"number/{place}", f"numbers/{place}")
        answer = ask(odd, f"number/{place}", key=key)
        assert answer.status_code == 200
        (entry,) = json.loads(answer.text, parse_constant=_no)["choices"][0]["logprobs"]["content"]
        assert entry["logprob"] == (-9999.0 if NUMBERS[place] == "-Infinity" else None)
        assert text_of(ask(odd, f"numbers/{place}", key=key, stream=True)) == "fine"

    @pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
    @pytest.mark.parametrize("last", [chunk({"content": " two"}, "stop"), b"[DONE]"])
    def test_an_event_without_its_empty_line(self, last: Any, end: bytes) -> None:
        line = b"data: " + (last if isinstance(last, bytes) else json.dumps(last).encode()) + end
        relay = StreamRelay(StreamUsage(), show_usage=False)
        pieces = relay.feed(b"data: " + json.dumps(chunk({"content": "one"})).encode() + b"\n\n" + line)
        pieces += relay.close()
        sent = b"".join(piece[0] for piece in pieces)
        assert (b" two" in sent) is (last != b"[DONE]")
        assert sent.endswith(b"\n\n")

    def test_half_an_event_is_none(self) -> None:
        relay = StreamRelay(StreamUsage(), show_usage=False)
        relay.feed(b"data: " + json.dumps(chunk({"content": "one"})).encode() + b'\n\ndata: {"choi')
        with pytest.raises(ApiError, match="broke off"):
            relay.close()


def _no(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


class TestSentOnce:
    @pytest.mark.parametrize("stream", [False, True])
    def test_a_lost_connection_is_not_answered_by_asking_again(self, serving: Serving, stream: bool) -> None:
        """Also not on a connection that was used before, whose loss may have come before the request."""

        async def once(request: Request, out: Out) -> None:
            if len(wire.work("small")) > 1:
                out.reset() if stream else out.writer.close()
                return
            data = json.dumps(whole()).encode()
            await out.send(b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n" % len(data) + data)
            out.keep = True

        with Wire(small=once) as wire, serving(wire.agent("small"), wire.agent("large", price=10.0)) as gateway:
            assert ask(gateway, "small").status_code == 200
            answer = ask(gateway, "small", stream=stream)
            assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
            assert len(wire.work("small")) == 2, "one for each request"
            line = gateway.lines()[-1]
            assert line.work_dollars > 0, "the work may have been done"


@pytest.mark.parametrize("stream", [False, True])
def test_silence_has_its_limit_streamed_or_not(serving: Serving, stream: bool) -> None:
    async def silent(request: Request, out: Out) -> None:
        await asyncio.sleep(60)

    settings = {"silence_seconds": 0.3}
    with Wire(small=silent) as wire, serving(wire.agent("small"), wire.agent("large"), server=settings) as gateway:
        answer = ask(gateway, "small", stream=stream)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
        assert who(ask(gateway, "sale", stream=stream)) == "large"


def test_a_whole_answer_has_the_agent_s_time_and_no_more(serving: Serving) -> None:
    async def dripping(request: Request, out: Out) -> None:
        await out.head(200, "application/json")
        while True:
            await out.send(b" ")
            await asyncio.sleep(0.05)

    with Wire(small=dripping) as wire, serving(wire.agent("small", seconds=0.6)) as gateway:
        assert ask(gateway, "small").status_code == 504


def test_usage_is_as_reported(serving: Serving) -> None:
    taken: Json = usage(10, 5)
    events = [chunk({"content": "x"}), chunk({}, "stop"), {**chunk(), "choices": [], "usage": taken}]
    with Wire(small=streams(*events)) as wire, serving(wire.agent("small")) as gateway:
        ask(gateway, "small", stream=True)
        (line,) = gateway.lines()
        assert (line.input_tokens, line.output_tokens) == (10, 5)
