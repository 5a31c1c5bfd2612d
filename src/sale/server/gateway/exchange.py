"""One request and its response over bare ASGI: a bounded body, headers, JSON, events, a client that leaves."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, cast

import orjson
from starlette.types import Message, Receive, Scope, Send

from sale.server.gateway.depth import DEEPEST, is_deep
from sale.server.gateway.errors import ApiError
from sale.server.gateway.piece_limit import check_pieces

Headers = Sequence[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")
EVENTS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
BEARER = "bearer "
PLAIN_CODINGS = frozenset({"", "identity"})
COMPRESSED = "compressed bodies are not taken: send the request as plain JSON, without the header content-encoding"
WATCH_AFTER_SECONDS = 0.03
"""Seconds after which a client that leaves is noticed."""
KEY_HEADERS = (b"x-api-key", b"api-key")
"""Where Anthropic's clients, and Azure's, show their key."""


class ClientLeftError(ApiError):
    """The client closed the connection."""

    def __init__(self) -> None:
        super().__init__("the client went away", status=499, name="client_left", spent=True)


class Exchange:
    """A request being answered."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing is read yet."""
        self.scope = scope
        self._receive = receive
        self._send = send
        self.started = False
        """True once the response has begun: its status can no longer be changed."""
        self.left = False
        self._ended = False

    @property
    def path(self) -> str:
        """Where it was sent."""
        return str(self.scope["path"])

    def header(self, name: bytes) -> str | None:
        """A header of the request, its name in lower case; the first where there are several."""
        for key, value in cast("list[tuple[bytes, bytes]]", self.scope["headers"]):
            if key == name:
                return value.decode("latin-1")
        return None

    def all_of(self, name: bytes) -> list[str]:
        """Every value of a header that may be repeated, its name in lower case."""
        headers = cast("list[tuple[bytes, bytes]]", self.scope["headers"])
        return [value.decode("latin-1") for key, value in headers if key == name]

    @property
    def secret(self) -> str | None:
        """The key the client shows: `Authorization: Bearer …`, else `x-api-key` or `api-key`."""
        given = self.header(b"authorization")
        if given is not None and given.lower().startswith(BEARER):
            return given[len(BEARER) :].strip() or None
        return next((key.strip() for name in KEY_HEADERS if (key := self.header(name)) and key.strip()), None)

    async def body(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            ApiError: It is compressed, or larger than `limit` bytes.
            ClientLeftError: It never came whole.
        """
        coding = self.header(b"content-encoding")
        if coding is not None and coding.strip().lower() not in PLAIN_CODINGS:
            raise ApiError(COMPRESSED, status=415, name="compressed_body")
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.left = True
                raise ClientLeftError
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise ApiError(f"the body is larger than {limit:,} bytes", status=413, name="request_too_large")
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def watch_connection(self) -> ConnectionWatch:
        """A block that is given up when the client leaves; use it once the body is read.

        Raises:
            ClientLeftError: The client left before the block had ended.
        """
        return ConnectionWatch(self)

    async def until_left(self) -> bool:
        """Wait until the connection is closed; whether the client did so before it had its whole answer."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = self.left or not self._ended
        return self.left

    def record(self, take: Callable[[Message], None]) -> None:
        """Give each message of the response to `take`, too, before it is sent."""
        send = self._send

        async def recorded(message: Message) -> None:
            take(message)
            await send(message)

        self._send = recorded

    async def resend(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole response that was sent before, of whatever kind."""
        self.started = self._ended = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def reply(self, status: int, document: bytes, headers: Headers = ()) -> None:
        """A whole JSON response."""
        self.started = self._ended = True
        length = (b"content-length", str(len(document)).encode())
        await self._send({"type": "http.response.start", "status": status, "headers": [JSON, length, *headers]})
        await self._send({"type": "http.response.body", "body": document})

    async def begin(self, headers: Headers = ()) -> None:
        """The head of a stream of events."""
        self.started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": [*EVENTS, *headers]})

    async def write(self, data: bytes) -> None:
        """Some of the stream; waits while the client is slow to read."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """The stream is over."""
        self._ended = True
        await self._send({"type": "http.response.body", "body": b""})


class ConnectionWatch:
    """Gives up a block when the client leaves. A class, as every turn has one: generators cost more."""

    def __init__(self, exchange: Exchange) -> None:
        """Nothing is watched yet."""
        self._exchange = exchange
        self._working = cast("asyncio.Task[object]", asyncio.current_task())  # whoever has an exchange is in one
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        """Begin in a moment: most turns of fast endpoints are over before, and are spared a task each."""
        self._begin = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._start)

    def _start(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        if await self._exchange.until_left():
            self._working.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch no longer."""
        self._begin.cancel()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        # Somebody else's cancellation, of the server that stops, goes on.
        given_up = isinstance(error, asyncio.CancelledError) and self._exchange.left
        if given_up and self._working.uncancel() == 0:
            raise ClientLeftError from None


def header_value(text: str) -> bytes:
    """Return a text as the value of a header: `?` stands for what none may hold, such as a line break.

    Args:
        text: Perhaps of a client or an endpoint.
    """
    if text.isascii() and text.isprintable():
        return text.encode()
    return CONTROLS.sub("?", text).encode("latin-1", errors="replace")


def document(raw: bytes) -> dict[str, Any]:
    """A body as a JSON object.

    Raises:
        ApiError: It is none, too deep, or has too many pieces.
    """
    try:
        value: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ApiError(f"the body is not valid JSON: {error}", name="invalid_json") from None
    if not isinstance(value, dict):
        raise ApiError("the body must be a JSON object", name="invalid_json")
    found = cast("dict[str, Any]", value)
    if is_deep(raw, found):
        raise ApiError(f"the body has more than {DEEPEST} levels of lists and objects", name="invalid_json")
    check_pieces(found)
    return found
