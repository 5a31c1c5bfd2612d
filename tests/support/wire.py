"""An endpoint whose every byte a test writes: a function for each model, over raw sockets.

    async def half(ask, out):
        await out.events({"choices": []}, done=False)

    with Wire(half=half) as wire:
        ...  # settings with endpoint = wire.base_url, model = "half"
        assert len(wire.work("half")) == 1

Bids and ballots are answered well. A model without a function answers well, too.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.raw_server import RawServer
from tests.support.replies import Ask, Json, chunks, completion, text_for


@dataclass(kw_only=True)
class Request:
    """One request as it arrived."""

    model: str
    path: str
    headers: Mapping[str, str]
    body: Json

    @property
    def of_the_market(self) -> bool:
        """A bid or a ballot; the gateway passes work on without such headers."""
        return "x-stainless-lang" in self.headers


@dataclass(kw_only=True)
class Out:
    """The way back."""

    writer: asyncio.StreamWriter
    keep: bool = False
    """The connection is used again."""

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: int = 200, kind: str = "application/json", *lines: str) -> None:
        told = "".join(f"{line}\r\n" for line in lines)
        await self.send(f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n{told}\r\n".encode())

    async def body(self, value: object, status: int = 200) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        await self.head(status, "application/json", f"content-length: {len(data)}")
        await self.send(data)

    async def events(self, *events: object, done: bool = True, head: bool = True) -> None:
        """Each event is bytes as they are, or an object for `data:`."""
        if head:
            await self.head(200, "text/event-stream")
        for event in events:
            await self.send(event if isinstance(event, bytes) else b"data: " + json.dumps(event).encode() + b"\n\n")
        if done:
            await self.send(b"data: [DONE]\n\n")

    def reset(self) -> None:
        found: socket.socket = self.writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Play = Callable[[Request, Out], Awaitable[None]]


def chunk(delta: Json | None = None, finish: str | None = None, **more: Any) -> Json:
    """One chunk of a stream."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        **more,
    }


def usage(read: int, written: int, **more: Any) -> Json:
    """As endpoints report it."""
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written, **more}


def whole(text: str = "fine", taken: Json | None = None, **more: Any) -> Json:
    """A whole answer."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    found = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **more}
    return found if taken is None else {**found, "usage": taken}


class Wire(RawServer):
    """The server, in a thread of its own; a context manager."""

    default: Play | None = None
    """Answers everything a model has no function for, bids and ballots too."""

    def __init__(self, port: int = 0, **plays: Play) -> None:
        self.plays = plays
        self._port = port
        self._requests: list[Request] = []
        self._lock = threading.Lock()

    def work(self, model: str | None = None) -> list[Request]:
        """Requests for work so far."""
        with self._lock:
            return [one for one in self._requests if not one.of_the_market and model in (None, one.model)]

    def all(self, model: str | None = None) -> list[Request]:
        """Requests so far, the market's too."""
        with self._lock:
            return [one for one in self._requests if model in (None, one.model)]

    def agent(self, name: str, **more: Any) -> Json:
        """The table of an agent here, called like its model."""
        return {"name": name, "endpoint": self.base_url, "model": name, "price": 1.0, "logprobs": 0, **more}

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answered(reader, writer):
                pass
            writer.close()
            await writer.wait_closed()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection is used again."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in head[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        body: Json = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))) or b"{}")
        request = Request(model=str(body.get("model")), path=head[0].split()[1], headers=headers, body=body)
        with self._lock:
            self._requests.append(request)
        out = Out(writer=writer)
        play = None if request.of_the_market else self.plays.get(request.model)
        await (play or self.default or _well)(request, out)
        return out.keep


async def _well(request: Request, out: Out) -> None:
    ask = Ask(body=request.body, headers=request.headers, traits=("good",), turn=1)
    answer = completion(ask, text_for(ask), None)
    if request.body.get("stream"):
        await out.events(*chunks(answer))
    else:
        await out.body(answer)
