"""Towards the agents' endpoints: one pool of connections, and every way of failing mapped to what a client is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, cast
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
    InvalidURL,
    ServerDisconnectedError,
    TCPConnector,
)

from sale.config.proxies import Proxy, proxy_for
from sale.errors import ConfigError
from sale.models.address import Address
from sale.models.errors import redacted
from sale.server.gateway.errors import ApiError
from sale.server.gateway.stream import broken
from sale.types.numbers import wait_of

CONNECT_SECONDS = 10.0
MOST_ERROR_BYTES = 64 * 1024
MOST_ANSWER_BYTES = 256 * 1024 * 1024
READ_BYTES = 256 * 1024
MESSAGE_CHARACTERS = 2000
IDLE_SECONDS = 60.0
END_SECONDS = 0.5
SHORTEST_SECRET = 8
OK = 200
REFUSED = frozenset({400, 409, 413, 415, 422, 451})
"""The request itself is at fault: another agent's endpoint may well say the same, so the client is told."""
Json = dict[str, Any]


class Upstream:
    """A pooled HTTP client. It belongs to the event loop it is opened in."""

    def __init__(self) -> None:
        """Use it as an async context manager; nothing is connected yet."""
        connector = TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS, ttl_dns_cache=300)
        self._session = _session(connector)
        self._socks: dict[str, ClientSession] = {}
        self._proxies: dict[str, Proxy | None] = {}
        self._socks_faults: tuple[type[Exception], ...] = ()

    @asynccontextmanager
    async def post(self, address: Address, path: str, body: bytes, *, silence: float) -> AsyncGenerator[Answer]:
        """Ask an endpoint.

        Args:
            address: Whose.
            path: `/chat/completions`.
            body: JSON.
            silence: The longest it may take to its first byte, and between two.

        Raises:
            ApiError: It cannot be reached, refuses, fails, or breaks off while the block reads from it.
        """
        headers = {"content-type": "application/json"}
        if address.api_key is not None:
            headers["authorization"] = f"Bearer {address.api_key.get_secret_value()}"
        url = address.base_url.rstrip("/") + path
        limits = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence)
        try:
            response = await self._begun(url, body, headers, limits)
            async with response:
                if response.status != OK:
                    raise await _refusal(response, address)
                yield Answer(response)
        except (InvalidURL, ClientConnectorError, ConnectionTimeoutError, *self._socks_faults):
            raise _unreachable(spent=False) from None
        except TimeoutError:
            raise ApiError(
                "the agent's endpoint was silent for too long",
                status=504,
                name="upstream_timeout",
                elsewhere=True,
                spent=True,
            ) from None
        except ClientConnectionError:
            raise _unreachable(spent=True) from None
        except ClientError:
            raise broken("broke off in the middle of its answer") from None

    async def _begun(self, url: str, body: bytes, headers: Mapping[str, str], limits: ClientTimeout) -> ClientResponse:
        """The head of the answer. A connection that was kept may turn out closed: then it is opened anew, once."""
        session, proxy = self._way(url)
        try:
            return await session.post(
                url, data=body, headers=headers, timeout=limits, allow_redirects=False, proxy=proxy
            )
        except ServerDisconnectedError:
            return await session.post(
                url, data=body, headers=headers, timeout=limits, allow_redirects=False, proxy=proxy
            )

    def _way(self, url: str) -> tuple[ClientSession, str | None]:
        """The session for a URL, and the HTTP proxy it is to use: a SOCKS proxy has a session of its own.

        Raises:
            ApiError: The environment's proxy on the way there cannot be used.
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._proxies:
            try:
                self._proxies[origin] = proxy_for(url)
            except ConfigError as error:
                raise ApiError(
                    f"the agent's endpoint cannot be reached: {error}",
                    status=502,
                    name="upstream_unreachable",
                    elsewhere=True,
                ) from None
        proxy = self._proxies[origin]
        if proxy is None or not proxy.is_socks:
            return self._session, None if proxy is None else proxy.url
        if proxy.url not in self._socks:
            # It comes with the `socks` extra, and that it is there is known from the proxy.
            socks = import_module("aiohttp_socks")
            self._socks_faults = (socks.ProxyError, socks.ProxyConnectionError, socks.ProxyTimeoutError)
            connector = socks.ProxyConnector.from_url(
                proxy.url.replace("socks5h://", "socks5://", 1), rdns=True, limit=0, keepalive_timeout=IDLE_SECONDS
            )
            self._socks[proxy.url] = _session(connector)
        return self._socks[proxy.url], None

    async def aclose(self) -> None:
        """Close all connections."""
        for session in (self._session, *self._socks.values()):
            await session.close()
        await asyncio.sleep(0)  # transports close at the loop's next turn


def _session(connector: BaseConnector) -> ClientSession:
    # Cookies are nobody's business here, and answers are passed on as they come.
    return ClientSession(
        connector=connector,
        read_bufsize=READ_BYTES,
        headers={"user-agent": "sale", "accept-encoding": "identity"},
        json_serialize=lambda value: orjson.dumps(value).decode(),
    )


class Answer:
    """An endpoint that has begun to answer."""

    def __init__(self, response: ClientResponse) -> None:
        """Nothing of the body is read."""
        self._response = response

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        return self._response.content.iter_any()

    async def ended(self) -> None:
        """All that matters has come: wait a little for the end, with which the connection can be used again."""
        with contextlib.suppress(TimeoutError, ClientError):
            async with asyncio.timeout(END_SECONDS):
                await self._response.read()

    async def whole(self) -> bytes:
        """The body.

        Raises:
            ApiError: It is larger than any answer is.
        """
        return await _read(self._response, MOST_ANSWER_BYTES)


async def _read(response: ClientResponse, limit: int) -> bytes:
    length = response.content_length
    if length is not None and length <= limit:
        return await response.read()
    parts: list[bytes] = []
    size = 0
    async for data in response.content.iter_any():
        size += len(data)
        if size > limit:
            raise broken("sent an answer without end")
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


async def _refusal(response: ClientResponse, address: Address) -> ApiError:
    """What an endpoint's own error means for the client."""
    status = response.status
    if status in REFUSED:
        return _at_fault(status, _said(await _read(response, MOST_ERROR_BYTES)), address)
    if status == 429:
        return ApiError(
            "the agent's endpoint asks for fewer requests",
            status=429,
            name="upstream_rate_limited",
            retry_after=wait_of(response.headers.get("retry-after")),
            elsewhere=True,
        )
    if status in {408, 504}:
        return ApiError(
            "the agent's endpoint took too long", status=504, name="upstream_timeout", elsewhere=True, spent=True
        )
    if status >= 500:
        return ApiError("the agent's endpoint failed", status=502, name="upstream_failed", elsewhere=True)
    return ApiError(
        f"the agent's endpoint refuses the gateway (HTTP {status})",
        status=502,
        name="upstream_refused",
        elsewhere=True,
    )


def _at_fault(status: int, said: Mapping[str, object], address: Address) -> ApiError:
    """The endpoint's complaint about the request, without its key and its address."""
    key = address.api_key.get_secret_value() if address.api_key else ""
    where = urlsplit(address.base_url)
    hide = [address.base_url, where.netloc, *((key,) if len(key) >= SHORTEST_SECRET else ())]
    message = redacted(str(said.get("message") or "the agent's endpoint refuses the request"), hide)
    code, param = said.get("code"), said.get("param")
    return ApiError(
        message[:MESSAGE_CHARACTERS],
        status=status,
        name=redacted(code, hide)[:100] if isinstance(code, str) else None,
        param=redacted(param, hide)[:100] if isinstance(param, str) else None,
    )


def _said(raw: bytes) -> Mapping[str, object]:
    try:
        value: object = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(value, dict):
        return {}
    error: object = cast("Json", value).get("error", cast("object", value))
    if isinstance(error, str):
        return {"message": error}
    return cast("Json", error) if isinstance(error, dict) else {}
