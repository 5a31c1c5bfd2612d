"""The market in the incumbent's shadow: what a switch would save, and how the canary does."""

from __future__ import annotations

from starlette.responses import Response

from sale.server.dashboard.periods import choice
from sale.server.dashboard.request_context import RequestContext
from sale.server.shadow_report import ALARMS, read_report


async def show(context: RequestContext) -> Response:
    """The page."""
    chosen = choice(context.query.get("days"), context.query.get("here"))
    store, memory = context.site.store, await context.market.memory()
    return context.render(
        "shadow",
        report=await read_report(store.shadow, memory, chosen.span.since) if store else None,
        incumbent=context.market.incumbent.name,
        chosen=chosen,
        meanings=ALARMS,
        palette=await context.site.palette(memory),
    )
