"""The page, as a web application for one person on their own machine.

It answers to loopback names only, and changes something only for requests that come from itself: browsers say where a
form was sent from, and what does not say so is refused. Nothing is fetched from elsewhere, and the page works without
scripts: a small frame that renews itself then carries the beats and the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sale.bench.annotate.session import BEAT, SILENCE, AnnotationSession
from sale.bench.annotate.shown import lay_out
from sale.bench.annotate.verdicts import Judge, Verdicts

LOOPBACK = ("127.0.0.1", "localhost")
MAX_FORM_BYTES = 2_000_000
"""The longest form that is read."""
HEADERS = {
    # No copy is kept, so that going back cannot show a task whose clock stands still.
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
        "form-action 'self'; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
NOTICES = {
    "empty": "There is no answer yet. The clock is still running.",
    "stopped": "The clock had been stopped, so the answer was not handed in. It is kept: resume to see it.",
    "moved": "That page was out of date. This is where you are.",
}

Form = Mapping[str, str]


def clock(seconds: float) -> str:
    """A time as people read it: `4:05`, `1:04:05`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def create_app(session: AnnotationSession, judge: Judge) -> Starlette:
    """The application.

    Args:
        session: The annotator's work; the application does not close it.
        judge: Who says whether an answer is right.
    """
    site = _Handlers(session, Verdicts(session, judge))
    here = Path(__file__).parent
    return Starlette(
        routes=[
            Route("/", site.home, methods=["GET"]),
            Route("/clock", site.frame, methods=["GET"]),
            Route("/beat", site.beat, methods=["POST"]),
            Route("/{step:str}", site.step, methods=["POST"]),
            Mount("/static", StaticFiles(directory=here / "static")),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK, www_redirect=False)],
        lifespan=site.lifespan,
    )


class _Handlers:
    """The handlers."""

    def __init__(self, session: AnnotationSession, verdicts: Verdicts) -> None:
        self._session = session
        self._verdicts = verdicts
        self._templates = Environment(
            loader=PackageLoader("sale.bench.annotate"),
            undefined=StrictUndefined,
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["clock"] = clock

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncGenerator[None]:  # noqa: ARG002  the shape is Starlette's
        """Judge in the background, what is left over from before first."""
        judging = asyncio.create_task(self._verdicts.run())
        self._verdicts.wake()
        yield
        await self._verdicts.finish(judging)

    async def home(self, request: Request) -> Response:
        """The page."""
        self._session.beat()  # asking for the page is a sign of life
        return self._page("annotate", notice=NOTICES.get(request.query_params.get("notice", ""), ""))

    async def frame(self, request: Request) -> Response:
        """The clock and the beats of a page without scripts."""
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise HTTPException(403, "This frame belongs to the page.")
        current = request.query_params.get("view") == self._session.view
        if current:
            self._session.beat()
        return self._page("clock", current=current and request.query_params["view"] == self._session.view)

    async def beat(self, request: Request) -> Response:
        """A beat of a page with scripts, with what is written so far."""
        form = await _form(request)
        self._session.beat()
        if "answer" in form:
            self._session.draft(form.get("task", ""), _text(form))
        state = {"view": self._session.view, "seconds": self._session.seconds}
        return JSONResponse(state, headers=HEADERS)

    async def step(self, request: Request) -> Response:
        """Carry out the annotator's request."""
        form = await _form(request)
        task = form.get("task", "")
        notice = "" if self._session.current is not None and self._session.current.id == task else "moved"
        match request.path_params["step"]:
            case "start":
                self._session.start(task)
            case "pause":
                self._session.draft(task, _text(form))
                self._session.pause(task)
            case "resume":
                self._session.resume(task)
            case "submit":
                notice = notice or self._submit(task, _text(form))
            case "give-up":
                self._session.give_up(task)
            case "flag":
                self._session.flag(task, form.get("note", "").strip())
            case _:
                raise HTTPException(404)
        return RedirectResponse(f"/?notice={notice}" if notice else "/", status_code=303, headers=HEADERS)

    def _submit(self, task: str, answer: str) -> str:
        if self._session.submit(task, answer):
            self._verdicts.wake()
            return ""
        attempt = self._session.attempt
        return "empty" if attempt is not None and attempt.phase == "running" else "stopped"

    def _page(self, name: str, **more: object) -> Response:
        session = self._session
        task, attempt = session.current, session.attempt
        values = {
            "session": session,
            "task": task,
            "attempt": attempt,
            "tools": "" if task is None else session.tools(task),
            "shown": None if task is None else lay_out(task),
            "waiting": len(session.list_unjudged()),
            "problem": self._verdicts.problem,
            "beat": BEAT,
            "silence": SILENCE,
        }
        return HTMLResponse(self._templates.get_template(f"{name}.html.j2").render(values, **more), headers=HEADERS)


async def _form(request: Request) -> Form:
    """The fields of a form that our own page sent."""
    own = f"{request.url.scheme}://{request.headers['host']}"
    if request.headers.get("origin") != own:
        raise HTTPException(403, "This request does not come from the page itself.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(413, f"An answer may have {MAX_FORM_BYTES:,} bytes.")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except ValueError as error:
        raise HTTPException(400, "The form is not UTF-8.") from error


def _text(form: Form) -> str:
    """The answer, with the line ends of a text file: forms are sent with those of a telegraph."""
    return form.get("answer", "").replace("\r\n", "\n")
