"""A server that asks for no key is for this machine's own programs: pages of foreign sites must not spend its money.

A browser sends what a page tells it to, to 127.0.0.1 too, under a foreign `Origin`, or under a foreign name that was
made to point here. A proxy sends what anybody tells it to. Where there are keys neither is a danger.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Final, cast

from starlette.types import ASGIApp, Receive, Scope, Send

from sale.errors import SaleError
from sale.server.client_address import is_direct, is_own_place
from sale.server.gateway.api_paths import is_api_path
from sale.server.gateway.error_forms import error_response
from sale.server.gateway.errors import ApiError, as_api_error
from sale.server.gateway.exchange import Exchange
from sale.server.store.store import ServerStore

NAMES: Final = (b"host", b"origin")
METRICS: Final = "/metrics"
HEALTH: Final = frozenset({"/healthz", "/readyz", "/openapi.json"})
"""Told to everybody, by whatever name a balancer asks, and also while the keys cannot be read."""


class OriginGuard:
    """Around the application."""

    def __init__(
        self,
        app: ASGIApp,
        store: ServerStore,
        origins: Callable[[], Collection[str]] = tuple,
        *,
        has_password: bool = False,
    ) -> None:
        """Nothing is opened.

        Args:
            app: What is guarded.
            store: Knows whether there are keys.
            origins: Gives the origins whose pages may use the API.
            has_password: True where pages ask for a password; then they are not guarded, and keys can be made there
                under any name when there are none.
        """
        self._app = app
        self._store = store
        self._origins = origins
        self._has_password = has_password

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on, or refuse it."""
        fault = self._fault(scope) if scope["type"] == "http" else None
        if fault is None:
            return self._app(scope, receive, send)
        return self._refuse_without_keys(fault, scope, receive, send)

    async def _refuse_without_keys(self, fault: str, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            error = None if await self._store.has_keys() else _refusal(fault)
        except SaleError as unreadable:
            error = as_api_error(unreadable)
        if error is None:
            await self._app(scope, receive, send)
            return
        await Exchange(scope, receive, send).reply(error.status, *error_response(str(scope["path"]), error))

    def _fault(self, scope: Scope) -> str | None:
        """Why a request is not served where there are no keys."""
        path = scope["path"]
        api = is_api_path(path)
        if path in HEALTH or (self._has_password and not api and path != METRICS):
            return None
        if self._is_foreign(scope, self._origins() if api else ()):
            return "foreign_origin"
        return "not_from_here" if api and not is_direct(scope) else None

    @staticmethod
    def _is_foreign(scope: Scope, named: Collection[str]) -> bool:
        for name, value in cast("list[tuple[bytes, bytes]]", scope["headers"]):
            if name not in NAMES or (name == b"origin" and value.decode("latin-1") in named):
                continue
            if not is_own_place(value.decode("latin-1")):
                return True
        return False


def _refusal(fault: str) -> ApiError:
    return ApiError(
        "without keys, only this machine's own programs are served, and pages of `[server] cors_origins`; "
        "`sale keys create NAME` makes a key",
        status=403,
        name=fault,
    )
