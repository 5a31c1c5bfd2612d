"""Metrics: what is counted, under which labels, and who may see it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from sale.auction.events import AgentDropped, AuctionOpened, CallSettled
from sale.errors import AuthenticationError, BudgetError, RateLimitError
from sale.server.observing import Metrics, ObservedHub, ObservedStore, routes
from sale.server.store.store import ServerStore
from sale.types import Call, Dropout, Task, Usage
from tests.support.ledger import noted

SECRET = "sk-sale-0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
DONE = noted(at=datetime.now(UTC))


def values(metrics: Metrics) -> dict[str, float]:
    """By name and labels, as `sale_tokens_total small input`."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {" ".join([one.name, *one.labels.values()]): one.value for family in families for one in family.samples}


def test_a_request_is_counted_once_in_each_place():
    metrics = Metrics()
    metrics.measure(sessions=lambda: 7, queued=lambda: 3)
    metrics.request(DONE)
    metrics.request(replace(DONE, status=502, streamed=False, first_token_seconds=None, agent=None))
    found = values(metrics)
    expected = {
        "sale_requests_total small /v1/chat/completions 200": 1,
        "sale_requests_total none /v1/chat/completions 502": 1,
        "sale_request_seconds_sum /v1/chat/completions yes": 1.5,
        "sale_first_token_seconds_sum small": 0.3,
        "sale_wait_seconds_count": 2,
        "sale_tokens_total small input": 100,
        "sale_tokens_total small output": 10,
        "sale_tokens_total small cached": 50,
        "sale_dollars_total small work": 0.25,
        "sale_dollars_total small auction": 0.125,
        "sale_largest_dollars_total": 2.0,
        "sale_sessions_open": 7,
        "sale_ledger_queue": 3,
    }
    assert {name: found[name] for name in expected} == expected
    assert not any(name.startswith("sale_first_token_seconds_count none") for name in found)


def test_labels_are_bounded_whatever_is_sent():
    metrics = Metrics()
    for number in range(1000):
        metrics.request(
            replace(DONE, path=f"/v1/{SECRET}/{number}", model=SECRET, agent=f"agent-{number}", status=200 + number)
        )
    text = metrics.text().decode()
    assert SECRET not in text
    assert len(text) < 2_000_000
    agents = {name.split()[1] for name in values(metrics) if name.startswith("sale_tokens_total")}
    assert len(agents) == 201
    assert {name.split()[2] for name in values(metrics) if name.startswith("sale_requests_total")} == {"other"}


def test_events_of_auctions_are_counted():
    metrics = Metrics()
    hub = ObservedHub(metrics)
    task = Task(text=f"What is {SECRET}?")
    call = Call(stage="bid", agent="small", usage=Usage(), dollars=0.1, seconds=1.0)
    hub.publish("a1", AuctionOpened(auction_id="a1", task=task, agents=("small", "large")))
    hub.publish("a1", CallSettled(call=call))
    hub.publish("a1", CallSettled(call=replace(call, error="call.timeout", agent="large")))
    hub.publish(
        "a1", AgentDropped(dropout=Dropout(agent="large", stage="bid", code="not_a_plan", reason=f"no plan: {SECRET}"))
    )
    found = values(metrics)
    assert found["sale_calls_total small ok bid"] == 1
    assert found["sale_calls_total large error bid"] == 1
    assert found["sale_bids_dropped_total large bid"] == 1
    assert SECRET not in metrics.text().decode()
    assert len(hub.recent) == 4


async def test_refusals_are_counted_by_reason(tmp_path: Path):
    metrics = Metrics()
    async with await ServerStore.open(tmp_path / "s") as store:
        observed = ObservedStore(store, metrics)
        secret, _ = await store.create_key("ci", budget=1.0, rpm=2)
        for bad in (None, SECRET):
            with pytest.raises(AuthenticationError):
                await observed.admit(bad)
        holder = await observed.admit(secret)
        with pytest.raises(BudgetError):
            await observed.reserve(holder, 2.0, 1)
        await observed.settle(await observed.reserve(holder, 0.5, 1), dollars=0.25, tokens=1)
        await observed.admit(secret)
        with pytest.raises(RateLimitError):
            await observed.admit(secret)
        await observed.note(DONE)
        assert await store.recent_requests() == (DONE,)
    found = values(metrics)
    assert [found[f"sale_refusals_total {one}"] for one in ("authentication", "budget", "rate_limit")] == [2, 1, 1]
    assert found["sale_requests_total small /v1/chat/completions 200"] == 1
    assert secret not in metrics.text().decode()


async def ask(app: Starlette, client: str, **headers: str) -> tuple[int, bytes]:
    """One GET /metrics from an address."""
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/metrics",
        "raw_path": b"/metrics",
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": (client, 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "root_path": "",
        "http_version": "1.1",
    }
    await app(scope, receive, send)
    return int(str(sent[0]["status"])), b"".join(one.get("body", b"") for one in sent[1:])  # pyright: ignore[reportArgumentType]


async def test_metrics_are_for_this_machine_and_for_who_shows_a_key(tmp_path: Path):
    async with await ServerStore.open(tmp_path / "s") as store:
        app = Starlette(routes=routes(Metrics(), store))
        status, text = await ask(app, "127.0.0.1")
        assert status == 200
        assert b"sale_ledger_queue 0.0" in text
        secret, _ = await store.create_key("prometheus", rpm=1)
        assert (await ask(app, "127.0.0.1"))[0] == (await ask(app, "::1"))[0] == 200
        for headers in (
            {},
            {"authorization": f"Bearer {SECRET}"},
            {"authorization": "Basic eDp5"},
            {"authorization": "x"},
        ):
            assert (await ask(app, "203.0.113.7", **headers))[0] == 401
        assert (await ask(app, "127.0.0.1", x_forwarded_for="203.0.113.7"))[0] == 401
        assert (await ask(app, "127.0.0.1", host="rebound.example"))[0] == 401
        assert (await ask(app, "127.0.0.1", host="localhost:8127"))[0] == 200
        for _ in range(3):  # looking is no request
            assert (await ask(app, "203.0.113.7", authorization=f"Bearer {secret}"))[0] == 200


SHARING = """
import sys
from sale.server.observing import Metrics
from tests.server.observing.test_metrics import DONE
metrics = Metrics()
metrics.measure(sessions=lambda: 2, queued=lambda: 0)
for _ in range(int(sys.argv[1])):
    metrics.request(DONE)
sys.stdout.write(metrics.text().decode())
"""


def test_processes_that_share_a_directory_answer_for_each_other(tmp_path: Path):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    root = Path(__file__).parents[3]
    text = ""
    for count in ("3", "4"):
        arguments = [sys.executable, "-c", SHARING, count]
        done = subprocess.run(arguments, cwd=root, env=environment, capture_output=True, text=True, check=True)
        text = done.stdout
    assert 'sale_requests_total{agent="small",path="/v1/chat/completions",status="200"} 7.0' in text
    assert "sale_sessions_open 4.0" in text
