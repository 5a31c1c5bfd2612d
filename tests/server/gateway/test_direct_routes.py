"""Requests of the API go straight to their endpoint; what goes wrong there is told as anywhere else."""

from __future__ import annotations

import asyncio
from typing import cast

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sale.server.app import DirectRoutes
from sale.server.gateway.chat import TurnEndpoint, read_chat
from sale.server.gateway.exchange import Exchange
from sale.server.gateway.state import GatewayState, RequestCount


class Endpoint:
    """Takes what is posted; `fail` raises."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["query_string"] == b"fail":
            raise RuntimeError("a fault of this server")
        await PlainTextResponse(f"straight, {scope.get('endpoint')}")(scope, receive, send)


class State:
    """As much of the gateway's as an endpoint of turns needs to fail."""

    def track_request(self) -> RequestCount:
        return RequestCount()


class FailingTurns(TurnEndpoint):
    """Raises for every request; for `late`, when its answer has begun."""

    async def _take(self, exchange: Exchange) -> None:
        if exchange.scope["query_string"] == b"late":
            await exchange.begin()
        raise RuntimeError("a fault of this server")


def app() -> DirectRoutes:
    async def other(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"routed {request.url.path}")

    return DirectRoutes(
        Starlette(
            routes=[
                Route("/v1/rerank", Endpoint(), methods=["POST"]),
                Route("/v1/responses", FailingTurns(cast("GatewayState", State()), read_chat), methods=["POST"]),
                Route("/v1/models/{model:path}", other, methods=["GET"]),
                Route("/keys", other, methods=["POST"]),
            ]
        )
    )


def ask(method: str, path: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app(), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(method, path)

    return asyncio.run(asked())


def test_an_endpoint_of_the_api_is_met_without_the_router() -> None:
    assert ask("POST", "/v1/rerank").text == "straight, None"


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/models/a"), ("POST", "/keys")])
def test_everything_else_is_routed(method: str, path: str) -> None:
    assert ask(method, path).text == f"routed {path}"


def test_another_method_is_refused_by_the_router() -> None:
    assert ask("GET", "/v1/rerank").status_code == 405


@pytest.mark.parametrize("path", ["/v1/rerank?fail", "/v1/responses"])
def test_a_fault_is_told_as_an_internal_error(path: str) -> None:
    answer = ask("POST", path)
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "a fault of this server" not in answer.text


def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    answer = ask("POST", "/v1/responses?late")
    assert (answer.status_code, answer.text) == (200, "")
