"""One HTTP request and its response, within bounds: time, size, also after decompression, and nothing from elsewhere.

No cookies, no proxies, no keys of the environment, no connections kept. The head is looked at before the body is read.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass
from typing import cast

import httpcore2
import httpx2

from sale.agents.tools.web.addresses import CheckedAddress
from sale.errors import FetchError
from sale.types.numbers import parse_whole

AGENT = "sale/0.1 (agent)"
TRIED_ADDRESSES = 3
"""Number of a host's addresses that are tried."""
CONNECT_SECONDS = 5.0
_ENCODINGS = ("", "identity", "gzip", "x-gzip", "deflate")
_EITHER_FORMAT = zlib.MAX_WBITS | 32  # zlib's own header, or gzip's
_NO_HEADER = -zlib.MAX_WBITS
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchLimits:
    """The limits of one fetch."""

    seconds: float = 20.0
    """From the first look-up to the last byte, redirects included."""
    body_bytes: int = 5 * 2**20
    """As sent, and again as decompressed."""
    redirects: int = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchRequest:
    """A request. The secret in its headers, if any, is in no error message."""

    method: str = "GET"
    headers: Pairs = ()
    content: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResponseHead:
    """The status and headers of a response; names of headers in lower case, the first of each."""

    status: int
    headers: dict[str, str]


Look = Callable[[ResponseHead], bool]
"""Returns whether the body is wanted; may raise `FetchError`."""


async def exchange(
    place: CheckedAddress, ask: FetchRequest, look: Look, bounds: FetchLimits, tls: Callable[[], ssl.SSLContext]
) -> tuple[ResponseHead, bytes]:
    """Send a request to a checked place, and read the response as far as it is wanted.

    The caller sets the time limit around this.

    Raises:
        FetchError: The server does not answer, or not properly, or with more than `bounds` allow.
    """
    host = place.url.raw_host.decode("ascii")
    try:
        stream = await _connected(place)
        try:
            if place.url.scheme == "https":
                context = await asyncio.to_thread(tls)
                stream = await stream.start_tls(context, server_hostname=host, timeout=CONNECT_SECONDS)
            return await _exchanged(stream, place, ask, look, bounds)
        finally:
            await stream.aclose()
    except httpcore2.LocalProtocolError:  # its message may repeat a header
        raise FetchError(f"the request to {host!r} cannot be sent as it is") from None
    except (httpcore2.NetworkError, httpcore2.RemoteProtocolError, httpcore2.TimeoutException, OSError) as error:
        raise FetchError(f"no proper answer from {host!r}: {_reason(error)}") from error


async def _connected(place: CheckedAddress) -> httpcore2.AsyncNetworkStream:
    """A connection to the first address that takes one. They are numbers: nothing is looked up again."""
    backend = cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())
    *others, last = place.addresses[:TRIED_ADDRESSES]
    for address in others:
        try:
            return await backend.connect_tcp(address, place.port, timeout=CONNECT_SECONDS)
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
            continue
    return await backend.connect_tcp(last, place.port, timeout=CONNECT_SECONDS)


async def _exchanged(
    stream: httpcore2.AsyncNetworkStream, place: CheckedAddress, ask: FetchRequest, look: Look, bounds: FetchLimits
) -> tuple[ResponseHead, bytes]:
    url = httpcore2.URL(
        scheme=place.url.raw_scheme, host=place.url.raw_host, port=place.url.port, target=place.url.raw_path
    )
    length = [("Content-Length", str(len(ask.content)))] if ask.content else []
    headers: Pairs = (
        ("Host", place.url.netloc.decode("ascii")),
        ("User-Agent", AGENT),
        ("Accept-Encoding", "gzip, deflate"),
        ("Connection", "close"),
        *ask.headers,
        *length,
    )
    connection = httpcore2.AsyncHTTP11Connection(origin=url.origin, stream=stream)
    try:
        response = await connection.handle_async_request(
            httpcore2.Request(ask.method, url, headers=list(headers), content=ask.content or None)
        )
        head = _head(response)
        if not look(head):
            return head, b""
        return head, await _body(response.aiter_stream(), head, bounds)
    finally:
        await connection.aclose()


def _head(response: httpcore2.Response) -> ResponseHead:
    headers: dict[str, str] = {}
    for name, value in response.headers:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return ResponseHead(status=response.status, headers=headers)


async def _body(stream: AsyncIterable[bytes], head: ResponseHead, bounds: FetchLimits) -> bytes:
    length = parse_whole(head.headers.get("content-length"))
    if length is not None and length > bounds.body_bytes:
        raise _too_large(bounds)
    encoding = head.headers.get("content-encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise FetchError(f"the content encoding {encoding[:40]!r} is not read")
    inflate = _Inflate() if encoding not in {"", "identity"} else None
    body, taken = bytearray(), 0
    async for chunk in stream:
        taken += len(chunk)
        body += inflate.feed(chunk, bounds.body_bytes - len(body)) if inflate else chunk
        if max(taken, len(body)) > bounds.body_bytes:
            raise _too_large(bounds)
    return bytes(body)


class _Inflate:
    """Decompresses piece by piece, and never makes more than it is given room for, plus one byte that tells."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_EITHER_FORMAT)
        self._begun = False

    def feed(self, data: bytes, room: int) -> bytes:
        try:
            made = self._first(data, room) if not self._begun else self._inflate.decompress(data, room + 1)
        except zlib.error:
            raise FetchError("the page's compression is broken") from None
        self._begun = True
        while self._inflate.eof and (rest := self._inflate.unused_data) and len(made) <= room:
            self._inflate = zlib.decompressobj(_EITHER_FORMAT)  # files may be joined end to end
            try:
                made += self._inflate.decompress(rest, room + 1 - len(made))
            except zlib.error:
                break  # what follows the end of the data is no data
        return made

    def _first(self, data: bytes, room: int) -> bytes:
        try:
            return self._inflate.decompress(data, room + 1)
        except zlib.error:
            self._inflate = zlib.decompressobj(_NO_HEADER)  # what some servers mean by deflate
            return self._inflate.decompress(data, room + 1)


def _too_large(bounds: FetchLimits) -> FetchError:
    return FetchError(f"it is larger than {bounds.body_bytes / 2**20:g} MB, the most that is read")


def _reason(error: BaseException) -> str:
    """Return the reason of a failure on our side; bytes of the other side are not repeated."""
    if isinstance(error, httpcore2.RemoteProtocolError):
        return "it does not speak HTTP, or too much of it"
    if isinstance(error, httpcore2.TimeoutException):
        return "it takes too long"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not valid ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return "no secure connection can be made"
        cause = cause.__cause__ or (cause.args[0] if cause.args and isinstance(cause.args[0], Exception) else None)
    return "the connection failed"


def public_tls() -> ssl.SSLContext:
    """The system's certificates. Slow to read, and blocking: call it in a thread, and keep it."""
    return httpx2.create_ssl_context()
