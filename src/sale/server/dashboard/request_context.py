"""The context of every page: the visitor, the market and its memory, templates, headers, forms."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Protocol, cast
from urllib.parse import parse_qsl, quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from sale.errors import InputError, SaleError
from sale.market import Market
from sale.memory.store import AuctionMemory
from sale.server.dashboard import formatting
from sale.server.dashboard.access import Access, Visitor
from sale.server.dashboard.live_sharing import LiveSharing
from sale.server.dashboard.palette import AgentPalette
from sale.server.dashboard.settings import MarketOf
from sale.server.events import EventHub
from sale.server.store.store import ServerStore

MAX_FORM_BYTES = 100_000
"""The longest form that is read."""
NAMES_SECONDS = 60.0
"""Seconds for which the names of agents on record are not read again."""
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

Form = Mapping[str, str]
Handler = Callable[["RequestContext"], Awaitable[Response]]


def clean_value(value: object) -> object:
    """Return a template's value without control characters in text; it is escaped after."""
    return formatting.plain(value) if type(value) is str else value


class AgentNameSource(Protocol):
    """As much of a memory as the palette needs."""

    async def agent_names(self) -> tuple[str, ...]:
        """Everybody on record."""
        ...


class DashboardSite:
    """One dashboard: its surroundings and its templates."""

    def __init__(
        self,
        market_of: MarketOf,
        store: ServerStore | None,
        hub: EventHub | None,
        access: Access,
        others: LiveSharing | None = None,
    ) -> None:
        self.market_of = market_of
        self.store = store
        self.hub = hub
        self.others = others
        self.access = access
        self.version = secrets.token_hex(4)
        """Of the assets: a browser keeps them until the server starts again."""
        self._names: tuple[str, ...] = ()
        self._named_at = -NAMES_SECONDS
        self._templates = Environment(
            loader=PackageLoader("sale.server.dashboard"),
            undefined=StrictUndefined,
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=clean_value,
        )
        cast("dict[str, object]", self._templates.filters).update(formatting.FILTERS)

    def render(self, name: str, values: Mapping[str, object]) -> str:
        """A template as text."""
        return self._templates.get_template(f"{name}.html.j2").render(values)

    async def palette(self, memory: AgentNameSource | None) -> AgentPalette:
        """Colours of the pool and of everybody on record."""
        if memory is not None and monotonic() - self._named_at >= NAMES_SECONDS:
            self._names, self._named_at = await memory.agent_names(), monotonic()
        return AgentPalette([agent.name for agent in self.market_of().agents], self._names)

    def endpoint(self, handler: Handler, *, open_to_all: bool = False) -> Callable[[Request], Awaitable[Response]]:
        """A handler behind the login, with errors as pages."""

        async def answer(request: Request) -> Response:
            context = RequestContext(site=self, request=request, visitor=self.access.visitor(request))
            if not self.access.allowed_host(request):
                return context.plain(
                    "misdirected", "This dashboard has no password, so it answers to localhost only.", 421
                )
            if not self.access.allowed_way(request):
                return context.plain("refused", UNGUARDED, 403)
            if not (open_to_all or context.visitor.admitted):
                return context.to_login()
            try:
                return await handler(context)
            except HTTPException as error:
                return context.plain("refused", error.detail, error.status_code)
            except SaleError as error:
                return context.plain("wrong", str(error), 404 if isinstance(error, InputError) else 503)

        return answer


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestContext:
    """One request being answered."""

    site: DashboardSite
    request: Request
    visitor: Visitor

    @property
    def market(self) -> Market:
        """The market in force."""
        return self.site.market_of()

    async def memory(self) -> AuctionMemory:
        """The auction memory.

        Raises:
            InputError: This market has none.
        """
        memory = await self.market.memory()
        if memory is None:
            raise InputError("this market has no memory", hint="Set memory.enabled = true in sale.toml.")
        return memory

    @property
    def query(self) -> Form:
        """The query of the address."""
        return self.request.query_params

    @property
    def partial(self) -> bool:
        """True where only the results are wanted, to be put into the page that is there."""
        return self.request.headers.get("hx-request") == "true" and "hx-boosted" not in self.request.headers

    def at(self, path: str, **query: object) -> str:
        """An address of the dashboard, wherever it is mounted."""
        asked = urlencode({name: value for name, value in query.items() if value not in {None, ""}})
        return f"{self.request.scope.get('root_path', '')}{quote(path, errors='replace')}{'?' if asked else ''}{asked}"

    def render(self, name: str, status: int = 200, **values: object) -> HTMLResponse:
        """A page, with what all of them need."""
        given = {
            "at": self.at,
            "here": self.request.url.path.removeprefix(self.request.scope.get("root_path", "")),
            "token": self.site.access.token(self.visitor),
            "guarded": self.site.access.guarded,
            "admitted": self.visitor.admitted,
            "version": self.site.version,
            "done": DONE.get(self.query.get("done", ""), ""),
            "keeps": self.site.store is not None,
        }
        response = HTMLResponse(self.site.render(name, given | values), status_code=status, headers=HEADERS)
        if self.partial:
            response.headers["vary"] = "HX-Request"
        if self.visitor.new:
            self.site.access.welcome(self.request, response, self.visitor)
        return response

    def plain(self, title: str, text: str, status: int) -> Response:
        """A page that says why there is none."""
        return self.render("refusal", status, title=TITLES.get(title, title), text=text)

    def redirect(self, path: str, **query: object) -> Response:
        """To another page, after a form."""
        return RedirectResponse(self.at(path, **query), status_code=303, headers=HEADERS)

    def to_login(self) -> Response:
        """To the password, and back here after; a request for anything but a page is refused."""
        if self.request.method != "GET" or "text/html" not in self.request.headers.get("accept", "text/html"):
            return self.plain("refused", "You are not logged in, or no longer.", 401)
        back = self.request.url.path.removeprefix(self.request.scope.get("root_path", ""))
        asked = f"?{self.request.url.query}" if self.request.url.query else ""
        return self.redirect("/login", next=None if back == "/" else f"{back}{asked}")

    async def form(self) -> Form:
        """The fields of a form that a page of ours sent.

        Raises:
            HTTPException: It is not ours, too long, or no text.
        """
        body = b""
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > MAX_FORM_BYTES:
                raise HTTPException(413, f"A form may have {MAX_FORM_BYTES:,} bytes.")
        try:
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=100))
        except ValueError as error:
            raise HTTPException(400, "This is no form.") from error
        if not self.site.access.ours(self.request, self.visitor, fields.get("token", "")):
            raise HTTPException(403, "The form did not come from this page, or the page is out of date: load it again.")
        return fields


UNGUARDED = (
    "This dashboard has no password, so it answers to this machine only, and to nobody for whom a proxy asks. "
    "Set [server] password_env to serve others."
)
TITLES = {"misdirected": "Not under this name", "refused": "Refused", "wrong": "That did not work"}
DONE = {
    "judged": "Your judgement is on record.",
    "used": "Those weights decide auctions from now on.",
    "revoked": "The key is revoked.",
    "deleted": "The key is deleted.",
}
