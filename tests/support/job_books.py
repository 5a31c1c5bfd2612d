"""OpenAI's batch API for the test endpoint: files of requests, jobs, and files of replies.

A job is done when it has been asked for `questions` times. What each request is replied is what the endpoint would have
said live; `line` and `outcome` bend that.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.hang import HANG
from tests.support.replies import Json

Refuse = Callable[[str], int | None]
"""The status with which a step is refused, if it is: `upload`, `begin`, `list`, `delete`, `end`, `content`."""


@dataclass
class JobBooks:
    """The files and jobs of an endpoint, and what it was asked to do in them."""

    answer: Callable[[Json], Json]
    """Gives a completion for the body of a request."""
    questions: int = 1
    """How often a job is asked for before it is done, that time included."""
    outcome: Callable[[int], str] = lambda number: "completed"
    """The status in which the job of this number (from 1) ends; `failed:<code>` for one that is refused as a whole."""
    line: Callable[[Json, int], tuple[int, Json] | None] | None = None
    """The status and body of a reply in the job of this number; `None` where it is not done."""
    refuse: Refuse = lambda step: None
    lose_begin: bool = False
    """A job is begun, and the connection closed without a reply."""
    hold_begin: float = 0.0
    """Seconds between the beginning of a job and the reply that says so."""
    garble: bool = False
    """The files of replies hold something else."""
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    jobs: dict[str, Json] = field(default_factory=dict[str, Json])
    done: list[Json] = field(default_factory=list[Json])
    """The body of every request that was done, which is billed."""
    begun: list[int] = field(default_factory=list[int])
    """The requests of each job."""
    events: int = 0
    """Requests of any kind that have arrived."""
    _asked: dict[str, int] = field(default_factory=dict[str, int])
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def routes(self) -> list[Route]:
        return [
            Route("/v1/files", self._upload, methods=["POST"]),
            Route("/v1/files/{id}", self._delete, methods=["DELETE"]),
            Route("/v1/files/{id}/content", self._content, methods=["GET"]),
            Route("/v1/batches", self._begin, methods=["POST"]),
            Route("/v1/batches", self._list, methods=["GET"]),
            Route("/v1/batches/{id}", self._end, methods=["GET"]),
        ]

    def wait(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + HANG
        while not condition():
            assert time.monotonic() < until, "it does not come to that"
            time.sleep(0.005)

    async def _upload(self, request: Request) -> Response:
        async with request.form() as form:
            file = form["file"]
            assert form["purpose"] == "batch"
            assert not isinstance(file, str)
            content = await file.read()
        if refused := self._refused("upload"):
            return refused
        return JSONResponse(self._file(content, str(file.filename)))

    def _file(self, content: bytes, name: str) -> Json:
        with self._lock:
            found = f"file-{len(self.files) + 1}"
            self.files[found] = content
        return {
            "id": found,
            "object": "file",
            "bytes": len(content),
            "created_at": 0,
            "filename": name,
            "purpose": "batch",
            "status": "processed",
        }

    async def _delete(self, request: Request) -> Response:
        if refused := self._refused("delete"):
            return refused
        found = self.files.pop(request.path_params["id"], None)
        return (
            JSONResponse({"id": request.path_params["id"], "object": "file", "deleted": True}) if found else _absent()
        )

    async def _content(self, request: Request) -> Response:
        if refused := self._refused("content"):
            return refused
        found = self.files.get(request.path_params["id"])
        return _absent() if found is None else Response(found, media_type="application/jsonl")

    async def _begin(self, request: Request) -> Response:
        asked: Json = await request.json()
        if refused := self._refused("begin"):
            return refused
        if asked["input_file_id"] not in self.files:
            return _absent()
        assert asked["endpoint"] == "/v1/chat/completions"
        assert asked["completion_window"] == "24h"
        requests = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        assert len({one["body"]["model"] for one in requests}) == 1, "one job has one model"
        with self._lock:
            number = len(self.jobs) + 1
            job: Json = {
                "id": f"batch_{number}",
                "object": "batch",
                "endpoint": asked["endpoint"],
                "input_file_id": asked["input_file_id"],
                "completion_window": "24h",
                "created_at": 0,
                "status": "in_progress",
                "metadata": asked["metadata"],
            }
            self.jobs[job["id"]] = job
            self.begun.append(len(requests))
        if self.hold_begin:
            await asyncio.sleep(self.hold_begin)
        if self.lose_begin:
            self.lose_begin = False
            raise ConnectionAbortedError
        return JSONResponse(job)

    async def _list(self, request: Request) -> Response:
        if refused := self._refused("list"):
            return refused
        found = sorted(self.jobs)
        after = request.query_params.get("after")
        left = found[found.index(after) + 1 :] if after else found
        page = [self.jobs[one] for one in left[:2]]
        return JSONResponse(
            {"object": "list", "data": page, "has_more": len(left) > 2, "first_id": None, "last_id": None}
        )

    async def _end(self, request: Request) -> Response:
        if refused := self._refused("end"):
            return refused
        found = request.path_params["id"]
        if found not in self.jobs:
            return _absent()
        with self._lock:
            job = self.jobs[found]
            self._asked[found] = self._asked.get(found, 0) + 1
            if job["status"] == "in_progress" and self._asked[found] >= self.questions:
                self._do(job)
            return JSONResponse(job)

    def _do(self, job: Json) -> None:
        number = list(self.jobs).index(job["id"]) + 1
        status, _, code = self.outcome(number).partition(":")
        job["status"] = status
        if status == "failed":
            job["errors"] = {"object": "list", "data": [{"code": code, "message": f"the job is refused: {code}"}]}
            return
        outputs, errors = list[Json](), list[Json]()
        for line in self.files[job["input_file_id"]].splitlines():
            asked: Json = json.loads(line)
            said = self.line(asked["body"], number) if self.line is not None else (200, self.answer(asked["body"]))
            made: Json = {"id": f"batch_req_{len(outputs)}", "custom_id": asked["custom_id"]}
            if said is None:
                made |= {"response": None, "error": {"code": "batch_expired", "message": "it was not done in time"}}
            else:
                made |= {"response": {"status_code": said[0], "request_id": "r", "body": said[1]}, "error": None}
            (outputs if said is not None and said[0] == 200 else errors).append(made)
            if said is not None and said[0] == 200:
                self.done.append(asked["body"])
        for name, lines in (("output_file_id", outputs), ("error_file_id", errors)):
            text = "\n".join(map(json.dumps, lines)) + "\n"
            job[name] = self._file(b"nonsense\n" if self.garble else text.encode(), name)["id"] if lines else None

    def _refused(self, step: str) -> Response | None:
        self.events += 1
        status = self.refuse(step)
        if status is None:
            return None
        return JSONResponse({"error": {"message": f"{step} is refused", "type": "error"}}, status_code=status)


def _absent() -> Response:
    return JSONResponse({"error": {"message": "there is no such thing", "type": "invalid_request"}}, status_code=404)
