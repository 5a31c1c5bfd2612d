"""What every test stands on: none sees the user's files, keys or settings, and none leaves anything running."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from inspect import iscoroutinefunction
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer

from sale.config import models_path
from tests.support.disturbed import disturbance
from tests.support.groups import GroupScheduling, rank
from tests.support.hang import HANG
from tests.support.postgres import Server, started

# Read before the environment is changed: tests that run the real models must not fetch their weights again.
REAL_MODELS = models_path().absolute()
DISTURBED = Path(disturbance.__file__).parent
SECRETS = ("_API_KEY", "_TOKEN", "_SECRET")
USER_DIRECTORIES = ("CONFIG", "DATA", "STATE")

# The machine may be busy: how long one example takes says nothing. What decides whether a change lands is the same
# every time; `make test-all` searches at random, and what it finds becomes an explicit example.
settings.register_profile("sale", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("random", deadline=None, print_blob=True)
settings.load_profile("sale")

# A shell that starts the tests in the background has them ignore signals, and every program they start would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait."""
    return (os.cpu_count() or 1) + 1


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    """Keep tests that share what is costly to make in one worker."""
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest together."""
    items.sort(key=lambda item: rank(item.nodeid))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server; one for each worker."""
    with started() as server:
        yield server


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what this suite may be told."""
    parser.addoption(
        "--disturb-embeddings",
        type=float,
        metavar="EPSILON",
        help="move every number of every MiniLM embedding by up to so much, as another processor might",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Disturb embeddings, in this program and in those that tests start."""
    epsilon: float | None = config.getoption("--disturb-embeddings")
    if epsilon is not None:
        os.environ[disturbance.EPSILON] = str(epsilon)
        held = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(DISTURBED), *([held] if held else [])])
        disturbance.install()


@pytest.fixture(scope="session", autouse=True)
def nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A user without files, settings or keys, for session-wide fixtures too. Only the model cache is the real one."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("SALE_") or name.endswith(SECRETS):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        for kind in (*USER_DIRECTORIES, "CACHE"):
            patch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))
        patch.setenv("SALE_MODELS", str(REAL_MODELS))
        yield


@pytest.fixture(autouse=True)
def own_directories(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, data, a memory, models and a working directory for each test; `slow` ones keep the real models."""
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    for kind in USER_DIRECTORIES:
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(away / f".{kind.lower()}"))
    monkeypatch.setenv("SALE_MEMORY", str(tmp_path / "memory.sqlite3"))
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setenv("SALE_MODELS", str(tmp_path / "models"))


@pytest.fixture(autouse=True)
def nothing_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread that keeps the process alive or, where the test is async, a task behind."""
    before = set(threading.enumerate())
    if iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("no_task_left")
    yield
    until = time.monotonic() + HANG
    while (left := _threads() - before) and time.monotonic() < until:
        time.sleep(0.01)
    assert not left, f"threads left running: {left}"


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """Every task the test started has ended when the test ends."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=HANG)
    assert not left, f"tasks left running: {left}"


def _threads() -> set[threading.Thread]:
    """Threads that would keep the process alive; an event loop ends its own pool when it closes, after the test."""
    return {thread for thread in threading.enumerate() if not thread.daemon and not thread.name.startswith("asyncio_")}
