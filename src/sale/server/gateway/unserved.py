"""Addresses that clients know and that are not served: refused with a sentence that says what to do."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from sale.errors import SaleError
from sale.server.gateway.api_paths import PREFIX, UNSERVED
from sale.server.gateway.error_forms import error_response
from sale.server.gateway.errors import ApiError, as_api_error
from sale.server.gateway.exchange import Exchange
from sale.server.gateway.state import GatewayState


class UnservedEndpoint:
    """An ASGI application that refuses one address and all below it."""

    def __init__(self, state: GatewayState, name: str) -> None:
        """Nothing is opened.

        Args:
            state: The gateway's state.
            name: One of `UNSERVED`.
        """
        self._state = state
        self._sentence = f"{PREFIX}/{name} is not served here; {UNSERVED[name]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse one request, once its key is known."""
        exchange = Exchange(scope, receive, send)
        try:
            await self._state.store.admit(exchange.secret)
            raise ApiError(self._sentence, status=404, name="not_served")
        except SaleError as error:
            told = as_api_error(error)
            await exchange.reply(told.status, *error_response(exchange.path, told))
