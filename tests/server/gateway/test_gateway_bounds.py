"""What is as deep, as large or as odd as JSON and HTTP let it be, from a client or from an endpoint."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from sale import config
from sale.server.gateway.piece_limit import MAX_PIECES
from sale.server.gateway.reasoning import Reasoning
from tests.server.gateway.conftest import Gateway, Serving
from tests.server.gateway.test_gateway_money import ask, new_key
from tests.support.hang import HANG
from tests.support.wire import Out, Play, Request, Wire, chunk, usage, whole

HI: Any = {"role": "user", "content": "Hi"}
DEPTHS = (255, 600, 1000)
"""Levels that the parser reads and the writer does not write."""


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def with_depth(value: Any, depth: int) -> bytes:
    """A value with something deep in the place of the word `DEEP`."""
    return json.dumps(value).encode().replace(b'"DEEP"', nested(depth))


def says(raw: bytes, status: int = 200) -> Play:
    async def play(request: Request, out: Out) -> None:
        await out.body(raw, status)

    return play


def streams(*events: bytes) -> Play:
    async def play(request: Request, out: Out) -> None:
        await out.events(*(b"data: " + event + b"\n\n" for event in events))

    return play


PLAYS: dict[str, Play] = {
    "deep-chunk": streams(
        json.dumps(chunk({"content": "fine"})).encode(),
        with_depth({**chunk({}, "stop"), "usage": usage(5, 5), "more": "DEEP"}, 600),
    ),
    "deep-mended": streams(with_depth({**chunk({"content": "\ud83d"}, "stop"), "more": "DEEP"}, 600)),
    "deep-whole": says(with_depth(whole("\ud83d", more="DEEP"), 900)),
    "deeper-whole": says(with_depth(whole("\ud83d", more="DEEP"), 5000)),
    "deep-plain": says(with_depth(whole("fine", more="DEEP"), 600)),
    "odd-index": streams(
        json.dumps({**chunk(), "choices": [{"index": [1], "delta": {"content": "\ud83d"}}]}).encode(),
        json.dumps(chunk({}, "stop")).encode(),
    ),
    "deep-error": says(b'{"error":' * 900 + b'"no"' + b"}" * 900),
    "deep-reason": says(b'{"message":' * 900 + b'"no"' + b"}" * 900, 500),
    "deep-part": streams(
        json.dumps(chunk({"content": "fine"})).encode(),
        with_depth(chunk({"content": "DEEP"}), 900),
        json.dumps(chunk({}, "stop")).encode(),
    ),
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("odd")
    with Wire(**PLAYS) as wire:  # pyright: ignore[reportArgumentType]
        agents = [wire.agent(name) for name in (*PLAYS, "well")]
        found = config.Settings.model_validate({"agents": agents, "memory": {"path": folder / "memory.sqlite3"}})
        with Gateway(found, folder / "server.sqlite3") as running:
            new_key(running)
            yield running


def post(gateway: Gateway, path: str, body: bytes, key: str) -> Any:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return httpx2.post(f"{gateway.url}{path}", content=body, headers=headers, timeout=60)


class TestDepth:
    """What the gateway could read and not write again is said at once: 400 to a client, 502 of an endpoint."""

    @pytest.mark.parametrize("depth", DEPTHS)
    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "more": "DEEP"}),
            ("/chat/completions", {"messages": [{"role": "user", "content": ["DEEP"]}]}),
            ("/chat/completions", {"messages": [{"role": "user", "content": [{"type": "x", "x": "DEEP"}]}]}),
            ("/responses", {"input": "Hi", "metadata": "DEEP"}),
            ("/responses", {"input": "Hi", "tools": [{"type": "function", "name": "x", "parameters": "DEEP"}]}),
            ("/embeddings", {"input": "Hi", "more": "DEEP"}),
        ],
    )
    def test_of_a_request(
        self, odd: Gateway, caplog: pytest.LogCaptureFixture, path: str, body: dict[str, Any], depth: int
    ) -> None:
        with caplog.at_level(logging.WARNING):
            answer = post(odd, path, with_depth({"model": "well", **body}, depth), new_key(odd))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json"), answer.text
        assert not [record for record in caplog.records if record.exc_info], caplog.text

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("path", ["/chat/completions", "/responses"])
    @pytest.mark.parametrize("name", PLAYS)
    def test_of_an_answer(
        self, odd: Gateway, caplog: pytest.LogCaptureFixture, name: str, path: str, stream: bool
    ) -> None:
        if name.endswith(("chunk", "mended", "index")) and not stream:
            return  # these are streams
        said = {"input": "Hi"} if path == "/responses" else {"messages": [{"role": "user", "content": "Hi"}]}
        with caplog.at_level(logging.WARNING):
            answer = post(odd, path, json.dumps({"model": name, "stream": stream, **said}).encode(), new_key(odd))
        assert answer.status_code in {200, 502}, answer.text
        assert "internal_error" not in answer.text
        if answer.status_code == 200 and stream:
            assert answer.text.rstrip().endswith("}") or "[DONE]" in answer.text, answer.text
        assert not [record for record in caplog.records if record.exc_info], caplog.text


class TestNumbers:
    """A number that no database holds does no harm: not while the request is under way, and not after."""

    @pytest.mark.parametrize("most", [2**63 - 1, 2**64 - 1])
    def test_of_tokens(self, serving: Serving, caplog: pytest.LogCaptureFixture, most: int) -> None:
        come, go = threading.Event(), threading.Event()

        async def waits(request: Request, out: Out) -> None:
            come.set()
            await asyncio.to_thread(go.wait, HANG)
            await out.body(whole())

        with Wire(waits=waits) as wire, serving(wire.agent("waits")) as gateway, caplog.at_level(logging.WARNING):
            assert gateway.store is not None
            key = new_key(gateway, tpm=1000)
            with ThreadPoolExecutor() as pool:
                answer = pool.submit(ask, gateway, "waits", key, max_tokens=most, n=128)
                try:
                    assert come.wait(HANG)
                    gateway.do(gateway.store._exchange_rates())  # pyright: ignore[reportPrivateUsage]
                finally:
                    go.set()
                assert answer.result(HANG).status_code == 200
            gateway.lines()
        assert not [record for record in caplog.records if record.exc_info], caplog.text


class TestSentences:
    """What is wrong is said so that it can be mended."""

    @pytest.mark.parametrize(
        ("path", "body", "param", "sentence"),
        [
            ("/chat/completions", {"messages": [HI], "max_tokens": 10**30}, "max_tokens", "from 1 to 2^64 - 1"),
            ("/chat/completions", {"messages": [HI], "max_tokens": 0}, "max_tokens", "from 1 to 2^64 - 1"),
            ("/responses", {"input": "Hi", "max_output_tokens": 2**64}, "max_output_tokens", "from 1 to 2^64 - 1"),
            ("/responses", {}, "input", "input must be a text, or a list of items"),
            ("/responses", {"input": 7}, "input", "input must be a text, or a list of items"),
            ("/feedback", {"session_id": "x", "verdict": "success", "score": 1}, "score", "send one of them, not both"),
            ("/feedback", {"session_id": "x"}, "score", "a verdict, or a score from 0 to 1, is needed"),
        ],
    )
    def test_of_a_field(self, odd: Gateway, path: str, body: dict[str, Any], param: str, sentence: str) -> None:
        told = post(odd, path, json.dumps({"model": "well", **body}).encode(), new_key(odd))
        assert told.status_code == 400, told.text
        assert told.json()["error"]["param"] == param
        assert sentence in told.json()["error"]["message"]


class TestCodings:
    """Bodies are plain: what a compressed one would unfold to has no bound."""

    @pytest.mark.parametrize("path", ["/chat/completions", "/responses", "/messages", "/embeddings", "/feedback"])
    def test_a_compressed_body_is_refused_as_such(self, odd: Gateway, path: str) -> None:
        headers = {"authorization": f"Bearer {new_key(odd)}", "content-encoding": "gzip"}
        told = httpx2.post(f"{odd.url}{path}", content=gzip.compress(b"{}"), headers=headers, timeout=HANG)
        assert told.status_code == 415, told.text
        assert "compressed bodies are not taken" in told.json()["error"]["message"]

    def test_identity_is_no_compression(self, odd: Gateway) -> None:
        said = json.dumps({"model": "well", "messages": [HI]}).encode()
        headers = {"authorization": f"Bearer {new_key(odd)}", "content-encoding": "Identity"}
        assert (
            httpx2.post(f"{odd.url}/chat/completions", content=said, headers=headers, timeout=HANG).status_code == 200
        )


class TestResponses:
    """What is kept for `previous_response_id` has its limits, for one conversation and for all."""

    def test_a_request_is_no_larger_with_what_it_goes_on_with(self, serving: Serving) -> None:
        with Wire() as wire, serving(wire.agent("only"), server={"body_mb": 1}) as gateway:
            half = {"model": "only", "input": "x" * 600_000}
            first = ask(gateway, path="/responses", **half)
            assert first.status_code == 200
            more = ask(gateway, path="/responses", **half, previous_response_id=first.json()["id"])
            assert (more.status_code, more.json()["error"]["code"]) == (413, "request_too_large")
            less = {"model": "only", "input": "x" * 300_000}
            assert ask(gateway, path="/responses", **less, previous_response_id=first.json()["id"]).status_code == 200
            assert len(wire.work()) == 2


class TestTranslations:
    """A request as it is sent on is no larger than a request may be, and what makes it larger has bounds of its own."""

    def test_the_name_of_a_namespace_is_short(self, odd: Gateway) -> None:
        tools = [{"type": "function", "name": f"f{place}"} for place in range(400)]

        def named(length: int) -> Any:
            space = {"type": "namespace", "name": "n" * length, "tools": tools}
            body = {"model": "well", "input": "Hi", "tools": [space]}
            return post(odd, "/responses", json.dumps(body).encode(), new_key(odd))

        assert named(128).status_code == 200
        refused = named(200_000)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_value"), refused.text

    def test_fields_of_a_call_are_given_to_one_call(self, serving: Serving) -> None:
        state = Reasoning(calls={"t": {"extra": "A" * 10_000}}).take(text=True)
        uses = [{"type": "tool_use", "id": "t", "name": "f", "input": {}}] * 50
        said = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [{"type": "redacted_thinking", "data": state}, *uses]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]},
        ]
        body = json.dumps({"model": "only", "max_tokens": 9, "messages": said}).encode()
        with Wire() as wire, serving(wire.agent("only")) as gateway:
            assert post(gateway, "/messages", body, new_key(gateway)).status_code == 200
            (sent,) = wire.work()
        calls = sent.body["messages"][1]["tool_calls"]
        assert [("extra" in call) for call in calls] == [True] + [False] * 49

    @pytest.mark.parametrize("path", ["/messages", "/messages/count_tokens", "/responses"])
    def test_a_translation_is_no_larger_than_a_request(self, serving: Serving, path: str) -> None:
        state = Reasoning(names=["reasoning", "reasoning_content"], text="x" * 600_000).take(text=True)
        if path == "/responses":
            thought: Any = {"type": "reasoning", "summary": [], "encrypted_content": state}
            body: Any = {"input": [thought, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]}
        else:
            blocks = [{"type": "redacted_thinking", "data": state}, {"type": "text", "text": "a"}]
            said = [{"role": "assistant", "content": blocks}, {"role": "user", "content": "b"}]
            body = {"max_tokens": 9, "messages": said} if path == "/messages" else {"messages": said}
        with Wire() as wire, serving(wire.agent("only"), server={"body_mb": 1}) as gateway:
            refused = post(gateway, path, json.dumps({"model": "only", **body}).encode(), new_key(gateway))
            assert refused.status_code == 413, refused.text
            assert "as a chat completion" in refused.text
            assert not wire.work()


TEXT: Any = {"type": "text", "text": "x"}
MANY = MAX_PIECES + 1


class TestPieces:
    """A request has a limited number of messages, parts and tools, however few bytes they have."""

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/chat/completions", {"messages": [HI] * MANY}),
            ("/chat/completions", {"messages": [{"role": "user", "content": [TEXT] * MANY}]}),
            ("/chat/completions", {"messages": [{"role": "user", "content": [TEXT] * 99}] * (MANY // 99)}),
            ("/chat/completions", {"messages": [HI], "tools": [{}] * MANY}),
            ("/chat/completions", {"messages": [HI], **{f"f{place}": 1 for place in range(MANY)}}),
            ("/messages", {"messages": [HI] * MANY, "max_tokens": 9}),
            ("/messages", {"messages": [1] * MANY, "max_tokens": 9}),
            ("/messages", {"messages": [HI], "stop_sequences": [1] * MANY, "max_tokens": 9}),
            ("/messages/count_tokens", {"messages": [HI], "system": [TEXT] * MANY}),
            (
                "/messages",
                {
                    "max_tokens": 9,
                    "messages": [
                        {
                            "role": "user",
                            "content": [{"type": "tool_result", "tool_use_id": "a", "content": [TEXT] * MANY}],
                        }
                    ],
                },
            ),
            ("/responses", {"input": [HI] * MANY}),
            ("/responses", {"input": [{"type": "function_call_output", "call_id": "a", "output": [TEXT] * MANY}]}),
            ("/responses", {"input": "Hi", "tools": [{"type": "namespace", "name": "n", "tools": [{}] * MANY}]}),
        ],
    )
    def test_too_many(self, odd: Gateway, path: str, body: dict[str, Any]) -> None:
        refused = post(odd, path, json.dumps({"model": "well", **body}).encode(), new_key(odd))
        assert refused.status_code == 413, refused.text
        assert "more than 20,000 messages" in refused.text

    @pytest.mark.parametrize("path", ["/chat/completions", "/messages", "/responses"])
    def test_what_a_long_conversation_has_is_taken(self, odd: Gateway, path: str) -> None:
        said = [HI, {"role": "assistant", "content": "x"}] * (MAX_PIECES // 3) + [HI]
        body: dict[str, Any] = {"input": said} if path == "/responses" else {"messages": said, "max_tokens": 9}
        taken = post(odd, path, json.dumps({"model": "well", **body}).encode(), new_key(odd))
        assert taken.status_code == 200, taken.text

    def test_with_what_it_goes_on_with(self, odd: Gateway) -> None:
        body: dict[str, Any] = {"model": "well", "input": [HI] * (MAX_PIECES // 3)}
        key = new_key(odd)
        for status in (200, 200, 413):
            told = post(odd, "/responses", json.dumps(body).encode(), key)
            assert told.status_code == status, told.text
            body["previous_response_id"] = told.json().get("id")
        assert told.json()["error"]["param"] == "previous_response_id"


def raw(gateway: Gateway, line: str, *heads: str) -> bytes:
    """The answer to a head as it is."""
    said = b""
    with socket.create_connection(("127.0.0.1", int(gateway.base.rpartition(":")[2])), timeout=HANG) as found:
        found.sendall("\r\n".join([line, *heads, "connection: close", "", ""]).encode("latin-1"))
        while data := found.recv(65536):
            said += data
    return said


class TestHosts:
    """A `Host` or an `Origin` that is no address is not read as one."""

    @pytest.mark.parametrize("host", ["[", "[::1", "]", "a[b", "[x]", "\xe9", "", "x:99999999", "x:y"])
    @pytest.mark.parametrize(
        "line",
        [
            "GET /nothing HTTP/1.1",
            "PUT /v1/models HTTP/1.1",
            "POST /v1/chat/completions/ HTTP/1.1",
            "GET /v1/models HTTP/1.1",
        ],
    )
    def test_of_the_gateway(self, odd: Gateway, caplog: pytest.LogCaptureFixture, line: str, host: str) -> None:
        with caplog.at_level(logging.WARNING):
            said = raw(odd, line, f"host: {host}")
        assert int(said.split()[1]) < 500, said
        assert not [record for record in caplog.records if record.exc_info], caplog.text
