"""The server as one ASGI application: the gateway, health, and what else is mounted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sale.server.browsers import BrowserAccess
from sale.server.gateway.api_paths import UNSERVED, ApiPaths, is_api_path
from sale.server.gateway.chat import MEGABYTE, TurnEndpoint, read_chat
from sale.server.gateway.embeddings import EmbeddingsEndpoint
from sale.server.gateway.error_forms import error_response
from sale.server.gateway.errors import ApiError, internal_error, no_route_error
from sale.server.gateway.feedback import FeedbackEndpoint
from sale.server.gateway.messages.endpoint import CountTokensEndpoint, MessagesReader
from sale.server.gateway.models import ModelsEndpoint
from sale.server.gateway.openapi import openapi
from sale.server.gateway.passthrough import PassThroughEndpoint
from sale.server.gateway.responses import ResponseReader
from sale.server.gateway.state import GatewayState
from sale.server.gateway.stored_responses import InputItemsEndpoint, StoredResponseEndpoint
from sale.server.gateway.unserved import UnservedEndpoint
from sale.server.guard import OriginGuard
from sale.server.loops import LoopGuard
from sale.server.observing.traces import Traces
from sale.server.observing.watching import TracedApp
from sale.server.probe import WriteProbe
from sale.server.store.store import ServerStore

JSON = "application/json"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def create_app(state: GatewayState, *, routes: Sequence[BaseRoute] = ()) -> Starlette:
    """The application. Its lifespan opens the gateway's state and closes it.

    Args:
        state: The gateway's state.
        routes: Of other parts: dashboard, metrics.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with state:
            yield

    return Starlette(
        routes=[*gateway_routes(state), *health_routes(state), *routes],
        lifespan=lifespan,
        exception_handlers={HTTPException: _no_route, Exception: _failed},
    )


def wrap_app(
    app: Starlette,
    state: GatewayState,
    store: ServerStore,
    traces: Traces | None = None,
    *,
    has_password: bool = False,
) -> ASGIApp:
    """The application as it meets the world: addresses without `/v1`, origins of pages, requests in circles, traces.

    Args:
        app: From `create_app`.
        state: The gateway's state.
        store: Knows whether there are keys.
        traces: Where requests are traced; nowhere unless given.
        has_password: True where the dashboard asks for one.
    """

    def origins() -> tuple[str, ...]:
        return state.settings.cors_origins

    direct = DirectRoutes(app)
    traced = TracedApp(direct, traces) if traces else direct
    guarded = OriginGuard(LoopGuard(traced), store, origins, has_password=has_password)
    return ApiPaths(BrowserAccess(guarded, origins))


class DirectRoutes:
    """An ASGI application whose requests of the API go straight to their endpoint, where an address has but one.

    The router would compare each with some thirty patterns, one after the other.
    """

    def __init__(self, app: Starlette) -> None:
        """Around `app`, which has all other addresses."""
        self._app = app
        self._endpoints: dict[str, ASGIApp] = {
            route.path: route.app if _tells_faults(route) else ServerErrorMiddleware(route.app, handler=_failed)
            for route in app.routes
            if isinstance(route, Route) and route.methods == {"POST"} and is_api_path(route.path)
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        straight = scope["type"] == "http" and scope["method"] == "POST"
        endpoint = self._endpoints.get(scope["path"]) if straight else None
        return (endpoint or self._app)(scope, receive, send)


def _tells_faults(route: Route) -> bool:
    """Return whether a route's endpoint answers its client also where it fails, so that nothing around it has to."""
    return isinstance(route.endpoint, TurnEndpoint)


def gateway_routes(state: GatewayState) -> list[BaseRoute]:
    """The APIs of OpenAI and Anthropic, and feedback."""
    models = ModelsEndpoint(state)
    messages = MessagesReader(lambda: state.settings.body_mb * MEGABYTE)
    responses = ResponseReader(state.store, lambda: state.settings.body_mb * MEGABYTE)
    # Before the others: `/v1/responses/compact` is not a response's address.
    unserved = [
        Route(f"/v1/{name}{rest}", UnservedEndpoint(state, name), methods=METHODS)
        for name in UNSERVED
        for rest in ("", "/{rest:path}")
        if (name, rest) != ("chat/completions", "")
    ]
    return [
        *unserved,
        Route("/v1/chat/completions", TurnEndpoint(state, read_chat), methods=["POST"]),
        Route("/v1/responses", TurnEndpoint(state, responses.read), methods=["POST"]),
        Route("/v1/responses/{response_id}", StoredResponseEndpoint(state), methods=["GET", "DELETE"]),
        Route("/v1/responses/{response_id}/input_items", InputItemsEndpoint(state), methods=["GET"]),
        Route("/v1/messages", TurnEndpoint(state, messages.read), methods=["POST"]),
        Route("/v1/messages/count_tokens", CountTokensEndpoint(state), methods=["POST"]),
        Route("/v1/embeddings", EmbeddingsEndpoint(state), methods=["POST"]),
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{model:path}", models, methods=["GET"]),
        Route("/v1/completions", PassThroughEndpoint(state, "completions"), methods=["POST"]),
        Route("/v1/rerank", PassThroughEndpoint(state, "rerank"), methods=["POST"]),
        Route("/v1/feedback", FeedbackEndpoint(state), methods=["POST"]),
    ]


def health_routes(state: GatewayState) -> list[BaseRoute]:
    """Three addresses.

    `/healthz`: the process answers. `/readyz`: it takes work and can write it down. `/openapi.json`: what there is.
    """

    async def healthy(_: Request) -> Response:
        return Response(orjson.dumps({"status": "ok"}), media_type=JSON)

    async def ready(_: Request) -> Response:
        if state.leaving or state.draining:
            return Response(orjson.dumps({"status": "draining"}), 503, media_type=JSON)
        if not await probe.is_writable():
            told = {"status": "unavailable", "reason": "the server's records cannot be written"}
            return Response(orjson.dumps(told), 503, media_type=JSON)
        return Response(orjson.dumps({"status": "ready", "sessions": len(state.sessions)}), media_type=JSON)

    probe = WriteProbe(state.store.probe)
    described = orjson.dumps(openapi())

    async def description(_: Request) -> Response:
        return Response(described, media_type=JSON)

    return [
        Route("/openapi.json", description, methods=["GET"]),
        Route("/healthz", healthy, methods=["GET"]),
        Route("/readyz", ready, methods=["GET"]),
    ]


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    if status == 404:
        told = no_route_error(request.url.path)
    elif status == 405:
        told = ApiError(f"{request.method} is not for {request.url.path}", status=405, name="method_not_allowed")
    else:
        told = ApiError("the request cannot be answered", status=status)
    return _response(request, told, headers)


async def _failed(request: Request, _: Exception) -> Response:
    return _response(request, internal_error())


def _response(request: Request, told: ApiError, headers: Mapping[str, str] | None = None) -> Response:
    """An error in the form of the protocol that the request's path belongs to."""
    document, own = error_response(request.url.path, told)
    sent = {name.decode(): value.decode() for name, value in own} | dict(headers or {})
    return Response(document, told.status, media_type=JSON, headers=sent)
