"""A load generator in a process of its own: so many connections, each asking again as soon as it is answered.

    echo '{"body": {…}, "stream": true}' | python -m benchmarks.gateway.load --port 18440 --pid 123 --connections 16

It sends the `LoadRequest` on standard input as fast as it is answered, and prints what it `Measured` as JSON.
Latencies are of whole answers, in milliseconds; a stream also has the time to its first token and the times
between arrivals. With `opening`, every connection first opens a session with it, which is not measured, and then sends
the body with that session's id.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import cast

from pydantic import TypeAdapter
from typing_extensions import override

from benchmarks.gateway.processes import Watched

Json = dict[str, object]
PATIENCE = 30.0
"""Seconds an answer may take once no more are begun; then it counts as an error."""
OPENINGS = 8
"""Sessions opened at a time."""
MAX_ERRORS = 50
"""One connection gives up after so many."""


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """What is sent."""

    body: Json
    stream: bool = False
    headers: dict[str, str] = field(default_factory=dict[str, str])
    opening: Json | None = None
    path: str = "/v1/chat/completions"
    end: str = "data: [DONE]"
    """What the end of a whole stream has, and nothing before it."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Of a sample, in milliseconds; `None` where there was none."""

    p50: float | None
    p90: float | None
    p99: float | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was seen."""

    requests: int
    seconds: float
    errors: dict[str, int]
    latency: Spread
    first_token: Spread
    between: Spread
    server_cpu_seconds: float
    """Of the server asked, while it was measured."""


@dataclass
class Tally:
    """Figures as they come in, in seconds."""

    whole: list[float] = field(default_factory=list[float])
    first: list[float] = field(default_factory=list[float])
    between: list[float] = field(default_factory=list[float])
    errors: Counter[str] = field(default_factory=Counter[str])
    until: float = 0.0
    most: int = sys.maxsize
    """Requests to begin at most."""
    begun: int = 0


class Client(asyncio.Protocol):
    """One connection. `done` is set when it has stopped asking."""

    def __init__(self, request: bytes, tally: Tally, *, end: bytes | None) -> None:
        self._request = request
        self._tally = tally
        self._end = end
        self._transport: asyncio.Transport | None = None
        self._asking = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.session = ""
        self._clear()

    def _clear(self) -> None:
        self._head = b""
        self._tail = b""
        self._status = b""
        self._left = -1
        """Bytes of the body to come; -1 where it is chunked."""
        self._began = self._last = 0.0
        self._seen_token = self._seen_end = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def _next(self) -> None:
        tally = self._tally
        now = time.perf_counter()
        if self._transport is None or now >= tally.until or tally.begun >= tally.most:
            self._stop()
            return
        tally.begun += 1
        self._clear()
        self._began = now
        self._asking = True
        self._transport.write(self._request)

    def _stop(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        if self._transport is not None:
            self._transport.close()

    @override
    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self._status:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            data = self._head[end + 4 :]
            self._begin(self._head[:end])
        if self._end is not None and b"data: " in data:
            self._seen_end = self._seen_end or self._end in self._tail + data
            self._frame(data, now)
        self._tail = (self._tail + data)[-64:]
        if self._left >= 0:
            self._left -= len(data)
        if self._left == 0 or (self._left < 0 and self._tail.endswith(b"0\r\n\r\n")):
            self._finish(now)

    def _begin(self, head: bytes) -> None:
        self._status = head[9:12]
        lines = dict(line.split(b":", 1) for line in head.lower().split(b"\r\n")[1:] if b":" in line)
        self._left = int(lines[b"content-length"]) if b"content-length" in lines else -1
        if not self.session:
            self.session = lines.get(b"x-sale-session", b"").strip().decode()

    def _frame(self, data: bytes, now: float) -> None:
        if not self._seen_token:
            if b'"a"' in data:  # the first word of the upstream's answer
                self._seen_token = True
                self._tally.first.append(now - self._began)
        else:
            self._tally.between.append(now - self._last)
        self._last = now

    def _finish(self, now: float) -> None:
        self._asking = False
        if self._status != b"200":
            self._tally.errors[self._status.decode()] += 1
        elif self._end is not None and not self._seen_end:
            self._tally.errors["no end of the stream"] += 1
        else:
            self._tally.whole.append(now - self._began)
        if self._tally.errors.total() > MAX_ERRORS:
            self._stop()
        else:
            self._next()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._asking:
            self._tally.errors["connection lost"] += 1
        self._stop()


def written(asked: LoadRequest, port: int, session: str = "", *, body: Json | None = None) -> bytes:
    """The request as bytes."""
    content = json.dumps(asked.body if body is None else body).encode()
    headers = {
        "host": f"127.0.0.1:{port}",
        "content-type": "application/json",
        "content-length": str(len(content)),
        **asked.headers,
    }
    if session:
        headers["x-sale-session"] = session
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {asked.path} HTTP/1.1\r\n{lines}\r\n".encode() + content


async def _ask_until(port: int, request: bytes, tally: Tally, *, end: bytes | None) -> str:
    """One connection's work; a server that closes it is connected to again. The session it was told of."""
    session = ""
    while time.perf_counter() < tally.until and tally.begun < tally.most and tally.errors.total() <= MAX_ERRORS:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: Client(request, tally, end=end), "127.0.0.1", port)
        try:
            async with asyncio.timeout(max(0.0, tally.until - time.perf_counter()) + PATIENCE):
                await client.done
        except TimeoutError:
            tally.errors["timeout"] += 1
        session = session or client.session
    return session


async def _open(port: int, asked: LoadRequest, connections: int) -> list[str]:
    """A session for every connection."""
    sessions: list[str] = []
    gate = asyncio.Semaphore(OPENINGS)

    async def one() -> None:
        async with gate:
            tally = Tally(until=time.perf_counter() + PATIENCE, most=1)
            request = written(asked, port, body=asked.opening)
            session = await _ask_until(port, request, tally, end=None)
        if not session:
            raise SystemExit(f"no session could be opened: {dict(tally.errors)}")
        sessions.append(session)

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one())
    return sessions


async def load(
    server: Watched, asked: LoadRequest, connections: int, seconds: float, most: int = sys.maxsize
) -> Measured:
    """Ask until the time, or the number of requests, is used up."""
    port = server.port
    sessions = await _open(port, asked, connections) if asked.opening is not None else [""] * connections
    requests = [written(asked, port, session) for session in sessions]
    end = asked.end.encode() if asked.stream else None
    warm = Tally(until=time.perf_counter() + min(1.0, seconds / 3))
    tally = Tally(most=most)
    cpu = began = 0.0
    for kept in (warm, tally):
        began, cpu = time.perf_counter(), server.cpu_seconds
        if kept is tally:
            tally.until = began + seconds
        async with asyncio.TaskGroup() as group:
            for request in requests:
                group.create_task(_ask_until(port, request, kept, end=end))
    return Measured(
        requests=len(tally.whole),
        seconds=time.perf_counter() - began,
        errors=dict(tally.errors),
        latency=spread(tally.whole),
        first_token=spread(tally.first),
        between=spread(tally.between),
        server_cpu_seconds=round(server.cpu_seconds - cpu, 3),
    )


def spread(seconds: list[float]) -> Spread:
    """Percentiles, in milliseconds."""
    ordered = sorted(seconds)

    def at(share: float) -> float | None:
        return round(1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4) if ordered else None

    return Spread(p50=at(0.5), p90=at(0.9), p99=at(0.99), count=len(ordered))


def main() -> None:
    """Read what to ask, ask it, print what was measured."""
    parser = argparse.ArgumentParser(description="Load on an OpenAI-compatible server of this machine.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, required=True, help="The server's process.")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--most", type=int, default=sys.maxsize)
    given = parser.parse_args()
    asked = TypeAdapter(LoadRequest).validate_json(sys.stdin.read())
    measured = asyncio.run(
        load(Watched(pid=given.pid, port=given.port), asked, given.connections, given.seconds, given.most)
    )
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    main()
