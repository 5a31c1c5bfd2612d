"""A wall of faults, and a gateway in front of it, once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.faulty_server import FaultWall
from tests.support.gateway_process import Served, gateway

SILENCE = 1.0
"""Seconds an agent's endpoint may be silent in these tests."""


@pytest.fixture(scope="session")
def standing_wall() -> Iterator[FaultWall]:
    with FaultWall() as found:
        yield found


@pytest.fixture(scope="session")
def served(standing_wall: FaultWall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two agents: `first` wins every auction and fails as it is told; `spare` never fails."""
    shared = {"endpoint": standing_wall.base_url, "logprobs": 0, "seconds": SILENCE}
    agents = [
        {"name": "first", "model": "as-told", "price": 0.1, **shared},
        {"name": "spare", "model": "always", "price": 4.0, **shared},
    ]
    with gateway(tmp_path_factory.mktemp("gateway"), agents, server={"silence_seconds": SILENCE}) as found:
        yield found


@pytest.fixture
def wall(standing_wall: FaultWall) -> FaultWall:
    standing_wall.reset()
    return standing_wall
