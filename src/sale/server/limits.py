"""The limits of a connection before it has shown a key: bytes, headers, time, and the number from one address.

The parser would read a head of any size, and join its parts anew for each that comes; and it would wait for the rest of
a request for ever. Both cost nothing to whoever sends it. Responses are not limited here: a stream may last for hours.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from sale.config import ServerSettings
from sale.server.client_address import customer_of
from sale.server.gateway.errors import ApiError

KILOBYTE: Final = 1024
LINGER_SECONDS: Final = 2.0
"""Seconds a refused connection is still read: closed at once, it would often take the refusal with it."""
SLOWEST: Final = KILOBYTE
"""Bytes a second that a body must come with."""
REASONS: Final = {
    400: b"Bad Request",
    408: b"Request Timeout",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
}


@dataclass(kw_only=True)
class ConnectionLimits:
    """The limits of one server, and who is connected to it."""

    head_bytes: int
    headers: int
    head_seconds: float
    body_seconds: float
    connections: int
    connected: Counter[str] = field(default_factory=Counter[str])

    @classmethod
    def of(cls, server: ServerSettings) -> ConnectionLimits:
        """Those of `[server]`."""
        return cls(
            head_bytes=server.header_kb * KILOBYTE,
            headers=server.headers,
            head_seconds=server.head_seconds,
            body_seconds=server.body_seconds,
            connections=server.connections,
        )


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's own protocol, within limits."""

    limits: ConnectionLimits
    """Of the server: `limit_protocol` makes a class with them."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Begin without a connection."""
        super().__init__(config, server_state, app_state, _loop)
        self._who = ""
        self._in_head = False
        self._in_body = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._empty_bytes = 0
        self._refusal: ApiError | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection; the time for the first head begins."""
        super().connection_made(transport)
        self._who = customer_of(self.client[0] if self.client else "")
        connected = self.limits.connected
        connected[self._who] += 1
        if connected[self._who] > self.limits.connections:
            self._refuse(
                _error("there are too many connections from this address", 429, "too_many_connections"), linger=False
            )
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection off."""
        self._stop_timer()
        connected = self.limits.connected
        connected[self._who] -= 1
        if connected[self._who] <= 0:
            del connected[self._who]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request."""
        if self._refusal is not None:
            return  # it is being told why
        head_went_on, body_bytes = self._in_head, self._body_bytes
        super().data_received(data)
        if self._in_head and head_went_on:
            self._head_bytes += len(data)
            self._check_head()
        elif self._in_body:
            # Extensions of chunks, and trailers: nobody needs them, and the parser keeps them.
            self._empty_bytes = self._empty_bytes + len(data) if body_bytes == self._body_bytes else 0
            if self._empty_bytes > self.limits.head_bytes:
                self._refuse(_error("there is too much around the body of the request", 431, "headers_too_large"))
        elif not self._in_head and self._timer is None and self._is_quiet:
            self._wait_for_head()  # empty lines, or the rest of a body: no request, and no pause that is limited

    @property
    def _is_quiet(self) -> bool:
        """True where no request is being answered, and the pause before the next is not limited."""
        return not self._under_way and self.timeout_keep_alive_task is None and not self.transport.is_closing()

    @property
    def _under_way(self) -> RequestResponseCycle | None:
        """The request that is being answered."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # before the first there is none
        return None if cycle is None or cycle.response_complete else cycle

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        if self._timer is None:
            self._wait_for_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; those behind a body are left out, as the head has been read."""
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: the request begins, unless it is too large."""
        self._in_head = False
        self._stop_timer()
        self._head_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        self._check_head()
        if self._refusal is not None:
            raise _RefusedError
        super().on_headers_complete()
        self._in_body, self._body_bytes, self._empty_bytes = True, 0, 0
        self._wait_for_body()

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_body = False
        self._stop_timer()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  as uvicorn says
        """Answer a request that is not HTTP, or was refused."""
        if self._refusal is None:
            self._refuse(_error("this is no HTTP request", 400, "invalid_http"))

    def _check_head(self) -> None:
        most, count = self.limits.head_bytes, self.limits.headers
        if self._head_bytes > most:
            self._refuse(_error(f"the head of the request is larger than {most:,} bytes", 431, "headers_too_large"))
        elif len(self.headers) > count:
            self._refuse(_error(f"the request has more than {count} headers", 431, "headers_too_large"))

    def _wait_for_head(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.limits.head_seconds, self._late)

    def _wait_for_body(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.limits.body_seconds, self._look_at_body, self._body_bytes)

    def _look_at_body(self, had: int) -> None:
        """See whether enough has come since; what was not read meanwhile could not come."""
        enough = self._body_bytes - had >= SLOWEST * self.limits.body_seconds
        if enough or (self.flow.read_paused and self._under_way):
            self._wait_for_body()
        else:
            self._late()

    def _late(self) -> None:
        self._timer = None
        if self._in_head and self._under_way:
            self._wait_for_head()  # half of the next request, while the one before is being answered
        else:
            self._refuse(_error("the request did not come whole in time", 408, "request_timeout"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, error: ApiError, *, linger: bool = True) -> None:
        """Say why, unless an answer is on its way, and close."""
        if self._refusal is not None:
            return
        self._refusal = error
        self._stop_timer()
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        cycle = self._under_way
        if cycle and (not self._in_body or cycle.response_started):
            self.transport.close()
            return
        body = error.document()
        head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (error.status, REASONS[error.status], len(body)) + body)
        if cycle:  # whoever waits for the body need not wait for the end
            cycle.disconnected = True
            cycle.message_event.set()
        if not linger or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.flow.resume_reading()
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)


class _RefusedError(Exception):
    """Ends the parser's work on a request that was refused."""


def limit_protocol(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """A protocol of a server with these limits."""
    made = type("Limited", (LimitedProtocol,), {"limits": limits})
    return cast("type[asyncio.Protocol]", made)


def _error(message: str, status: int, name: str) -> ApiError:
    return ApiError(message, status=status, name=name)
