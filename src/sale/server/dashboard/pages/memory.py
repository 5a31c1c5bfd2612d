"""The memory: auctions found by text, or listed by what became of them."""

from __future__ import annotations

from typing import cast, get_args

from starlette.responses import Response

from sale.memory.records import Status
from sale.server.dashboard.request_context import RequestContext
from sale.types import Verdict

SHOWN = 25
FOUND = 25
MAX_SEARCH_CHARACTERS = 2_000


async def show(context: RequestContext) -> Response:
    """The page, or the results alone."""
    memory = await context.memory()
    text = context.query.get("q", "").strip()[:MAX_SEARCH_CHARACTERS]
    status, verdict = context.query.get("status", ""), context.query.get("verdict", "")
    agent, domain, tenant = (context.query.get(name, "") for name in ("agent", "domain", "tenant"))
    page = max(1, int(asked)) if (asked := context.query.get("page", "1")).isdecimal() and len(asked) < 9 else 1
    found = await memory.search(text, FOUND, tenant=tenant or None) if text else ()
    listed = (
        ()
        if text
        else await memory.list(
            SHOWN + 1,
            offset=(page - 1) * SHOWN,
            status=cast("Status", status) if status in get_args(Status) else None,
            verdict=cast("Verdict", verdict) if verdict in get_args(Verdict) else None,
            agent=agent or None,
            domain=domain or None,
            tenant=tenant or None,
        )
    )
    response = context.render(
        "memory_results" if context.partial else "memory",
        text=text,
        found=found,
        auctions=listed[:SHOWN],
        more=len(listed) > SHOWN,
        page=page,
        asked={"status": status, "verdict": verdict, "agent": agent, "domain": domain, "tenant": tenant},
        statuses=get_args(Status),
        verdicts=get_args(Verdict),
        agents=await memory.agent_names(),
        domains=await memory.domains(),
        tenants=await memory.tenants(),
        stats=await memory.stats(),
        palette=await context.site.palette(memory),
        first=(page - 1) * SHOWN + 1,
    )
    response.headers["vary"] = "HX-Request"
    return response
