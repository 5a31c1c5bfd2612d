"""Conversations and requests that came through the gateway."""

from __future__ import annotations

from starlette.responses import Response

from sale.server.dashboard.request_context import RequestContext

SHOWN = 50


async def show(context: RequestContext) -> Response:
    """The page."""
    store = context.site.store
    memory = await context.market.memory()
    return context.render(
        "sessions",
        sessions=await store.recent_sessions(SHOWN) if store else (),
        requests=await store.recent_requests(SHOWN) if store else (),
        keys={key.id: key.name for key in await store.keys()} if store else {},
        palette=await context.site.palette(memory),
    )
