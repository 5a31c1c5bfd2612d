"""Virtual keys: who may use the gateway, for how much."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import cast, get_args

from starlette.exceptions import HTTPException
from starlette.responses import Response

from sale.errors import InputError
from sale.server.dashboard.request_context import Form, RequestContext
from sale.server.store.store import ServerStore
from sale.server.store.types import Period

MAX_NAME_CHARACTERS = 100
THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
"""A number as the pages show it, with a comma between thousands."""


async def show(context: RequestContext) -> Response:
    """The page."""
    return await _page(context)


async def create(context: RequestContext) -> Response:
    """A new key. Its secret is in this answer and nowhere else."""
    fields, store = await context.form(), _store(context)
    name = fields.get("name", "").strip()
    if not 0 < len(name) <= MAX_NAME_CHARACTERS:
        return await _page(
            context, fault=f"A key needs a name of at most {MAX_NAME_CHARACTERS} characters.", given=fields
        )
    agents = frozenset(part for part in fields.get("agents", "").replace(",", " ").split() if part)
    unknown = sorted(agents - {agent.name for agent in context.market.agents})
    if unknown:
        return await _page(context, fault=f"There is no agent {unknown[0]!r} in this market.", given=fields)
    try:
        period = fields.get("period", "")
        secret, key = await store.create_key(
            name,
            budget=_amount(fields, "budget"),
            period=cast("Period", period) if period in get_args(Period) else None,
            rpm=_count(fields, "rpm"),
            tpm=_count(fields, "tpm"),
            agents=agents or None,
            expires=_end(fields),
            tenant=fields.get("tenant", "").strip() or None,
            require=fields.get("require", "").strip() or None,
        )
    except InputError as error:
        return await _page(context, fault=str(error), given=fields)
    return await _page(context, secret=secret, made=key.name)


async def revoke(context: RequestContext) -> Response:
    """End one."""
    fields = await context.form()
    await _store(context).revoke_key(fields.get("id", ""))
    return context.redirect("/keys", done="revoked")


async def delete(context: RequestContext) -> Response:
    """Remove one for good."""
    fields = await context.form()
    await _store(context).delete_key(fields.get("id", ""))
    return context.redirect("/keys", done="deleted")


async def _page(
    context: RequestContext, *, secret: str = "", made: str = "", fault: str = "", given: Form | None = None
) -> Response:
    store = context.site.store
    found = await store.keys() if store else ()
    now = datetime.now(UTC)
    return context.render(
        "keys",
        400 if fault else 200,
        keys=sorted(found, key=lambda key: (not key.is_in_force(now), key.name)),
        in_force=any(key.is_in_force(now) for key in found),
        now=now,
        agents=[agent.name for agent in context.market.agents],
        periods=get_args(Period),
        secret=secret,
        made=made,
        fault=fault,
        given=given or {},
    )


def _store(context: RequestContext) -> ServerStore:
    if context.site.store is None:
        raise HTTPException(404, "This server keeps no keys.")
    return context.site.store


def _amount(fields: Form, name: str) -> float | None:
    """A number of a form, with commas between thousands or one before decimals; `None` where nothing was written."""
    text = fields.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(_without_thousands(text).replace(",", "."))
    except ValueError:
        value = math.nan
    if not 0 < value < 1e9:
        raise InputError(f"{name} must be a number above 0, got {text[:40]!r}")
    return value


def _end(fields: Form) -> datetime | None:
    """The time a key ends; `None` for never."""
    days = _amount(fields, "days")
    try:
        return None if days is None else datetime.now(UTC) + timedelta(days=days)
    except OverflowError:
        raise InputError(f"days must end before the year 10000, got {days:,.0f}") from None


def _count(fields: Form, name: str) -> int | None:
    amount, text = _amount(fields, name), fields.get(name, "").strip()
    if amount is not None and (not amount.is_integer() or "," in _without_thousands(text)):
        raise InputError(f"{name} must be a whole number, got {text[:40]!r}")
    return None if amount is None else int(amount)


def _without_thousands(text: str) -> str:
    return text.replace(",", "") if THOUSANDS.fullmatch(text) else text
