"""Web pages of named origins may use the API (CORS); all others are told so by their browser.

`[server] cors_origins` names them. No cookies are taken, and pages may not use the dashboard, whose forms are for its
own pages alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, cast

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from sale.server.gateway.api_paths import is_api_path
from sale.server.gateway.error_forms import error_response
from sale.server.gateway.errors import ApiError
from sale.server.gateway.exchange import Exchange

Origins = Callable[[], tuple[str, ...]]

METHODS: Final = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")
EXPOSED: Final = (
    *("idempotent-replayed", "retry-after", "request-id", "x-should-retry", "x-sale-error", "x-sale-lost"),
    *("x-sale-session", "x-sale-auction", "x-sale-agent", "x-sale-reason", "x-sale-cost", "x-sale-cost-basis"),
)
"""Headers of answers that a page may read."""
ASKS_FOR: Final = b"access-control-request-method"


class BrowserAccess:
    """An ASGI application whose API the pages of some origins may use."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        """Around `app`.

        Args:
            app: What they use.
            origins: Gives the origins in force, as `https://app.example`.
        """
        self._app = app
        self._origins = origins
        self._named: tuple[str, ...] = ()
        self._cors: ASGIApp = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        origin = origin_of(scope) if scope["type"] == "http" and is_api_path(scope["path"]) else None
        if origin is None:
            return self._app(scope, receive, send)
        return self._answer_page(origin, scope, receive, send)

    async def _answer_page(self, origin: str, scope: Scope, receive: Receive, send: Send) -> None:
        if origin in self._origins():
            await self._with_cors()(scope, receive, send)
        elif scope["method"] == "OPTIONS" and any(name == ASKS_FOR for name, _ in scope["headers"]):
            error = ApiError(
                "pages of this origin may not use this server; `[server] cors_origins` names those that may",
                status=403,
                name="foreign_origin",
            )
            await Exchange(scope, receive, send).reply(403, *error_response(scope["path"], error))
        else:
            await self._app(scope, receive, send)

    def _with_cors(self) -> ASGIApp:
        """The application with the headers for the origins in force."""
        origins = self._origins()
        if origins != self._named:
            self._named = origins
            self._cors = CORSMiddleware(
                self._app,
                allow_origins=origins,
                allow_methods=METHODS,
                allow_headers=("*",),
                allow_private_network=True,
                expose_headers=EXPOSED,
            )
        return self._cors


def origin_of(scope: Scope) -> str | None:
    """Return the origin of the page that a request is of; `None` where it is of no page."""
    for name, value in cast("list[tuple[bytes, bytes]]", scope["headers"]):
        if name == b"origin":
            return value.decode("latin-1")
    return None
