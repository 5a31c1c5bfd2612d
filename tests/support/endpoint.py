"""A real OpenAI-compatible HTTP server that behaves as badly as a test wants: the model's name says how.

    with Endpoint() as endpoint:
        client = AsyncOpenAI(base_url=endpoint.base_url, api_key="any")
        ...
        assert endpoint.requests("good")[0].body["max_tokens"] == 300

It speaks `/v1/chat/completions` (whole and streamed), `/v1/models` and `/v1/embeddings` over real sockets on 127.0.0.1,
from a thread of its own. A model's name is one trait or several joined by `+`, then `@` and any label to keep agents
with the same traits apart: `slow-200+no-logprobs@alice`. Traits:

    good                    plans, ballots and answers; usage; log-probabilities where they are asked for
    score-<n>               gives every plan n points
    slow-<ms>               waits that long before it answers
    hang                    never answers; ends when the client leaves
    stall                   sends half the body, then nothing more until the client leaves
    hang-as-juror, 500-as-juror, 401-as-juror
                            good, but as a juror it never answers, fails, is refused
    500-at-work             plans and judges, but fails at everything else
    cut                     closes the connection in the middle of the body
    429-then-good           429 at first (retry-after-ms: 20), then good
    429-always              429 with `Retry-After: 1`
    429-nan, 429-inf, 429-past
                            429 with a `Retry-After` that is no number, minus infinity, a date long past
    quota                   429 with the code `insufficient_quota`
    500-then-good           500 at first (retry-after-ms: 20), then good
    500-always, 503-always  just that
    500-after-<n>           n good answers, then 500
    401, 404-model          refused: the key, the model's name
    echo-key                400, with the request's own Authorization header in the message
    context-too-long        400 with the code `context_length_exceeded`
    reject-logprobs         400 where log-probabilities are asked for
    reject-schema           400 where `response_format` is sent
    reject-max-tokens       400 where `max_tokens` is sent, as OpenAI's reasoning models do
    redirect                307 to the same path at another host name (`localhost`), where the model is `good`
    malformed-json          200 and half a JSON document
    garbage                 200 and bytes that are not UTF-8
    html                    200 and a web page
    not-openai              200 and valid JSON of another shape
    error-in-200            200 and an `error` object
    raw                     200 and whatever `endpoint.raw` holds
    empty-text, null-text   no content
    empty-choices, null-choices
    refusal                 the message's `refusal` is set
    no-usage, zero-usage, negative-usage, odd-usage
    no-logprobs             answers without them
    weird-logprobs          NaN, -9999, strings, null, infinities and positive numbers among them
    truncated               half the text, finish_reason `length`
    thinking                `<think>…</think>` before the text
    thinking-cut            an unfinished `<think>` is all there is
    thinking-headless       thoughts, `</think>`, then the text: the opening tag was in the template
    reasoning-field         thoughts in `reasoning_content`
    prose-ballot, fenced-ballot, out-of-range-ballot, prose-then-ballot
    tool-caller             calls the first tool once, then answers
    tool-loops-forever      calls it at every turn
    tool-bad-arguments      calls it once with half a JSON document
    tool-unknown            calls a tool nobody offered

A model asked for a JSON schema fills it; one shown "numbered steps" plans; any other answers. `Endpoint(say=…)` puts
words of your own in its mouth. A name with a trait that is not in the table is an unknown model: 404.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.support.error_cases import refusal
from tests.support.hang import HANG
from tests.support.job_books import JobBooks
from tests.support.replies import THOUGHTS, Ask, Json, chunks, completion, embedding, text_for, tool_calls_for


@dataclass(kw_only=True)
class Received:
    """One request as it arrived, and what became of it."""

    path: str
    model: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Json
    at: float
    """`time.monotonic()` when it arrived."""
    query: str = ""
    status: int | None = None
    """`None` until, or unless, an answer was begun."""
    cancelled: bool = False
    """The client left before the answer was whole."""
    usage: Json | None = None
    """Of the answer, as far as it says any."""


@dataclass
class Endpoint:
    """The server; a context manager. `base_url` ends in `/v1`."""

    say: Callable[[Ask], str | None] | None = None
    """Words in place of the usual ones; `None` from it for the usual ones."""
    call: Callable[[Ask], list[Json] | None] | None = None
    """Tool calls in place of the usual ones; `None` from it for the usual ones."""
    raw: bytes = b"{}"
    """What models with the trait `raw` send."""
    host: str = "127.0.0.1"
    books: JobBooks = field(init=False)
    """Its batch API."""
    _received: list[Received] = field(default_factory=list[Received])
    _turns: Counter[str] = field(default_factory=Counter[str])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _socket: socket.socket | None = None
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self.books = JobBooks(answer=self._say)

    def _say(self, body: Json) -> Json:
        """What it answers to a request of a job."""
        traits = tuple(str(body["model"]).partition("@")[0].split("+"))
        ask = Ask(body=body, headers={}, traits=traits, turn=1)
        words = self.say(ask) if self.say is not None else None
        return completion(ask, words or text_for(ask), None)

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    @property
    def origin(self) -> str:
        assert self._socket is not None, "the endpoint is not running"
        return f"http://{self.host}:{self._socket.getsockname()[1]}"

    def requests(self, model: str | None = None) -> list[Received]:
        """What has arrived so far, in order; of one model if it is named."""
        with self._lock:
            return [one for one in self._received if model is None or one.model == model]

    def wait(self, condition: Callable[[], bool], seconds: float = HANG) -> bool:
        """Wait until something is so; from async code, `await asyncio.to_thread(endpoint.wait, …)`."""
        until = time.monotonic() + seconds
        while not (met := condition()) and time.monotonic() < until:
            time.sleep(0.005)
        return met

    def reset(self) -> None:
        """Forget every request and start all counts anew."""
        with self._lock:
            self._received.clear()
            self._turns.clear()
        self.say, self.call, self.raw = None, None, b"{}"
        vars(self.books).update(vars(JobBooks(answer=self._say)))

    def __enter__(self) -> Self:
        # With the protocol named, the event loop turns Nagle's algorithm off; without, every other answer takes 40 ms.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind((self.host, 0))
        config = uvicorn.Config(
            self._app(),
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="none",
            http="h11",
            loop="asyncio",
            timeout_graceful_shutdown=1,
            timeout_keep_alive=int(HANG),  # on a busy machine a client may be silent for seconds
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="test-endpoint", daemon=True
        )
        self._thread.start()
        server = self._server
        assert self.wait(lambda: server.started, HANG), "the endpoint did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        assert self._thread is not None
        assert self._socket is not None
        self._server.should_exit = True
        self._thread.join(HANG)
        self._socket.close()
        assert not self._thread.is_alive(), "the endpoint did not stop"

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/embeddings", self._embeddings, methods=["POST"]),
                Route("/v1/models", self._models, methods=["GET"]),
                *self.books.routes(),
            ]
        )

    async def _note(self, request: Request) -> tuple[Received, Ask]:
        raw = await request.body()
        body: Json = json.loads(raw) if raw else {}
        model = str(body.get("model", ""))
        received = Received(
            path=request.url.path,
            model=model,
            headers=dict(request.headers),
            body=body,
            at=time.monotonic(),
            query=request.url.query,
        )
        with self._lock:
            self._received.append(received)
            self._turns[model] += 1
            turn = self._turns[model]
        traits = tuple(model.partition("@")[0].split("+"))
        return received, Ask(body=body, headers=received.headers, traits=traits, turn=turn)

    async def _chat(self, request: Request) -> Response:
        received, ask = await self._note(request)
        response = await self._answer(ask, received, request)
        received.status = response.status_code
        return response

    async def _answer(self, ask: Ask, received: Received, request: Request) -> Response:
        wait = ask.number("slow-")
        if ask.has("hang") or (ask.has("hang-as-juror") and ask.judging) or wait is not None:
            received.cancelled = await _left(request, None if wait is None else wait / 1000)
            if received.cancelled:
                return Response(status_code=499)
        refused = refusal(ask)
        if refused is not None:
            return refused
        odd = self._no_completion(ask)
        if odd is not None:
            return odd
        words = self.say(ask) if self.say is not None else None
        calls = self.call(ask) if self.call is not None else None
        whole = completion(ask, _bent(ask, words or text_for(ask)), calls or tool_calls_for(ask))
        received.usage = whole.get("usage")
        if ask.body.get("stream"):
            return StreamingResponse(_events(ask, whole, received, request), media_type="text/event-stream")
        sent = json.dumps(whole).encode()  # NaN and Infinity go out as such: some servers really send them
        if ask.has("cut") or ask.has("stall"):
            return _Partial(sent, received, request if ask.has("stall") else None)
        return Response(sent, media_type="application/json")

    def _no_completion(self, ask: Ask) -> Response | None:
        """Two hundred, and nothing of use."""
        if ask.has("redirect") and not ask.headers.get("host", "").startswith("localhost"):
            elsewhere = f"{self.origin.replace(self.host, 'localhost')}/v1/chat/completions"
            return Response(status_code=307, headers={"location": elsewhere})
        if ask.has("malformed-json"):
            return Response(b'{"id": "chatcmpl-1", "choices": [{"message"', media_type="application/json")
        if ask.has("garbage"):
            return Response(b'{"id": "\xff\xfe\x80"}', media_type="application/json")
        if ask.has("html"):
            return Response("<html><body>Please log in.</body></html>", media_type="text/html")
        if ask.has("not-openai"):
            return JSONResponse({"ok": True, "result": "hello"})
        if ask.has("error-in-200"):
            return JSONResponse({"error": {"message": "the upstream is down", "type": "server_error", "code": 502}})
        if ask.has("raw"):
            return Response(self.raw, media_type="application/json")
        return None

    async def _embeddings(self, request: Request) -> Response:
        received, ask = await self._note(request)
        response = refusal(ask) or self._no_completion(ask) or _embedded(ask)
        received.status = response.status_code
        return response

    async def _models(self, request: Request) -> Response:
        received, _ = await self._note(request)
        received.status = 200
        return JSONResponse({"object": "list", "data": [{"id": "good", "object": "model", "owned_by": "tests"}]})


def _bent(ask: Ask, text: str) -> str:
    if ask.has("empty-text"):
        return ""
    if ask.has("thinking"):
        return f"<think>\n{THOUGHTS}\n</think>\n\n{text}"
    if ask.has("thinking-headless"):
        return f"{THOUGHTS}\n</think>\n\n{text}"
    return f"<think>\n{THOUGHTS}" if ask.has("thinking-cut") else text


async def _left(request: Request, seconds: float | None) -> bool:
    """Wait, at most so long, for the client to leave; whether it did."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
            return True
    return False


async def _events(ask: Ask, whole: Json, received: Received, request: Request) -> AsyncIterator[bytes]:
    parts = chunks(whole)
    for position, part in enumerate(parts):
        if position == len(parts) // 2 and (ask.has("cut") or ask.has("stall")):
            if ask.has("stall"):
                received.cancelled = await _left(request, None)
            raise ConnectionAbortedError
        yield f"data: {json.dumps(part)}\n\n".encode()
    yield b"data: [DONE]\n\n"


class _Partial(Response):
    """Promises the whole body, sends half of it, and then closes (or, with a request to watch, waits)."""

    def __init__(self, content: bytes, received: Received, watched: Request | None) -> None:
        super().__init__(content, media_type="application/json")
        self._received = received
        self._watched = watched

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        half = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        if self._watched is not None:
            self._received.cancelled = await _left(self._watched, None)


def _embedded(ask: Ask) -> Response:
    given = ask.body.get("input", [])
    texts: list[str] = [given] if isinstance(given, str) else given
    size = int(ask.body.get("dimensions") or 16)
    data: list[Json] = []
    for index, text in enumerate(texts):
        vector = embedding(text, size)
        packed: object = vector
        if ask.body.get("encoding_format") == "base64":
            packed = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": packed})
    tokens = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JSONResponse({"object": "list", "data": data, "model": ask.body.get("model"), "usage": usage})


@pytest.fixture(scope="session")
def running_endpoint() -> Iterator[Endpoint]:
    """One server for the whole run; tests take `endpoint`."""
    with Endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(running_endpoint: Endpoint) -> Endpoint:
    """The server, with nothing on its records."""
    running_endpoint.reset()
    return running_endpoint
