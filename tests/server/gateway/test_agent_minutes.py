"""An agent whose settings give it so many tokens a minute is not asked beyond them: another one is."""

from __future__ import annotations

import math

import httpx2

from tests.server.gateway.conftest import Gateway, Serving
from tests.support.hang import HANG
from tests.support.replies import Json
from tests.support.wire import Wire

ALWAYS = {"allowance": math.inf}
"""Every conversation is auctioned, and the cheap agent wins."""
LIMIT = 1000


def ask(gateway: Gateway, words: str, *, model: str = "sale", **more: object) -> httpx2.Response:
    body: Json = {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": 700, **more}
    return httpx2.post(f"{gateway.url}/chat/completions", json=body, timeout=HANG)


def test_what_is_used_up_goes_to_another_and_comes_back_with_the_count(serving: Serving) -> None:
    with Wire() as wire:
        small = wire.agent("small", tokens_per_minute=LIMIT)
        with serving(small, wire.agent("large", price=10.0), auction=ALWAYS) as gateway:
            # Set aside are the 700 tokens an answer may have; used are far fewer, so a second one fits again.
            assert [ask(gateway, "Hello", model="small").status_code for _ in range(3)] == [200, 200, 200]
            refused = ask(gateway, "Hello " * 400, model="small", n=2)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "agent_minute_used_up")
            assert "tokens_per_minute" in refused.json()["error"]["message"]
            assert 0 < float(refused.headers["retry-after"]) <= 60
            assert len(wire.work("small")) == 3
            answer = ask(gateway, "Hello " * 400, n=2)
            assert (answer.status_code, answer.headers["x-sale-agent"]) == (200, "large")
            assert len(wire.work("small")) == 3, "it was not asked"


def test_a_conversation_goes_on_elsewhere_while_the_minute_of_its_agent_is_used_up(serving: Serving) -> None:
    with Wire() as wire:
        small = wire.agent("small", tokens_per_minute=LIMIT)
        with serving(small, wire.agent("large", price=10.0), auction=ALWAYS) as gateway:
            first = ask(gateway, "Hello")
            assert first.headers["x-sale-agent"] == "small"
            named = {"x-sale-session": first.headers["x-sale-session"]}
            body: Json = {"model": "sale", "messages": [{"role": "user", "content": "And?"}], "max_tokens": 5000}
            later = httpx2.post(f"{gateway.url}/chat/completions", json=body, headers=named, timeout=HANG)
            assert (later.status_code, later.headers["x-sale-agent"]) == (200, "large")
            assert gateway.lines()[-1].agent == "large"


def test_where_there_is_nobody_else_the_client_is_told_when_to_come_again(serving: Serving) -> None:
    with Wire() as wire, serving(wire.agent("small", tokens_per_minute=LIMIT), auction=ALWAYS) as gateway:
        assert ask(gateway, "Hello").status_code == 200
        refused = ask(gateway, "Hello", n=4)
        assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
