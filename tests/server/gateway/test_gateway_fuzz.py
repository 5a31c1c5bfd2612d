"""Headers and bodies of every kind: no failure of the gateway's own, no traceback, no request without an end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sale import config
from sale.market import Market
from sale.server.app import create_app
from sale.server.events import EventHub
from sale.server.gateway.state import GatewayState
from sale.server.store.store import ServerStore
from tests.server.gateway.conftest import Gateway
from tests.support.replies import Json
from tests.support.wire import Out, Request, Wire

HANG = 60.0
"""Whatever takes longer has no end."""
FEW = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
POSTS = [
    *("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/feedback"),
    *("/v1/messages", "/v1/messages/count_tokens"),
]


def _part(kind: str, rest: Json) -> Json:
    return {"type": kind, **rest}


def _message(role: object, content: object, rest: Json) -> Json:
    return {"role": role, "content": content, **rest}


def _body(model: object, said: object, given: object, rest: Json) -> Json:
    return {"model": model, "max_tokens": 9, "messages": said, "input": given, **rest}


def _cut(body: Json, at: int) -> bytes:
    return written(body)[: at or 1]


def _request(line: bytes, heads: list[bytes], tail: bytes) -> bytes:
    return line + b"\r\n" + b"\r\n".join(heads) + b"\r\n\r\n" + tail


texts = st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=20)  # half letters, too
numbers = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0, -1, 1, 128, 129])
)
leaves = st.one_of(
    st.none(), st.booleans(), numbers, texts, st.sampled_from(["", "text", "user", "auto", "\ud83d", "\0"])
)
names = st.one_of(texts, st.sampled_from(["type", "text", "role", "content", "name", "function", "url", "error"]))
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)
part_kinds = st.sampled_from(
    [
        "text",
        "input_text",
        "image",
        "image_url",
        "input_image",
        "input_audio",
        "file",
        "input_file",
        "video_url",
        "refusal",
        *("document", "search_result", "thinking", "redacted_thinking", "tool_use", "tool_result", "tool_reference"),
    ]
)
part_names = st.sampled_from(
    [
        *("text", "image_url", "source", "input_audio", "file", "file_data", "refusal", "detail", "thinking"),
        *("signature", "data", "id", "name", "input", "tool_use_id", "content", "is_error", "cache_control", "title"),
    ]
)
parts = st.builds(_part, part_kinds, st.dictionaries(part_names, anything, max_size=3))
message_names = st.sampled_from(["name", "tool_calls", "tool_call_id", "refusal", "audio", "type", "call_id", "output"])
messages = st.builds(
    _message,
    st.one_of(st.sampled_from(["user", "assistant", "system", "tool", "developer"]), anything),
    st.one_of(texts, st.lists(parts, max_size=3), anything),
    st.dictionaries(message_names, anything, max_size=2),
)
FIELDS = [
    *("stream", "stream_options", "n", "best_of", "max_tokens", "max_completion_tokens", "max_output_tokens", "tools"),
    *("tool_choice", "functions", "metadata", "prediction", "thinking", "reasoning", "text", "instructions", "store"),
    *("previous_response_id", "response_format", "temperature", "user", "encoding_format", "dimensions", "session_id"),
    *("auction_id", "response_id", "verdict", "score", "detail", "stop", "logit_bias", "service_tier", "top_logprobs"),
    *("system", "stop_sequences", "output_config", "top_k", "cache_control", "context_management"),
]
bodies = st.builds(
    _body,
    st.one_of(st.sampled_from(["only", "only", "only", "nobody"]), anything),
    st.one_of(st.lists(messages, min_size=1, max_size=3), anything),
    st.one_of(texts, st.lists(st.one_of(messages, texts, parts), max_size=3), anything),
    st.dictionaries(st.sampled_from(FIELDS), anything, max_size=4),
)
NAMES = [b"authorization", b"content-type", b"content-length", b"x-sale-session", b"traceparent", b"host", b"origin"]
headers = st.lists(
    st.tuples(st.one_of(st.sampled_from(NAMES), st.binary(max_size=10)), st.binary(max_size=40)), max_size=6
)


def written(value: object) -> bytes:
    """As a careless client writes it: `NaN`, half letters and numbers of any length."""
    return json.dumps(value, ensure_ascii=True).encode()


raw_bodies = st.one_of(
    st.binary(max_size=60),
    anything.map(written),
    st.sampled_from(
        [
            b"",
            b"[" * 100_000,
            b'{"messages":' * 5000,
            b'{"model": "only", "model": "nobody", "messages": []}',
            b'{"model": "only", "n": ' + b"9" * 10_000 + b"}",
            b'\xef\xbb\xbf{"model": "only"}',
            b'{"model": "\xff"}',
            b'{"model": "only", "messages": [{"role": "user", "content": "\\ud83d"}]}',
        ]
    ),
    st.builds(_cut, bodies, st.integers(0, 200)),
)


class Inside:
    """A gateway in this process, asked over ASGI, on an event loop of its own."""

    def __init__(self, folder: Path, wire: Wire) -> None:
        self.runner = asyncio.Runner()
        self.folder, self.wire = folder, wire

    async def opened(self) -> None:
        agents = [self.wire.agent("only")]
        server = {"embeddings": {"endpoint": self.wire.base_url, "model": "e"}}
        found = config.Settings.model_validate(
            {"agents": agents, "memory": {"path": self.folder / "memory.sqlite3"}, "server": server}
        )
        self.store = await ServerStore.open(self.folder / "server.sqlite3")
        self.state = GatewayState(Market.from_config(settings=found), self.store, EventHub(), found.server)
        self.app = create_app(self.state)
        await self.state.__aenter__()

    async def closed(self) -> None:
        await self.state.__aexit__()
        await self.store.aclose()

    async def asked(
        self, path: str, given: list[tuple[bytes, bytes]], body: bytes, method: str = "POST"
    ) -> tuple[int, bytes]:
        """The status and the body of the response."""
        pieces = [body[:1], body[1:]] if len(body) > 1 else [body]
        sent: list[Any] = []
        ended = asyncio.Event()

        async def receive() -> Any:
            if pieces:
                return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}
            await ended.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(errors="replace"),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.lower(), value) for name, value in given],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        try:
            async with asyncio.timeout(HANG):
                await self.app(scope, receive, send)
        finally:
            ended.set()
        return sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:])


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    async def embeddings(request: Request, out: Out) -> None:
        await out.body({"object": "list", "data": [], "usage": {"prompt_tokens": 1, "total_tokens": 1}})

    with Wire(e=embeddings) as wire:
        found = Inside(tmp_path, wire)
        with found.runner as runner:
            runner.run(found.opened())
            yield found
            runner.run(found.closed())


def checked(inside: Inside, caplog: pytest.LogCaptureFixture, path: str, given: Any, body: bytes) -> int:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        status, answer = inside.runner.run(inside.asked(path, given, body))
    assert status < 500, answer
    assert not [record for record in caplog.records if record.exc_info], caplog.text
    if status >= 400:
        error = orjson.loads(answer)["error"]
        own = {"message", "type"} if path.startswith("/v1/messages") else {"message", "type", "param", "code"}
        assert set(error) == own
        assert error["message"]
    return status


@pytest.mark.parametrize("path", POSTS)
class TestEverything:
    @FEW
    @given(given=headers, body=bodies)
    def test_fields_of_any_kind(
        self, inside: Inside, caplog: pytest.LogCaptureFixture, path: str, given: Any, body: Json
    ) -> None:
        checked(inside, caplog, path, given, written(body))

    @FEW
    @given(given=headers, body=raw_bodies)
    def test_bytes_of_any_kind(
        self, inside: Inside, caplog: pytest.LogCaptureFixture, path: str, given: Any, body: bytes
    ) -> None:
        checked(inside, caplog, path, given, body)


@FEW
@given(path=st.one_of(texts, st.sampled_from(["v1/models/\ud83d", "v1/models/%00", "v1/models/../../x"])))
def test_addresses_of_any_kind(inside: Inside, caplog: pytest.LogCaptureFixture, path: str) -> None:
    with caplog.at_level(logging.WARNING):
        status, _ = inside.runner.run(inside.asked(f"/{path}", [], b"", "GET"))
    assert status < 500
    assert not [record for record in caplog.records if record.exc_info], caplog.text


def test_what_the_fuzz_sends_can_be_right(inside: Inside, caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise it would prove nothing."""
    body = {"model": "only", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello."}], "input": "Hello."}
    for path in (*POSTS[:3], *POSTS[4:]):
        assert checked(inside, caplog, path, [], written(body)) == 200


LINES = [
    *(b"GET /healthz HTTP/1.1", b"POST /v1/chat/completions HTTP/1.1", b"PRI * HTTP/2.0", b"CONNECT a:1 HTTP/1.1"),
    *(b"OPTIONS * HTTP/1.1", b"GET http://[::1/ HTTP/1.1", b"GET /%ff%00 HTTP/1.1", b"POST /v1/feedback HTTP/1.0"),
]
HEADS = [
    *(b"host: 127.0.0.1", b"transfer-encoding: chunked", b"content-length: 5", b"content-length: -1"),
    *(b"transfer-encoding: gzip, chunked", b"upgrade: websocket\r\nconnection: upgrade", b"expect: 100-continue"),
    *(b"connection: close", b"content-length: 99999999999999999999", b": nameless", b"x y: z", b" folded"),
]
TAILS = [
    b"",
    b"{}",
    b'5\r\n{"a":\r\n0\r\n\r\n',
    b"zz\r\n",
    b"-1\r\n\r\n",
    b"ffffffffffffffffff\r\n",
    b"0\r\nx: y\r\n\r\n",
    b"\0" * 50,
]
wires = st.one_of(
    st.binary(min_size=1, max_size=200),
    st.builds(
        _request,
        st.sampled_from(LINES),
        st.lists(st.one_of(st.sampled_from(HEADS), st.binary(max_size=30)), max_size=5),
        st.one_of(st.sampled_from(TAILS), st.binary(max_size=60)),
    ),
)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("wires")
    with Wire() as wire:
        server = {"head_seconds": 0.2, "body_seconds": 0.2}
        found = config.Settings.model_validate(
            {"agents": [wire.agent("only")], "memory": {"path": folder / "memory.sqlite3"}, "server": server}
        )
        with Gateway(found, folder / "server.sqlite3") as running:
            yield running


@settings(FEW, max_examples=60)
@given(sent=wires)
def test_bytes_of_any_kind_over_a_socket(outside: Gateway, caplog: pytest.LogCaptureFixture, sent: bytes) -> None:
    with caplog.at_level(logging.WARNING):
        said = b""
        with (
            socket.create_connection(("127.0.0.1", int(outside.base.rpartition(":")[2])), timeout=HANG) as found,
            contextlib.suppress(ConnectionError),
        ):
            found.sendall(sent)
            found.shutdown(socket.SHUT_WR)
            while data := found.recv(65536):
                said += data
    statuses = [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]
    assert all(status < 500 for status in statuses), said
    assert not [record for record in caplog.records if record.exc_info], caplog.text
    assert httpx2.get(f"{outside.base}/healthz").status_code == 200
