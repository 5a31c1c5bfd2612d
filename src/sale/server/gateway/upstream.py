"""Towards the agents' endpoints: one pool of connections, and every way of failing mapped to what a client is told.

A request is sent once. Where a connection is lost after the request may have arrived, the endpoint may be at work on it
already: sending it again would have the work done, and paid for, twice. The turn then goes to the next best bid.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from io import BytesIO
from types import TracebackType
from urllib.parse import urlsplit

import orjson
from aiohttp import (
    BaseConnector,
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    InvalidURL,
    TCPConnector,
)
from multidict import CIMultiDict
from yarl import URL

from sale.config.proxies import Proxy, proxy_for
from sale.errors import ConfigError
from sale.models.address import Address, RequestShape
from sale.models.hops import hop_headers
from sale.server.gateway.errors import ApiError
from sale.server.gateway.upstream_json import (
    CODE_CHARACTERS,
    MESSAGE_CHARACTERS,
    REFUSED,
    UpstreamComplaint,
    clean,
    format_reason,
    protocol_error,
    read_complaint,
    read_json,
)
from sale.types.numbers import wait_of

CONNECT_SECONDS = 10.0
MAX_ERROR_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 256 * 1024 * 1024
READ_BYTES = 256 * 1024
LARGE = 256 * 1024
"""From so many bytes on, a body is sent piece by piece, so that others are served meanwhile."""
IDLE_SECONDS = 20.0
"""Seconds a connection is kept for the next request: less than most servers keep it, so that few are lost."""
END_SECONDS = 0.5
MAX_ROUTES = 1000
MIN_SECRET_CHARACTERS = 8
OK = 200
UNABLE = frozenset({400, 413, 415, 422})
"""With these an endpoint may refuse what another one takes: a parameter, an image, a request of this length."""
UNWILLING = frozenset({"content_filter", "content_policy_violation", "moderation_blocked"})
"""Codes of refusals for what a request says. It is not taken elsewhere."""
UNSAID = frozenset({401, 403})
"""Of the gateway's own key, which such complaints like to repeat."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """The way to one path of an endpoint: all that is the same for each of its requests."""

    address: Address
    url: URL
    headers: CIMultiDict[str]
    hide: tuple[str, ...]
    """Its address and keys, which no error shows."""
    session: ClientSession
    proxy: str | None
    """An HTTP proxy; a SOCKS proxy has a session of its own."""


class Upstream:
    """A pooled HTTP client. It belongs to the event loop it is opened in."""

    def __init__(self) -> None:
        """Use it inside a running event loop; nothing is connected yet."""
        connector = TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS, ttl_dns_cache=300)
        self._session = _session(connector)
        self._socks: dict[str, ClientSession] = {}
        self._socks_faults: tuple[type[Exception], ...] = ()
        self._routes: dict[tuple[int, str], Route] = {}

    def post(
        self, address: Address, path: str, body: bytes, *, silence: float, seconds: float | None = None
    ) -> UpstreamRequest:
        """A request to an endpoint, to be used as a context manager: it is sent once, when that is entered.

        Args:
            address: Whose.
            path: `/chat/completions`.
            body: JSON.
            silence: The longest it may take to its first byte, and between two.
            seconds: The longest it may take altogether; as long as it likes unless given.

        Raises:
            ApiError: There is no way to it. When entered, or within the block: it cannot be reached, refuses, fails, or
                breaks off while the block reads from it.
        """
        route = self._routes.get((id(address), path))
        if route is None or route.address is not address:
            route = self._route(address, path)
        limits = ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS, sock_read=silence)
        return UpstreamRequest(route, _reshaped(body, address.shape), limits, self._socks_faults)

    def _route(self, address: Address, path: str) -> Route:
        """The way to a path of an endpoint, kept for its next request.

        Raises:
            ApiError: The environment's proxy on the way there cannot be used.
        """
        url = address.base_url.rstrip("/") + path
        headers = {"content-type": "application/json"}
        if address.api_key is not None:
            headers["authorization"] = f"Bearer {address.api_key.get_secret_value()}"
        headers |= {name.lower(): value for name, value in address.shape.all_headers.items()}
        try:
            proxy = proxy_for(url)
            target = URL(url).extend_query(dict(address.shape.query))
        except ConfigError as error:
            raise ApiError(
                f"the agent's endpoint cannot be reached: {error}",
                status=502,
                name="upstream_unreachable",
                elsewhere=True,
            ) from None
        except ValueError:
            raise _unreachable(spent=False) from None
        socks = proxy is not None and proxy.is_socks
        if len(self._routes) >= MAX_ROUTES:  # of models that were loaded anew, and of markets before
            self._routes.clear()
        found = self._routes[id(address), path] = Route(
            address=address,
            url=target,
            headers=CIMultiDict(headers),
            hide=tuple(secrets_of(address)),
            session=self._behind_socks(proxy) if proxy is not None and socks else self._session,
            proxy=None if proxy is None or socks else proxy.url,
        )
        return found

    def _behind_socks(self, proxy: Proxy) -> ClientSession:
        """The session that goes through a SOCKS proxy."""
        if proxy.url not in self._socks:
            # It comes with the `socks` extra, and that it is there is known from the proxy.
            socks = import_module("aiohttp_socks")
            self._socks_faults = (socks.ProxyError, socks.ProxyConnectionError, socks.ProxyTimeoutError)
            connector = socks.ProxyConnector.from_url(
                proxy.url.replace("socks5h://", "socks5://", 1), rdns=True, limit=0, keepalive_timeout=IDLE_SECONDS
            )
            self._socks[proxy.url] = _session(connector)
        return self._socks[proxy.url]

    async def aclose(self) -> None:
        """Close all connections."""
        for session in (self._session, *self._socks.values()):
            await session.close()
        await asyncio.sleep(0)  # transports close at the loop's next turn


def _session(connector: BaseConnector) -> ClientSession:
    # Cookies are nobody's business here, and answers are passed on as they come.
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        read_bufsize=READ_BYTES,
        headers={"user-agent": "sale", "accept-encoding": "identity"},
        json_serialize=lambda value: orjson.dumps(value).decode(),
    )


class UpstreamRequest:
    """A request to an endpoint, sent when it is entered. A class, as every turn has one: generators cost more."""

    def __init__(
        self, route: Route, body: bytes, limits: ClientTimeout, faults: tuple[type[Exception], ...] = ()
    ) -> None:
        """Nothing is sent.

        Args:
            route: Where to.
            body: JSON.
            limits: Of its time.
            faults: Errors of a proxy that cannot be reached.
        """
        self._route = route
        self._body = body
        self._limits = limits
        self._faults = faults

    async def __aenter__(self) -> UpstreamResponse:
        """Send it, and wait for the head of its answer."""
        route, body = self._route, self._body
        headers = route.headers.copy()
        headers.update(hop_headers())
        try:
            response = await route.session.post(
                route.url,
                data=body if len(body) < LARGE else BytesIO(body),
                headers=headers,
                timeout=self._limits,
                allow_redirects=False,
                proxy=route.proxy,
            )
            if response.status != OK:
                async with response:
                    raise await _refusal(response, route.hide)
        except (ClientError, TimeoutError, *self._faults) as error:
            raise self._explain(error) from None
        self._answer = UpstreamResponse(response, route.hide)
        return self._answer

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        """Let the connection go; what the HTTP client says of a fault is said in the gateway's own words."""
        await self._answer.release()
        if isinstance(error, ClientError | TimeoutError):
            raise self._explain(error) from None

    def _explain(self, error: Exception) -> ApiError:
        if isinstance(error, (InvalidURL, ClientConnectorError, ConnectionTimeoutError, *self._faults)):
            return _unreachable(spent=False)
        if isinstance(error, TimeoutError):
            return ApiError(
                "the agent's endpoint was silent for too long",
                status=504,
                name="upstream_timeout",
                elsewhere=True,
                spent=True,
            )
        if isinstance(error, ClientConnectionError):
            return _unreachable(spent=True)
        return protocol_error("broke off in the middle of its answer")


class UpstreamResponse:
    """An endpoint that has begun to answer."""

    def __init__(self, response: ClientResponse, hide: Sequence[str]) -> None:
        """Nothing of the body is read.

        Args:
            response: Its head has come.
            hide: What is never said of the endpoint.
        """
        self._response = response
        self.hide = hide

    def read_pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        return self._response.content.iter_any()

    async def drain(self) -> None:
        """All that matters has come: wait a little for the end, with which the connection can be used again."""
        with contextlib.suppress(TimeoutError, ClientError):
            async with asyncio.timeout(END_SECONDS):
                await self._response.read()

    async def release(self) -> None:
        """Let the connection go: it is used again where all has been read, and closed otherwise."""
        await self._response.__aexit__(None, None, None)

    async def read_body(self) -> bytes:
        """The body.

        Raises:
            ApiError: It is larger than any answer is.
        """
        return await _read(self._response, MAX_ANSWER_BYTES)


async def _read(response: ClientResponse, limit: int) -> bytes:
    length = response.content_length
    if length is not None and length <= limit:
        return await response.read()
    parts: list[bytes] = []
    size = 0
    async for data in response.content.iter_any():
        size += len(data)
        if size > limit:
            raise protocol_error("sent an answer without end")
        parts.append(data)
    return b"".join(parts)


def _unreachable(*, spent: bool) -> ApiError:
    return ApiError(
        "the agent's endpoint cannot be reached",
        status=502,
        name="upstream_unreachable",
        elsewhere=True,
        spent=spent,
    )


def secrets_of(address: Address) -> list[str]:
    """Return the strings that are never shown of an endpoint: its address and its key."""
    key = address.api_key.get_secret_value() if address.api_key else ""
    where = urlsplit(address.base_url)
    keys = [key, *(value.get_secret_value() for value in address.shape.secret_headers.values())]
    return [address.base_url, where.netloc, *(one for one in keys if len(one) >= MIN_SECRET_CHARACTERS)]


def _reshaped(body: bytes, shape: RequestShape) -> bytes:
    """A body as its endpoint wants it; nearly all want it as it is.

    The effort has been decided before, and what the client says of sampling is said.
    """
    if not (shape.body or shape.rename or shape.drop):
        return body
    return orjson.dumps(replace(shape, effort=None, unsaid=frozenset()).reshape(orjson.loads(body)))


async def _refusal(response: ClientResponse, hide: Sequence[str]) -> ApiError:
    """Return an endpoint's own error as the client is told."""
    status = response.status
    if status == 429:
        return ApiError(
            "the agent's endpoint asks for fewer requests",
            status=429,
            name="upstream_rate_limited",
            retry_after=wait_of(response.headers.get("retry-after")),
            elsewhere=True,
        )
    if status in UNSAID or 300 <= status < 400:
        return _failed(f"refuses the gateway (HTTP {status})", "upstream_refused")
    complaint = await _complaint(response)
    if status in REFUSED:
        return _at_fault(status, complaint, hide)
    reason = format_reason(complaint, hide)
    if status in {408, 504}:
        return ApiError(
            f"the agent's endpoint took too long{reason}",
            status=504,
            name="upstream_timeout",
            elsewhere=True,
            spent=True,
        )
    if status >= 500:
        return _failed(f"failed{reason}", "upstream_failed")
    return _failed(f"refuses the gateway (HTTP {status}){reason}", "upstream_refused")


def _failed(what: str, name: str) -> ApiError:
    return ApiError(f"the agent's endpoint {what}", status=502, name=name, elsewhere=True)


async def _complaint(response: ClientResponse) -> UpstreamComplaint:
    """Return the complaint in the body of an error; an empty one where it cannot be read, or is a page for people."""
    try:
        value, _ = read_json(await _read(response, MAX_ERROR_BYTES))
    except (ApiError, ClientError, TimeoutError):
        return UpstreamComplaint()
    return read_complaint(value)


def _at_fault(status: int, complaint: UpstreamComplaint, hide: Sequence[str]) -> ApiError:
    """The endpoint's complaint about the request, without its key and its address."""
    message = clean(complaint.message or "the agent's endpoint refuses the request", hide)
    return ApiError(
        message[:MESSAGE_CHARACTERS],
        status=status,
        refused=status in UNABLE and complaint.code not in UNWILLING,
        name=clean(complaint.code, hide)[:CODE_CHARACTERS] if complaint.code else None,
        param=clean(complaint.param, hide)[:CODE_CHARACTERS] if complaint.param else None,
    )
