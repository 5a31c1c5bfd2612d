"""Agents whose requests differ from the protocol, as Azure's do, work for clients of the gateway with their tools."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.server.gateway.conftest import Serving
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.replies import Json

TOOL: Any = {"type": "function", "function": {"name": "add", "parameters": {"properties": {"n": {"type": "integer"}}}}}
SECRET = "sk-azure-canary-99"


@pytest.mark.parametrize("stream", [False, True])
def test_what_its_endpoint_wants_otherwise_reaches_it(
    serving: Serving, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setenv("AZURE_KEY", SECRET)
    azure = {
        "name": "only",
        "endpoint": endpoint.base_url,
        "model": "tool-caller",
        "price": 1.0,
        "headers": {"X-Team": "search"},
        "headers_env": {"api-key": "AZURE_KEY"},
        "query": {"api-version": "2024-10-21"},
        "rename": {"max_tokens": "max_completion_tokens"},
        "drop": ["temperature"],
        "extra_body": {"seed": 7},
    }
    body = {"model": "sale", "messages": [{"role": "user", "content": "Add."}], "tools": [TOOL], "stream": stream}
    with serving(azure) as gateway:
        done = httpx2.post(
            f"{gateway.url}/chat/completions", json=body | {"max_tokens": 99, "temperature": 0.5}, timeout=HANG
        )
    assert done.status_code == 200, done.text
    assert '"name": "add"' in done.text or '"name":"add"' in done.text
    sent = endpoint.requests()[-1]
    assert sent.query == "api-version=2024-10-21"
    assert (sent.headers["x-team"], sent.headers["api-key"]) == ("search", SECRET)
    assert (sent.body["max_completion_tokens"], sent.body["seed"], sent.body["tools"]) == (99, 7, [TOOL])
    assert sent.body.keys().isdisjoint({"max_tokens", "temperature"})


def test_a_key_in_a_header_is_never_repeated(
    serving: Serving, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_KEY", SECRET)
    agent: Json = {"name": "only", "endpoint": endpoint.base_url, "model": "echo-key", "price": 1.0}
    agent["headers_env"] = {"Authorization": "AZURE_KEY"}
    with serving(agent) as gateway:
        body = {"model": "only", "messages": [{"role": "user", "content": "Hi."}]}
        done = httpx2.post(f"{gateway.url}/chat/completions", json=body, timeout=HANG)
    assert endpoint.requests()[-1].headers["authorization"] == SECRET
    assert done.status_code == 400
    assert SECRET not in done.text
