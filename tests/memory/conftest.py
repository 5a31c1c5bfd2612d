"""A memory of one's own: in a file, and in a database on a real PostgreSQL server."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from sale.memory.schema import metadata
from sale.memory.store import AuctionMemory
from tests.memory.builders import Fresh, HashEmbedder, Place
from tests.support.postgres import Server


@pytest.fixture
def embedder() -> HashEmbedder:
    return HashEmbedder()


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which database a test runs on. Tests run on both, but for those that say they are about one."""
    return request.param


@pytest.fixture(scope="session")
def server(postgres: Server) -> Server:
    return postgres


def make(place: Place) -> None:
    async def opened() -> None:
        await (await AuctionMemory.open(place, embedder=HashEmbedder())).aclose()

    asyncio.run(opened())


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory with nothing in it. To copy it is ten times as fast as to make the tables."""
    path = tmp_path_factory.mktemp("blank") / "memory.sqlite3"
    make(path)
    return path


@pytest.fixture(scope="session")
def blank_database(server: Server) -> str:
    """The same on the server; its name."""
    url = server.database()
    make(url)
    return url.partition("?")[0].rpartition("/")[2]


@pytest.fixture
def empty(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Place]:
    """Names a place where there is nothing yet."""
    if kind == "sqlite":
        return lambda: tmp_path / uuid4().hex
    running: Server = request.getfixturevalue("server")
    return running.database


@pytest.fixture
def copy(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Place]:
    """Makes an empty memory."""
    if kind == "sqlite":
        blank: Path = request.getfixturevalue("blank")
        return lambda: Path(shutil.copy(blank, tmp_path / f"{uuid4().hex}.sqlite3"))
    running: Server = request.getfixturevalue("server")
    template: str = request.getfixturevalue("blank_database")
    return lambda: running.database(template)


@pytest.fixture
def place(copy: Callable[[], Place]) -> Place:
    """Where `memory` is."""
    return copy()


@pytest.fixture
async def memory(place: Place, embedder: HashEmbedder) -> AsyncGenerator[AuctionMemory]:
    async with await AuctionMemory.open(place, embedder=embedder) as opened:
        yield opened


@pytest.fixture
def fresh(copy: Callable[[], Place], request: pytest.FixtureRequest) -> Fresh:
    """Opens one more memory, empty, each time it is called."""
    unused: list[Place] = []

    @asynccontextmanager
    async def open_another(embedder: HashEmbedder | None = None) -> AsyncGenerator[AuctionMemory]:
        place = unused.pop() if unused else copy()
        async with await AuctionMemory.open(place, embedder=embedder or HashEmbedder()) as opened:
            yield opened
        if isinstance(place, str):  # to empty a database is faster than to make another
            tables = ", ".join(f'"{name}"' for name in metadata.tables)
            running: Server = request.getfixturevalue("server")
            running.run(f"TRUNCATE {tables}", "INSERT INTO memory_state VALUES (1, 0, 0)", url=place)
            unused.append(place)

    return open_another
