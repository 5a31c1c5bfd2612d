"""`GET /v1/models` and `/v1/models/{id}`: the market, and each agent for direct use.

Clients that send `anthropic-version` are told in Anthropic's form, all others in OpenAI's.
"""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
from starlette.types import Receive, Scope, Send

from sale.errors import SaleError
from sale.server.gateway.errors import as_api_error, unknown_model
from sale.server.gateway.exchange import Exchange
from sale.server.gateway.state import GatewayState

BEGAN = 1_767_225_600
"""The protocol wants a time of creation; models have none here."""


class ModelsEndpoint:
    """Both addresses."""

    def __init__(self, state: GatewayState) -> None:
        """Nothing is opened."""
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """List the models a key may use, or show one of them."""
        exchange = Exchange(scope, receive, send)
        try:
            holder = await self._state.store.admit(exchange.secret)
            names = self._state.handle.list_models(holder.agents)
            wanted: str | None = scope.get("path_params", {}).get("model")
            if wanted is not None and wanted not in names:
                raise unknown_model(wanted, names)
        except SaleError as error:
            told = as_api_error(error)
            await exchange.reply(told.status, told.document(), told.headers)
            return
        anthropic = exchange.header(b"anthropic-version") is not None
        shown = _as_anthropic if anthropic else _as_openai
        ends = {"has_more": False, "first_id": names[0], "last_id": names[-1]} if anthropic else {"object": "list"}
        value = shown(wanted) if wanted is not None else {"data": [shown(name) for name in names], **ends}
        await exchange.reply(200, orjson.dumps(value))


def _as_openai(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": BEGAN, "owned_by": "sale"}


def _as_anthropic(name: str) -> dict[str, object]:
    made = datetime.fromtimestamp(BEGAN, UTC).isoformat()
    return {"type": "model", "id": name, "display_name": name, "created_at": made, "lifecycle": "active"}
