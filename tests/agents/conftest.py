"""What tests of agents share: a sandbox that works, and a look at what runs on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sale.agents.tools.bubblewrap import BubblewrapSandbox, find_bwrap
from sale.agents.tools.processes import children
from sale.agents.tools.sandbox import find_sandbox
from tests.support.hang import HANG


@pytest.fixture(scope="session")
def sandbox() -> BubblewrapSandbox:
    """The real one. Without bubblewrap there is nothing to test; with one that does not confine, all of it fails."""
    if find_bwrap() is None:
        pytest.skip("bubblewrap is not installed")
    found = find_sandbox()
    assert isinstance(found, BubblewrapSandbox)
    return found


def processes_with(marker: str) -> list[int]:
    """Processes of this machine that have the marker in their command line."""
    found: list[int] = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (directory / "cmdline").read_bytes():
                found.append(int(directory.name))
        except OSError:
            continue
    return found


@pytest.fixture
def started() -> Callable[[], list[int]]:
    """The processes right below this one that the test has started: servers of other tests may be there, too."""
    before = set(children(os.getpid()))
    return lambda: [number for number in children(os.getpid()) if number not in before]


@pytest.fixture
def running() -> Callable[[str], list[int]]:
    """Which processes carry a marker in their command line."""
    return processes_with


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool], float], bool]:
    """Wait for something to become true; whether it did."""

    def wait(condition: Callable[[], bool], seconds: float = HANG) -> bool:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    return wait
