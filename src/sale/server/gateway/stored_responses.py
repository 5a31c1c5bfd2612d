"""`GET` and `DELETE /v1/responses/{id}`, `GET /v1/responses/{id}/input_items`: responses that were kept.

A key is shown its own alone: for all others it is as if there were none.
"""

from __future__ import annotations

from typing import Any, Final, cast
from urllib.parse import parse_qsl

import orjson
from starlette.types import Receive, Scope, Send

from sale.errors import SaleError
from sale.server.gateway.errors import ApiError, as_api_error
from sale.server.gateway.exchange import Exchange
from sale.server.gateway.response_fields import read_include
from sale.server.gateway.state import GatewayState
from sale.server.store.types import Holder

Json = dict[str, Any]
Query = dict[str, list[str]]

MAX_ITEMS: Final = 100
USUAL_ITEMS: Final = 20
SHOWN_CHARACTERS: Final = 100
"""Of an id that is not known."""


class StoredResponseEndpoint:
    """One response, shown or deleted."""

    def __init__(self, state: GatewayState) -> None:
        """Nothing is opened."""
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        response_id = str(scope["path_params"]["response_id"])
        try:
            holder = await self._state.store.admit(exchange.secret)
            if scope["method"] == "DELETE":
                value = await self._delete(response_id, holder)
            else:
                _check_query(_query(scope))
                value = (await _found(self._state, response_id, holder))["response"]
        except SaleError as error:
            told = as_api_error(error)
            await exchange.reply(told.status, told.document(), told.headers)
            return
        await exchange.reply(200, orjson.dumps(value))

    async def _delete(self, response_id: str, holder: Holder) -> Json:
        if not await self._state.store.responses.delete(response_id, holder.key_id):
            raise _unknown(response_id)
        return {"id": response_id, "object": "response", "deleted": True}


class InputItemsEndpoint:
    """The input of one response, without that of the responses it goes on from."""

    def __init__(self, state: GatewayState) -> None:
        """Nothing is opened."""
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        try:
            holder = await self._state.store.admit(exchange.secret)
            query = _query(scope)
            _check_query(query)
            document = await _found(self._state, str(scope["path_params"]["response_id"]), holder)
            value = _page(cast("list[Json]", document["input"]), query)
        except SaleError as error:
            told = as_api_error(error)
            await exchange.reply(told.status, told.document(), told.headers)
            return
        await exchange.reply(200, orjson.dumps(value))


async def _found(state: GatewayState, response_id: str, holder: Holder) -> Json:
    found = await state.store.responses.find(response_id, holder.key_id)
    if found is None:
        raise _unknown(response_id)
    return found


def _unknown(response_id: str) -> ApiError:
    return ApiError(
        f"there is no response {response_id[:SHOWN_CHARACTERS]!r} here, or no longer", status=404, name="not_found"
    )


def _query(scope: Scope) -> Query:
    found: Query = {}
    for name, value in parse_qsl(cast("bytes", scope["query_string"]).decode("latin-1"), keep_blank_values=True):
        found.setdefault(name.removesuffix("[]"), []).append(value)
    return found


def _check_query(query: Query) -> None:
    """Refuse what is asked for and cannot be had.

    Raises:
        ApiError: It is.
    """
    if query.get("stream", ["false"])[-1] not in {"false", "0", ""} or "starting_after" in query:
        raise ApiError("a response that was kept is not streamed again", name="unsupported", param="stream")
    read_include(query.get("include"))


def _page(items: list[Json], query: Query) -> Json:
    """One page of a list.

    Raises:
        ApiError: The page is named wrongly.
    """
    order = query.get("order", ["desc"])[-1]
    if order not in {"asc", "desc"}:
        raise ApiError("order must be asc or desc", name="invalid_value", param="order")
    limit = query.get("limit", [str(USUAL_ITEMS)])[-1]
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MAX_ITEMS):
        raise ApiError(f"limit must be a number from 1 to {MAX_ITEMS}", name="invalid_value", param="limit")
    ordered = items if order == "asc" else items[::-1]
    if "after" in query:
        places = [place for place, item in enumerate(ordered) if item["id"] == query["after"][-1]]
        if not places:
            raise ApiError("after must be the id of an item of this response", name="invalid_value", param="after")
        ordered = ordered[places[0] + 1 :]
    shown = ordered[: int(limit)]
    ends = {"first_id": shown[0]["id"] if shown else None, "last_id": shown[-1]["id"] if shown else None}
    return {"object": "list", "data": shown, "has_more": len(shown) < len(ordered), **ends}
