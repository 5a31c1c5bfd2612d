"""Conversations and requests that came through the gateway."""

from __future__ import annotations

from starlette.responses import Response

from sale.server.dashboard.desk import Desk

SHOWN = 50


async def show(desk: Desk) -> Response:
    """The page."""
    store = desk.site.store
    memory = await desk.market.memory()
    return desk.render(
        "sessions",
        sessions=await store.recent_sessions(SHOWN) if store else (),
        requests=await store.recent_requests(SHOWN) if store else (),
        keys={key.id: key.name for key in await store.keys()} if store else {},
        palette=await desk.site.palette(memory),
    )
