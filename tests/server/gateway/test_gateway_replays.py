"""Requests with an `Idempotency-Key`: worked on once, paid for once, answered as often as they are sent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from sale.server.gateway import replays
from tests.server.gateway.conftest import Gateway, Opening
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG

HELLO: list[Any] = [{"role": "user", "content": "What is 6 × 7?"}]


@pytest.fixture
def slow(opening: Opening) -> Iterator[Gateway]:
    with opening(only="slow-1000") as running:
        yield running


def ask(gateway: Gateway, key: str | None = "one", *, model: str = "only", **more: Any) -> httpx2.Response:
    headers = {} if key is None else {"idempotency-key": key}
    body = {"model": model, "messages": HELLO, **more}
    timeout = more.pop("timeout", HANG)
    body.pop("timeout", None)
    return httpx2.post(f"{gateway.url}/chat/completions", json=body, headers=headers, timeout=timeout)


def test_the_same_request_has_the_same_answer_and_is_paid_for_once(opening: Opening, endpoint: Endpoint) -> None:
    with opening(only="good", large="good") as gateway:
        first, again = ask(gateway, model="sale"), ask(gateway, model="sale")
        asked = len(endpoint.requests())
        other = ask(gateway, model="sale", temperature=0.5)
        assert len(endpoint.requests()) == asked
        lines = gateway.lines()
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["x-sale-session"] == first.headers["x-sale-session"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert [line.work_dollars > 0.0 for line in lines] == [True, False]
    assert (lines[1].auction_dollars, lines[1].largest_dollars, lines[1].model) == (0.0, 0.0, "sale")
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")


def test_a_stream_is_sent_again_as_a_stream(opening: Opening, endpoint: Endpoint) -> None:
    with opening(only="good") as gateway:
        first, again = ask(gateway, stream=True), ask(gateway, stream=True)
    assert again.content == first.content
    assert again.content.endswith(b"data: [DONE]\n\n")
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len(endpoint.requests()) == 1


def test_one_that_is_under_way_is_waited_for(slow: Gateway, endpoint: Endpoint) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = [one.result() for one in [pool.submit(ask, slow) for _ in range(4)]]
    assert {answer.content for answer in answers} == {answers[0].content}
    assert sorted("idempotent-replayed" in answer.headers for answer in answers) == [False, True, True, True]
    assert len(endpoint.requests()) == 1


def test_a_client_that_left_finds_its_answer(slow: Gateway, endpoint: Endpoint) -> None:
    with pytest.raises(httpx2.TimeoutException):
        ask(slow, timeout=0.5)
    assert ask(slow).status_code == 200
    assert len(endpoint.requests()) == 1
    assert sum(line.work_dollars > 0.0 for line in slow.lines()) == 1


def test_what_failed_is_worked_on_anew(opening: Opening, endpoint: Endpoint) -> None:
    with opening(only="500-then-good") as gateway:
        assert ask(gateway).status_code == 502
        assert ask(gateway).status_code == 200
    assert len(endpoint.requests()) == 2


def test_an_answer_that_is_too_large_is_not_paid_for_twice(
    opening: Opening, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "MAX_ANSWER_BYTES", 10)
    with opening(only="good") as gateway:
        assert ask(gateway).status_code == 200
        again = ask(gateway)
        assert ask(gateway, "two").status_code == 200
    assert (again.status_code, again.json()["error"]["code"]) == (409, "idempotency_answer_gone")
    assert len(endpoint.requests()) == 2


def test_old_answers_make_room_and_are_forgotten(
    opening: Opening, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opening(only="good") as gateway:
        size = len(ask(gateway, "one").content)
        monkeypatch.setattr(replays, "MAX_BYTES", int(1.5 * size))
        assert ask(gateway, "two").status_code == 200
        assert [ask(gateway, key).status_code for key in ("one", "two")] == [409, 200]
        monkeypatch.setattr(replays, "KEPT_SECONDS", 0.0)
        time.sleep(0.01)
        assert ask(gateway, "one").status_code == 200
    assert len(endpoint.requests()) == 3


def test_each_key_of_the_gateway_has_its_own_and_a_long_one_is_refused(opening: Opening, endpoint: Endpoint) -> None:
    with opening(only="good") as gateway:
        assert gateway.store is not None
        secrets = [gateway.do(gateway.store.create_key(name))[0] for name in ("a", "b")]
        body = {"model": "only", "messages": HELLO}
        for secret in secrets:
            headers = {"authorization": f"Bearer {secret}", "idempotency-key": "one"}
            answer = httpx2.post(f"{gateway.url}/chat/completions", json=body, headers=headers, timeout=HANG)
            assert answer.status_code == 200
        headers = {"authorization": f"Bearer {secrets[0]}", "idempotency-key": "x" * 256}
        assert httpx2.post(f"{gateway.url}/chat/completions", json=body, headers=headers).status_code == 400
    assert len(endpoint.requests()) == 2
