"""A gateway over scripted upstreams, once for all clients; every client is the real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.faulty_server import FaultWall
from tests.support.gateway_process import Served, gateway


@pytest.fixture(scope="session")
def standing_wall() -> Iterator[FaultWall]:
    with FaultWall() as found:
        yield found


@pytest.fixture(scope="session")
def served(standing_wall: FaultWall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two agents; `first` wins every auction, and does as the request's last message says."""
    shared = {"endpoint": standing_wall.base_url, "logprobs": 0}
    agents = [
        {"name": "first", "model": "as-told", "price": 0.1, **shared},
        {"name": "second", "model": "always", "price": 4.0, **shared},
    ]
    with gateway(tmp_path_factory.mktemp("gateway"), agents) as found:
        yield found


@pytest.fixture
def wall(standing_wall: FaultWall) -> FaultWall:
    standing_wall.reset()
    return standing_wall
