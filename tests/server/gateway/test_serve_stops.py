"""A server that stops, or cannot go on: nothing that was answered is missing, and it says when it cannot write."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import signal
import socket
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.support.gateway_process import Served, gateway
from tests.support.preloaded import PLAIN
from tests.support.wire import Out, Request, Wire, chunk

HANG = 60.0


def post(served: Served, model: str, *, stream: bool = False) -> httpx2.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello."}], "stream": stream}
    return httpx2.post(f"{served.base_url}/chat/completions", json=body, timeout=HANG)


def ready(served: Served) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{served.origin}/readyz", timeout=HANG) as answer:
            return answer.status, str(json.load(answer)["status"])
    except urllib.error.HTTPError as error:
        return error.code, str(json.load(error)["status"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_answered_is_on_the_ledger(tmp_path: Path, number: signal.Signals) -> None:
    """The signal comes in the moment the last answer has gone out, before the next batch is written."""
    with Wire() as wire, gateway(tmp_path, [wire.agent("only")], stopped=True) as served, ThreadPoolExecutor(8) as pool:
        answers = [one.result() for one in [pool.submit(post, served, "only") for _ in range(16)]]
        served.process.send_signal(number)
        assert served.process.wait(HANG) == 0, served.said
    assert all(answer.status_code == 200 for answer in answers)
    assert len(served.lines()) == 16
    assert "Traceback" not in served.said


@pytest.mark.parametrize("leaves", [True, False])
def test_what_was_sent_before_the_signal_is_answered(tmp_path: Path, *, leaves: bool) -> None:
    """Requests that wait in the kernel when it stops: a busy server has not even accepted their connections."""
    server = {"leave_seconds": HANG if leaves else 0.0}
    with Wire() as wire, gateway(tmp_path, [wire.agent("only")], server=server, stopped=True, command=PLAIN) as served:
        if leaves:
            served.process.send_signal(signal.SIGTERM)
            assert served.wait(lambda: ready(served)[0] == 503, HANG)
        served.process.send_signal(signal.SIGSTOP)
        connections = [sent(served) for _ in range(12)]
        served.process.send_signal(signal.SIGTERM)
        served.process.send_signal(signal.SIGCONT)
        answers = [heard(one) for one in connections]
        assert served.process.wait(HANG) == 0, served.said
    assert [answer.split(b"\r\n", 1)[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * len(answers)
    assert len(served.lines()) == len(answers)


def sent(served: Served) -> socket.socket:
    """A connection on which a request has been sent."""
    host, port = served.origin.removeprefix("http://").split(":")
    body = json.dumps({"model": "only", "messages": [{"role": "user", "content": "Hello."}]})
    connection = socket.create_connection((host, int(port)), timeout=HANG)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return connection


def heard(connection: socket.socket) -> bytes:
    """All that comes, to the end."""
    with connection, contextlib.suppress(ConnectionResetError):
        return b"".join(iter(lambda: connection.recv(65536), b""))
    return b"reset"


def test_streams_may_end_and_who_takes_too_long_is_told(tmp_path: Path) -> None:
    go_on = threading.Event()

    async def ends(request: Request, out: Out) -> None:
        await out.events(chunk({"content": "one"}), done=False)
        await asyncio.to_thread(go_on.wait, HANG)
        await out.events(chunk({"content": " two"}, "stop"), head=False)

    async def never(request: Request, out: Out) -> None:
        await out.events(chunk({"content": "one"}), done=False)
        await asyncio.sleep(HANG)

    with Wire(ends=ends, never=never) as wire, ThreadPoolExecutor(2) as pool:
        agents = [wire.agent("ends"), wire.agent("never")]
        with gateway(tmp_path, agents, server={"drain_seconds": 2.0}, stopped=True) as served:
            asked = [pool.submit(post, served, name, stream=True) for name in ("ends", "never")]
            assert served.wait(lambda: len(wire.work()) == 2, HANG)
            served.process.send_signal(signal.SIGTERM)
            go_on.set()
            ended, cut = (one.result() for one in asked)
            assert served.process.wait(HANG) == 0, served.said
        assert ended.text.endswith("data: [DONE]\n\n")
        assert "server_stopped" in cut.text
        assert "[DONE]" not in cut.text
        lines = {line["model"]: line for line in served.lines()}
        assert lines["ends"]["status"] == 200
        assert (lines["never"]["status"], lines["never"]["error"]) == (503, "server_stopped")
        assert lines["never"]["work_dollars"] > 0
        assert "Traceback" not in served.said


def test_it_is_not_ready_while_nothing_can_be_written(tmp_path: Path) -> None:
    with Wire() as wire, gateway(tmp_path, [wire.agent("only")], command=PLAIN) as served:
        assert ready(served) == (200, "ready")
        # As on a full disk: no file can be written any more.
        before = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        assert served.wait(lambda: ready(served) == (503, "unavailable"), HANG)
        assert "Traceback" not in served.said
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, before)
        assert served.wait(lambda: ready(served) == (200, "ready"), HANG), "it recovers by itself"


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_it_is_not_ready_when_its_database_is_gone(tmp_path: Path, how: str) -> None:
    with Wire() as wire, gateway(tmp_path, [wire.agent("only")]) as served:
        assert ready(served) == (200, "ready")
        file = tmp_path / "server.sqlite3"
        file.rename(tmp_path / "away.sqlite3")
        if how == "replaced":
            file.touch()
        assert served.wait(lambda: ready(served) == (503, "unavailable"), HANG)
        file.unlink(missing_ok=True)
        (tmp_path / "away.sqlite3").rename(file)
        assert served.wait(lambda: ready(served) == (200, "ready"), HANG)
