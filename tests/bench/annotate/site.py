"""The page over real HTTP, with a clock that a test can move, and tasks to solve."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
import uvicorn

from sale.bench.annotate.events import Stamp
from sale.bench.annotate.page import create_app
from sale.bench.annotate.session import AnnotationSession
from sale.bench.annotate.shown import usual_tools
from sale.bench.annotate.verdicts import Judge
from sale.bench.tasks.schema import BenchTask, HumanTime
from tests.support.hang import HANG


def task(own: str = "capital", kind: str = "short", prompt: str = "What is the capital of France?") -> BenchTask:
    return BenchTask.model_validate(
        {
            "id": f"made/{own}",
            "domain": "search" if kind == "short" else "coding",
            "source": "made",
            "split": "dev",
            "kind": kind,
            "prompt": prompt,
            "reference": {"short": "Paris", "choice": "B", "tests": None}[kind],
            "tests": "assert double(2) == 4" if kind == "tests" else None,
            "time": HumanTime(provenance="made for a test"),
            "licence": "CC0-1.0",
        }
    )


CHOICE = (
    "What is 1 + 1?\n\n```python\nA. is_no(option)\n```\n\n"
    "A. one\nB. two,\n   or II\nC. `three`\n\nAnswer with the letter."
)
THREE = (
    task(),
    task("double", "tests", "Write double(x).\n\n```python\nassert double(2) == 4\n```"),
    task("sum", "choice", CHOICE),
)


class Clock:
    """Both clocks, standing still until moved."""

    def __init__(self, mono: float = 1000.0) -> None:
        self.mono = mono
        self.wall = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> Stamp:
        return Stamp(mono=self.mono, wall=self.wall)

    def work(self, seconds: float) -> None:
        self.mono += seconds
        self.wall += timedelta(seconds=seconds)

    def sleep(self, seconds: float) -> None:
        """The machine is suspended: only the wall clock goes on."""
        self.wall += timedelta(seconds=seconds)


def session(
    record: Path, clock: Callable[[], Stamp], tasks: Sequence[BenchTask] = (task(),), name: str = "ada"
) -> AnnotationSession:
    return AnnotationSession(tasks, name, record, tools=usual_tools, clock=clock)


def lines(record: Path, *kinds: str) -> list[dict[str, Any]]:
    """Of these kinds; all without any."""
    found = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    return [line for line in found if not kinds or line["kind"] in kinds]


async def says_paris(task: BenchTask, answer: str) -> bool | None:
    return None if answer == "?" else answer.strip().lower() in {"paris", "b"} or "2 * x" in answer


class Site:
    """The page of one session, served from a thread."""

    def __init__(self, served: AnnotationSession, judge: Judge = says_paris, port: int = 0) -> None:
        self.session = served
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        settings = uvicorn.Config(
            create_app(served, judge), log_level="warning", ws="none", http="h11", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self.port = self._socket.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.client = httpx2.Client(base_url=self.address, trust_env=False, timeout=HANG)

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait(lambda: self._server.started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(HANG)
        self._socket.close()
        self.session.close()
        assert not self._thread.is_alive()

    def wait(self, condition: Callable[[], object]) -> None:
        until = time.monotonic() + HANG
        while not condition():
            assert time.monotonic() < until, "it did not come to pass"
            time.sleep(0.01)

    def page(self) -> str:
        reply = self.client.get("/")
        assert reply.status_code == 200
        return reply.text

    def post(self, step: str, task: str | None = None, origin: str | None = None, **fields: str) -> httpx2.Response:
        """As the page's own form would, at the current task unless another is named."""
        current = self.session.current
        data = {"task": task if task is not None else current.id if current else "", **fields}
        return self.client.post(f"/{step}", data=data, headers={"origin": origin or self.address})

    def view(self) -> str:
        found = re.search(r'data-view="([^"]+)"', self.page())
        assert found
        return found[1]
