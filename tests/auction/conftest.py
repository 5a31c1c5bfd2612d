"""Auctions of scripted agents take no real time: their event loop's clock is virtual."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import pytest

from tests.support.virtual_time import VirtualLoop, monotonic


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], VirtualLoop]]:
    return {"virtual": VirtualLoop}


@pytest.fixture(autouse=True)
def one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The product measures time by the same clock."""
    monkeypatch.setattr(time, "monotonic", monotonic)
