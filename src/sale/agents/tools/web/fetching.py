"""Fetching what an agent asks for: a guarded GET that follows redirects, each checked like the first address."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache

import httpx2

from sale.agents.tools.web.addresses import (
    AllowedHosts,
    CheckedAddress,
    Resolver,
    parse_address,
    resolve_address,
    resolve_own_address,
    system_resolver,
)
from sale.agents.tools.web.exchange import FetchLimits, FetchRequest, ResponseHead, exchange, public_tls
from sale.errors import FetchError

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ACCEPT = ("Accept", "text/html,application/xhtml+xml,application/pdf,text/plain;q=0.9,application/json;q=0.5")
_READ_TYPES = frozenset({"application/xhtml+xml", "application/pdf", "application/json", "application/xml"})
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_READ_SUFFIXES = ("+json", "+xml")


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchedBody:
    """A response's body, and what it is said to be."""

    address: str
    """Where it came from in the end."""
    media_type: str
    """In lower case; empty where the server does not say."""
    charset: str | None
    body: bytes


class WebFetcher:
    """The web as agents reach it. One serves many at a time; nothing is kept between requests."""

    def __init__(
        self,
        *,
        reach: AllowedHosts | None = None,
        bounds: FetchLimits | None = None,
        resolve: Resolver = system_resolver,
        tls: Callable[[], ssl.SSLContext] = public_tls,
    ) -> None:
        """Nothing is opened.

        Args:
            reach: Where agents may go; the public internet's web ports unless given.
            bounds: What one fetch may take.
            resolve: Looks up names.
            tls: Makes the context of secure connections, once.
        """
        self._reach = reach or AllowedHosts()
        self._bounds = bounds or FetchLimits()
        self._resolve = resolve
        self._tls = lru_cache(maxsize=1)(tls)

    async def get(self, address: str) -> FetchedBody:
        """Fetch a page.

        Raises:
            ForbiddenAddressError: The address, or one it redirects to, is not open to agents.
            FetchError: It cannot be had, or is of a kind that is not read.
        """
        url = parse_address(address)
        async with _within(self._bounds.seconds):
            for _ in range(self._bounds.redirects + 1):
                place = await resolve_address(url, self._reach, self._resolve)
                head, body = await self._exchange(place, FetchRequest(headers=(_ACCEPT,)), _is_read)
                if head.status not in REDIRECTS:
                    return _fetched(url, head, body)
                url = _next(url, head)
        raise FetchError(f"it redirects more than {self._bounds.redirects} times")

    async def ask(self, address: str, ask: FetchRequest) -> tuple[int, bytes]:
        """Ask a service of the user's own settings: anywhere, but never further than there.

        Returns:
            Status and body, whatever they are.

        Raises:
            FetchError: It cannot be reached, or answers with too much.
        """
        url = parse_address(address)
        async with _within(self._bounds.seconds):
            place = await resolve_own_address(url, self._resolve)
            head, body = await self._exchange(place, ask, lambda head: head.status not in REDIRECTS)
        return head.status, body

    async def _exchange(
        self, place: CheckedAddress, ask: FetchRequest, look: Callable[[ResponseHead], bool]
    ) -> tuple[ResponseHead, bytes]:
        return await exchange(place, ask, look, self._bounds, self._tls)


@asynccontextmanager
async def _within(seconds: float) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise FetchError(f"not there within {seconds:g} s") from None


def _is_read(head: ResponseHead) -> bool:
    """Return whether to read on; a page of a kind that cannot be read is refused by its head."""
    if head.status in REDIRECTS:
        return False
    if head.status != 200:
        raise FetchError(f"the server answers with HTTP status {head.status}")
    media_type, _ = _content_type(head)
    if media_type and not (
        media_type.startswith("text/") or media_type in _READ_TYPES or media_type.endswith(_READ_SUFFIXES)
    ):
        raise FetchError(f"it is {media_type[:60]!r}, which is not read; only text, HTML and PDF are")
    return True


def _fetched(url: httpx2.URL, head: ResponseHead, body: bytes) -> FetchedBody:
    media_type, charset = _content_type(head)
    return FetchedBody(address=str(url), media_type=media_type, charset=charset, body=body)


def _next(url: httpx2.URL, head: ResponseHead) -> httpx2.URL:
    target = head.headers.get("location", "")
    if not target:
        raise FetchError(f"the server answers with HTTP status {head.status} and no address to go to")
    try:
        joined = str(url.join(target))
    except (httpx2.InvalidURL, ValueError):
        raise FetchError("it redirects to something that is no address") from None
    return parse_address(joined)


def _content_type(head: ResponseHead) -> tuple[str, str | None]:
    stated = head.headers.get("content-type", "")
    charset = _CHARSET.search(stated)
    return stated.partition(";")[0].strip().lower(), charset.group(1).lower() if charset else None
