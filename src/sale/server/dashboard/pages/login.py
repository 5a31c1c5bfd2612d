"""In and out."""

from __future__ import annotations

import math

from starlette.responses import Response

from sale.server.dashboard.desk import Desk


async def show(desk: Desk) -> Response:
    """The form; straight on for those who need none."""
    if desk.visitor.admitted:
        return desk.redirect(_next(desk.query.get("next")))
    return desk.render("login", next=_next(desk.query.get("next")), fault="")


async def enter(desk: Desk) -> Response:
    """A password was given."""
    access, fields = desk.site.access, await desk.form()
    after = _next(fields.get("next"))
    address = desk.request.client.host if desk.request.client else ""
    if (wait := access.wait(address)) > 0:
        fault = f"Too many wrong passwords. Try again in {math.ceil(wait)} seconds."
        response = desk.render("login", 429, next=after, fault=fault)
        response.headers["retry-after"] = str(math.ceil(wait))
        return response
    if not access.admits(address, fields.get("password", "")):
        return desk.render("login", 403, next=after, fault="That is not the password.")
    path, _, query = after.partition("?")
    answer = desk.redirect(path)
    if query:
        answer.headers["location"] += f"?{query}"
    access.welcome(desk.request, answer, desk.visitor, login=True)
    return answer


async def leave(desk: Desk) -> Response:
    """Out."""
    await desk.form()
    answer = desk.redirect("/login")
    desk.site.access.forget(desk.request, answer)
    return answer


def _next(path: str | None) -> str:
    """Where to go after: a page of this site, whatever the address says."""
    local = path is not None and path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if path is not None and local and path.isprintable() else "/"
