"""The dashboard: pages over the auction memory, live events and the server's store, for people.

app = Starlette(routes=[*api_routes, *routes(lambda: market, store, hub, DashboardSettings(password="…"))])
"""

from __future__ import annotations

from pathlib import Path

from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from sale.server.dashboard.access import Access
from sale.server.dashboard.live_sharing import LiveSharing
from sale.server.dashboard.pages import (
    agents,
    auction,
    keys,
    live,
    login,
    memory,
    money,
    pareto,
    sessions,
    shadow,
    weights,
)
from sale.server.dashboard.request_context import HEADERS, DashboardSite, Handler
from sale.server.dashboard.settings import DashboardSettings, MarketOf
from sale.server.events import EventHub
from sale.server.store.store import ServerStore

__all__ = ["DashboardSettings", "routes"]


def routes(
    market_of: MarketOf,
    store: ServerStore | None,
    hub: EventHub | None,
    settings: DashboardSettings,
    others: LiveSharing | None = None,
) -> list[BaseRoute]:
    """The routes of the dashboard, `/` among them; to be mounted after those of the gateway.

    Args:
        market_of: Gives the market in force, whose memory is shown.
        store: What the server keeps; without it there are no sessions, requests and keys to see.
        hub: Auctions as they happen; without it the live page follows the memory alone, every other second.
        settings: The password, and how long a login lasts.
        others: Auctions at other gateways; without it the live page knows of them what the memory does.
    """
    site = DashboardSite(market_of, store, hub, Access(settings), others)
    return [
        _get(site, "/", live.show),
        _get(site, "/live", live.events),
        _get(site, "/auctions/{id:path}", auction.show),
        _post(site, "/auctions/{id:path}/feedback", auction.judge),
        _get(site, "/agents", agents.show),
        _get(site, "/money", money.show),
        _get(site, "/pareto", pareto.show),
        _get(site, "/memory", memory.show),
        _get(site, "/weights", weights.show),
        _post(site, "/weights/use", weights.use),
        _get(site, "/sessions", sessions.show),
        _get(site, "/shadow", shadow.show),
        _get(site, "/keys", keys.show),
        _post(site, "/keys/create", keys.create),
        _post(site, "/keys/revoke", keys.revoke),
        _post(site, "/keys/delete", keys.delete),
        Route("/login", site.endpoint(login.show, open_to_all=True), methods=["GET"], include_in_schema=False),
        Route("/login", site.endpoint(login.enter, open_to_all=True), methods=["POST"], include_in_schema=False),
        _post(site, "/logout", login.leave),
        Mount("/static", _Assets(directory=Path(__file__).parent / "static"), name="dashboard-static"),
    ]


class _Assets(StaticFiles):
    """Style and scripts, with the headers of all else; kept by browsers, under an address that a restart changes."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update({**HEADERS, "cache-control": "public, max-age=86400"})
        return response


def _get(site: DashboardSite, path: str, handler: Handler) -> Route:
    return Route(path, site.endpoint(handler), methods=["GET"], include_in_schema=False)


def _post(site: DashboardSite, path: str, handler: Handler) -> Route:
    return Route(path, site.endpoint(handler), methods=["POST"], include_in_schema=False)
