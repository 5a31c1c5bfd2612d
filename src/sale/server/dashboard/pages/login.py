"""In and out."""

from __future__ import annotations

import math
from typing import Final
from urllib.parse import quote

from starlette.responses import Response

from sale.server.dashboard.request_context import RequestContext

_SAFE: Final = ":/%?=@[]!$&'()*+,;"
"""Characters of a query that are left as they are."""


async def show(context: RequestContext) -> Response:
    """The form; straight on for those who need none."""
    if context.visitor.admitted:
        return _go_on(context, _next(context.query.get("next")))
    return context.render("login", next=_next(context.query.get("next")), fault="")


async def enter(context: RequestContext) -> Response:
    """A password was given."""
    access, fields = context.site.access, await context.form()
    after = _next(fields.get("next"))
    address = context.request.client.host if context.request.client else ""
    if (wait := access.wait(address)) > 0:
        fault = f"Too many wrong passwords. Try again in {math.ceil(wait)} seconds."
        response = context.render("login", 429, next=after, fault=fault)
        response.headers["retry-after"] = str(math.ceil(wait))
        return response
    if not access.admits(address, fields.get("password", "")):
        return context.render("login", 403, next=after, fault="That is not the password.")
    answer = _go_on(context, after)
    access.welcome(context.request, answer, context.visitor, login=True)
    return answer


async def leave(context: RequestContext) -> Response:
    """Out."""
    await context.form()
    answer = context.redirect("/login")
    context.site.access.forget(context.request, answer)
    return answer


def _go_on(context: RequestContext, after: str) -> Response:
    """To a page of this site and what it was asked."""
    path, _, query = after.partition("?")
    answer = context.redirect(path)
    if query:
        answer.headers["location"] += f"?{quote(query, safe=_SAFE)}"
    return answer


def _next(path: str | None) -> str:
    """Where to go after: a page of this site, whatever the address says."""
    local = path is not None and path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if path is not None and local and path.isprintable() else "/"
