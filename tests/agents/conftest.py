"""What tests of agents share: a sandbox that works, and a look at what runs on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sale.agents.tools.bubblewrap import BubblewrapSandbox
from sale.agents.tools.sandbox import find_sandbox
from sale.errors import SandboxError


@pytest.fixture(scope="session")
def sandbox() -> BubblewrapSandbox:
    """The real one. Where code cannot be isolated there is nothing to test."""
    try:
        found = find_sandbox()
    except SandboxError as error:
        pytest.skip(str(error))
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
def running() -> Callable[[str], list[int]]:
    """Which processes carry a marker in their command line."""
    return processes_with


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool], float], bool]:
    """Wait for something to become true; whether it did."""

    def wait(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    return wait
