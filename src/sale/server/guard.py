"""A server that asks for no key is for this machine's own programs: pages of foreign sites must not spend its money.

A browser sends what a page tells it to, to 127.0.0.1 too, under a foreign `Origin`, or under a foreign name that was
made to point here. A proxy sends what anybody tells it to. Where there are keys neither is a danger.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import lru_cache
from typing import cast
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from sale.config.proxies import is_loopback
from sale.server.client_address import is_direct
from sale.server.gateway.api_paths import is_api_path
from sale.server.gateway.error_forms import error_response
from sale.server.gateway.errors import ApiError
from sale.server.gateway.exchange import Exchange
from sale.server.store.store import ServerStore

NAMES = (b"host", b"origin")


class OriginGuard:
    """Around the application."""

    def __init__(self, app: ASGIApp, store: ServerStore, origins: Callable[[], Collection[str]] = tuple) -> None:
        """Nothing is opened.

        Args:
            app: What is guarded.
            store: Knows whether there are keys.
            origins: Gives the origins whose pages may use the API.
        """
        self._app = app
        self._store = store
        self._origins = origins

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on, or refuse it."""
        fault = self._fault(scope) if scope["type"] == "http" else None
        if fault is None:
            return self._app(scope, receive, send)
        return self._refuse_without_keys(fault, scope, receive, send)

    async def _refuse_without_keys(self, fault: str, scope: Scope, receive: Receive, send: Send) -> None:
        if not await self._store.has_keys():
            error = ApiError(
                "without keys, only this machine's own programs are served, and pages of `[server] cors_origins`; "
                "`sale keys create NAME` makes a key",
                status=403,
                name=fault,
            )
            await Exchange(scope, receive, send).reply(403, *error_response(str(scope["path"]), error))
            return
        await self._app(scope, receive, send)

    def _fault(self, scope: Scope) -> str | None:
        """Why a request is not served where there are no keys. What is below no `/v1/` has a password of its own."""
        api = is_api_path(scope["path"])
        if self._is_foreign(scope, self._origins() if api else ()):
            return "foreign_origin"
        return "not_from_here" if api and not is_direct(scope) else None

    @staticmethod
    def _is_foreign(scope: Scope, named: Collection[str]) -> bool:
        for name, value in cast("list[tuple[bytes, bytes]]", scope["headers"]):
            if name not in NAMES or (name == b"origin" and value.decode("latin-1") in named):
                continue
            if not _is_own(value.decode("latin-1")):
                return True
        return False


@lru_cache(64)  # a client says the same each time
def _is_own(place: str) -> bool:
    """Return whether a host, or an origin, is this machine."""
    try:
        host = urlsplit(place if "//" in place else f"//{place}").hostname
    except ValueError:
        return False
    return host is not None and is_loopback(host)
