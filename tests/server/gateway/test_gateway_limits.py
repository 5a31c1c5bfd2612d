"""What a connection may take before it has shown a key, over real sockets."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest

from tests.server.gateway.conftest import Gateway, Opening

HANG = 30.0
"""Whatever takes longer has no limit."""
SHORT = {"head_seconds": 0.4, "body_seconds": 0.4, "header_kb": 16, "headers": 40, "connections": 5}
REQUEST = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"


@pytest.fixture
def gateway(opening: Opening) -> Iterator[Gateway]:
    with opening(SHORT, only="good", slow="slow-1500") as running:
        yield running


@contextmanager
def connected(gateway: Gateway) -> Generator[socket.socket]:
    port = int(gateway.base.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=HANG) as found:
        yield found


def heard(found: socket.socket) -> bytes:
    """All that comes until the other side closes; it must close."""
    parts: list[bytes] = []
    with contextlib.suppress(ConnectionError):
        while data := found.recv(65536):
            parts.append(data)
    return b"".join(parts)


def status(said: bytes) -> tuple[int, str]:
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), str(json.loads(body)["error"]["code"])


def send(found: socket.socket, data: bytes) -> None:
    with contextlib.suppress(ConnectionError, TimeoutError):
        found.sendall(data)


def drip(found: socket.socket, data: Callable[[], bytes]) -> None:
    """Send a little again and again, as long as it is taken."""
    until = time.monotonic() + HANG
    found.settimeout(0.05)
    while time.monotonic() < until:
        try:
            found.sendall(data())
        except ConnectionError:
            break
        with contextlib.suppress(TimeoutError):
            if not found.recv(65536, socket.MSG_PEEK):
                break
            break  # it says something
    found.settimeout(HANG)


class TestHeads:
    @pytest.mark.parametrize(
        "head",
        [
            b"x-large: " + b"a" * 24_000_000,
            b"".join(b"x-%d: a\r\n" % number for number in range(41)),
            b"".join(b"x-%d: %s\r\n" % (number, b"a" * 1000) for number in range(30)),
        ],
        ids=["one", "many", "together"],
    )
    def test_they_are_refused_while_they_come(self, gateway: Gateway, head: bytes) -> None:
        with connected(gateway) as found, ThreadPoolExecutor(1) as pool:
            sending = pool.submit(send, found, b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n" + head + b"\r\n\r\n")
            said = heard(found)
            sending.result(HANG)
        assert status(said) == (431, "headers_too_large")

    def test_so_is_an_address(self, gateway: Gateway) -> None:
        with connected(gateway) as found:
            send(found, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            assert status(heard(found)) == (431, "headers_too_large")

    def test_so_is_what_stands_around_a_body(self, gateway: Gateway) -> None:
        """Trailers, and extensions of chunks, come when the head has been read."""
        for tail in (b"0\r\nx-trailer: " + b"a" * 1_000_000, b"5;ext=" + b"a" * 1_000_000):
            with connected(gateway) as found, ThreadPoolExecutor(1) as pool:
                sending = pool.submit(send, found, POST + b"transfer-encoding: chunked\r\n\r\n" + tail)
                said = heard(found)
                sending.result(HANG)
            assert said == b"" or status(said)[0] in {431, 408}

    def test_what_is_within_is_served(self, gateway: Gateway) -> None:
        headers = {f"x-{number}": "a" * 300 for number in range(25)}
        assert httpx2.get(f"{gateway.base}/healthz", headers=headers).status_code == 200

    def test_what_is_no_http_is_told_so(self, gateway: Gateway) -> None:
        with connected(gateway) as found:
            send(found, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
            assert status(heard(found)) == (400, "invalid_http")


class TestTime:
    @pytest.mark.parametrize("begun", [b"", b"G", b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n", b"\r\n"])
    def test_half_a_head_is_not_waited_for(self, gateway: Gateway, begun: bytes) -> None:
        with connected(gateway) as found:
            send(found, begun)
            assert status(heard(found)) == (408, "request_timeout")

    def test_a_drip_does_not_help(self, gateway: Gateway) -> None:
        with connected(gateway) as found:
            send(found, b"GET /healthz HTTP/1.1\r\nx: ")
            drip(found, lambda: b"a")
            assert status(heard(found)) == (408, "request_timeout")

    @pytest.mark.parametrize("begun", [b"", b'{"model": "only", ', b'{"x": "' + b"a" * 1_000_000])
    def test_half_a_body_is_not_waited_for(self, gateway: Gateway, begun: bytes) -> None:
        with connected(gateway) as found:
            send(found, POST + b"content-length: 2000000\r\n\r\n" + begun)
            assert status(heard(found)) == (408, "request_timeout")
        assert gateway.lines() == [], "there was no request"

    def test_a_dripping_body_is_not_waited_for(self, gateway: Gateway) -> None:
        with connected(gateway) as found:
            send(found, POST + b"transfer-encoding: chunked\r\n\r\n")
            drip(found, lambda: b"1\r\na\r\n")
            assert status(heard(found)) == (408, "request_timeout")

    def test_the_rest_of_a_body_nobody_wants_is_not_waited_for(self, gateway: Gateway) -> None:
        """A request that was answered before its body had come whole."""
        with connected(gateway) as found:
            send(found, b"POST /nowhere HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000\r\n\r\na")
            assert b" 404 " in heard(found).partition(b"\r\n")[0]

    def test_a_second_request_has_as_long_as_the_first(self, gateway: Gateway) -> None:
        with connected(gateway) as found:
            send(found, REQUEST)
            assert b" 200 " in found.recv(65536)
            send(found, b"GET /healthz HTTP/1.1\r\n")
            assert b" 408 " in heard(found)

    def test_a_pause_between_two_requests_is_longer(self, gateway: Gateway) -> None:
        with httpx2.Client(base_url=gateway.base) as client:
            assert client.get("/healthz").status_code == 200
            time.sleep(2 * SHORT["head_seconds"])
            assert gateway.state is not None
            assert client.get("/healthz").status_code == 200

    def test_an_answer_may_take_its_time(self, gateway: Gateway) -> None:
        body = {"model": "slow", "messages": [{"role": "user", "content": "Hello."}], "stream": True}
        answer = httpx2.post(f"{gateway.url}/chat/completions", json=body, timeout=HANG)
        assert answer.text.endswith("data: [DONE]\n\n")


class TestConnections:
    def test_one_address_has_so_many(self, opening: Opening) -> None:
        with opening({**SHORT, "head_seconds": 60.0}, only="good") as gateway, contextlib.ExitStack() as stack:
            first = stack.enter_context(connected(gateway))
            for _ in range(4):
                stack.enter_context(connected(gateway))
            with connected(gateway) as sixth:
                assert status(heard(sixth)) == (429, "too_many_connections")
            send(first, REQUEST.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
            assert b" 200 " in heard(first)
            until = time.monotonic() + HANG
            while httpx2.get(f"{gateway.base}/healthz").status_code == 429 and time.monotonic() < until:
                time.sleep(0.02)
            assert httpx2.get(f"{gateway.base}/healthz").status_code == 200, "who is gone does not count"
