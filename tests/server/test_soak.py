"""A short soak on all three protocols: every answer whole, and the gateway's memory flat once it is warm."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.gateway.processes import Watched
from benchmarks.gateway.soak import PROTOCOLS, growth, soak
from tests.support.endpoint import Endpoint
from tests.support.gateway_process import gateway
from tests.support.preloaded import PLAIN


@pytest.mark.parametrize(
    ("readings", "grown"),
    [([], 0.0), ([5.0, 9.0], 0.0), ([1.0, 50.0, 50.0], 0.0), ([1.0, 50.0, 57.0], 7.0), ([9, 9, 5, 9, 5, 9], 0.0)],
)
def test_growth_is_of_the_last_third(readings: list[float], grown: float) -> None:
    assert growth(readings) == grown


def test_a_short_soak_leaves_memory_flat(tmp_path: Path) -> None:
    """Conversations end after a second, so that many come and go."""
    soaked(tmp_path, requests=600)


@pytest.mark.release
def test_a_soak_of_twenty_thousand_requests(tmp_path: Path) -> None:
    soaked(tmp_path, requests=20_000)


def soaked(tmp_path: Path, requests: int) -> None:
    """Soak a gateway over the test endpoint."""
    with Endpoint() as endpoint:
        agents = [
            {"name": name, "endpoint": endpoint.base_url, "model": f"good@{name}", "price": price, "logprobs": 0}
            for name, price in (("first", 0.1), ("second", 4.0))
        ]
        server = {"session_seconds": 1.0}
        # Every auction on record adds to what recall has in mind, which is no leak: so their number is bounded.
        more = "[auction]\nallowance = 0.05\n[memory]\nmax_auctions = 500"
        with gateway(tmp_path, agents, server=server, more=more, command=PLAIN) as served:
            watched = Watched(pid=served.process.pid, port=int(served.origin.rpartition(":")[2]))
            found = asyncio.run(soak(watched, requests=requests))
            assert not found.faults
            assert set(found.requests) == {one.path for one in PROTOCOLS}
            assert sum(found.requests.values()) >= requests
            assert found.flat, found
            assert served.wait(lambda: len(served.lines()) == sum(found.requests.values()))
            assert {line["status"] for line in served.lines()} == {200}
