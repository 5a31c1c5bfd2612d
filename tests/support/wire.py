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
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.support.replies import Ask, Json, chunks, completion, text_for

SECONDS = 20.0


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


@dataclass
class Wire:
    """The server, in a thread of its own; a context manager."""

    plays: dict[str, Play]
    default: Play | None = None
    """Answers everything a model has no function for, bids and ballots too."""
    _requests: list[Request] = field(default_factory=list[Request])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None

    def __init__(self, port: int = 0, **plays: Play) -> None:
        self.plays = plays
        self._port = port
        self._requests = []
        self._lock = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

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

    def call_soon(self, act: Callable[[], object]) -> None:
        """Have something done where the functions run."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(act)

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(ready),), name="wire", daemon=True)
        self._thread.start()
        assert ready.wait(SECONDS), "the wire did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the wire did not stop"

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._one(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", self._port, backlog=512, limit=2**26)
        self._port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        server.close()
        for task in tuple(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tuple(tasks), timeout=5)
        await asyncio.sleep(0.01)  # transports close at the loop's next turns

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
