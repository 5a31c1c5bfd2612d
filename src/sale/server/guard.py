"""A server that asks for no key is for this machine's own programs: pages of foreign sites must not spend its money.

A browser sends what a page tells it to, to 127.0.0.1 too, under a foreign `Origin`, or under a foreign name that was
made to point here. Where there are keys this is no danger, as no page has one.
"""

from __future__ import annotations

from typing import cast
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from sale.config.proxies import is_loopback
from sale.server.gateway.errors import ApiError
from sale.server.gateway.exchange import Exchange
from sale.server.store.store import ServerStore

NAMES = (b"host", b"origin")


class Guard:
    """Around the application."""

    def __init__(self, app: ASGIApp, store: ServerStore) -> None:
        """Nothing is opened.

        Args:
            app: What is guarded.
            store: Knows whether there are keys.
        """
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and self._foreign(scope) and not await self._store.has_keys():
            error = ApiError(
                "without keys, only this machine's own programs are served", status=403, name="foreign_origin"
            )
            await Exchange(scope, receive, send).reply(403, error.document())
            return
        await self._app(scope, receive, send)

    @staticmethod
    def _foreign(scope: Scope) -> bool:
        for name, value in cast("list[tuple[bytes, bytes]]", scope["headers"]):
            if name in NAMES and not _is_own(value.decode("latin-1")):
                return True
        return False


def _is_own(place: str) -> bool:
    """Whether a host, or an origin, is this machine."""
    try:
        host = urlsplit(place if "//" in place else f"//{place}").hostname
    except ValueError:
        return False
    return host is not None and is_loopback(host)
