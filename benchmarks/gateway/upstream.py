"""An OpenAI-compatible upstream that answers at once, as fast as one Python process can: all answers are made before.

    python -m benchmarks.gateway.upstream --port 18440

It reads as little of a request as it must. Models: `instant` answers, or streams all its frames, at once; `paced` sends
a frame every ten milliseconds. Both write a plan when asked to bid and points when asked to judge, so that a market can
hold an auction over them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

from typing_extensions import override

WORDS = 32
"""Frames of text in a stream, each a token of usage."""
PACE = 0.01
"""Seconds between the frames of `paced`."""
PLAN = "\n".join(f"{step}. Do the part numbered {step} and check what it gives." for step in range(1, 5))
ANSWER = " ".join(f"word{number}" for number in range(WORDS))
_END = b"\r\n\r\n"
_USAGE = {"prompt_tokens": 200, "completion_tokens": WORDS, "total_tokens": 200 + WORDS}


def _answer(content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _completion(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    body = {
        "id": "chatcmpl-instant",
        "object": "chat.completion",
        "created": 1_780_000_000,
        "model": "instant",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _USAGE,
    }
    return _answer("application/json", json.dumps(body).encode())


def _chunked(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _frame(choices: list[dict[str, object]], usage: Mapping[str, int] | None = None) -> bytes:
    body: dict[str, object] = {
        "id": "chatcmpl-instant",
        "object": "chat.completion.chunk",
        "created": 1_780_000_000,
        "model": "instant",
        "choices": choices,
    }
    if usage is not None:
        body["usage"] = usage
    return _chunked(b"data: " + json.dumps(body).encode() + b"\n\n")


def _frames() -> list[bytes]:
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": "a"}, None)]
    deltas += [({"content": f" word{number}"}, None) for number in range(WORDS - 1)]
    deltas.append(({}, "stop"))
    return [_frame([{"index": 0, "delta": delta, "finish_reason": finish}]) for delta, finish in deltas]


WHOLE = _completion(ANSWER)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FRAMES = _frames()
FRAME_OF_USAGE = _frame([], _USAGE)
DONE = _chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"
STREAM = HEAD + b"".join(FRAMES) + DONE
STREAM_WITH_USAGE = HEAD + b"".join(FRAMES) + FRAME_OF_USAGE + DONE
MODELS = _answer("application/json", b'{"object":"list","data":[{"id":"instant","object":"model","owned_by":"bench"}]}')


class Instant(asyncio.Protocol):
    """One connection: requests in, answers out, in order."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._pacing: asyncio.Task[None] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._pacing is not None:
            self._pacing.cancel()

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(_END)) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            whole = end + 4 + length
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            self._reply(head, body)

    def _reply(self, head: bytes, body: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if head.startswith(b"get"):
            transport.write(MODELS)
        elif b'"stream":true' in body or b'"stream": true' in body:
            usage = b'"include_usage":true' in body or b'"include_usage": true' in body
            if b'"paced"' in body:
                self._pacing = asyncio.ensure_future(_pace(transport, usage=usage))
            else:
                transport.write(STREAM_WITH_USAGE if usage else STREAM)
        elif b"json_schema" in body or b"numbered steps" in body:
            transport.write(_for_the_market(body))
        else:
            transport.write(WHOLE)


async def _pace(transport: asyncio.Transport, *, usage: bool) -> None:
    transport.write(HEAD)
    for frame in FRAMES:
        transport.write(frame)
        await asyncio.sleep(PACE)
    transport.write((FRAME_OF_USAGE if usage else b"") + DONE)


def _for_the_market(body: bytes) -> bytes:
    """A plan, or points for every plan shown."""
    asked: dict[str, Any] = json.loads(body)
    if not asked.get("response_format"):
        return _completion(f"{PLAN} ({asked['model']})")
    wanted: dict[str, object] = asked["response_format"]["json_schema"]["schema"]["properties"]
    return _completion(json.dumps(dict.fromkeys(wanted, 3)))


async def serve(port: int) -> None:
    """Answer until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Instant, "127.0.0.1", port, backlog=2048)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve on 127.0.0.1."""
    parser = argparse.ArgumentParser(description="An instant OpenAI-compatible upstream.")
    parser.add_argument("--port", type=int, default=18_440)
    port: int = parser.parse_args().port
    asyncio.run(serve(port))


if __name__ == "__main__":
    main()
