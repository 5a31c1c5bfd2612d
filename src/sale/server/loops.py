"""An agent's endpoint may be a gateway, or lead back to this one: a request that went in circles would never end."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, cast

from starlette.types import ASGIApp, Receive, Scope, Send

from sale.models.hops import HEADER, enter_gateway
from sale.server.gateway.api_paths import is_api_path
from sale.server.gateway.error_forms import error_response
from sale.server.gateway.errors import ApiError
from sale.server.gateway.exchange import Exchange

MAX_GATEWAYS: Final = 2
"""Gateways that a request may pass one after the other: one of a team that asks one of its company, say."""
DIGITS: Final = 4
NAME: Final = HEADER.encode()


class LoopGuard:
    """An ASGI application that refuses requests which have passed enough gateways, and counts this one for the next."""

    def __init__(self, app: ASGIApp) -> None:
        """Around `app`."""
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or not is_api_path(scope["path"]):
            return self._app(scope, receive, send)
        passed = _gateways_passed(scope)
        if passed < MAX_GATEWAYS:
            enter_gateway(passed)
            return self._app(scope, receive, send)
        error = ApiError(
            f"this request has passed {passed} gateways already: an agent's endpoint may be a gateway it came from",
            status=403,
            name="too_many_gateways",
        )
        return Exchange(scope, receive, send).reply(error.status, *error_response(str(scope["path"]), error))


def _gateways_passed(scope: Scope) -> int:
    """Return the gateways that a request says it has passed; other values count as none."""
    for name, value in cast("list[tuple[bytes, bytes]]", scope["headers"]):
        if name == NAME and value.isdigit():
            return int(value[:DIGITS])
    return 0
