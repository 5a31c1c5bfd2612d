"""A memory of one's own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from sale.memory.store import AuctionMemory
from tests.memory.builders import Fresh, HashEmbedder


@pytest.fixture
def embedder() -> HashEmbedder:
    return HashEmbedder()


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory with nothing in it. To copy it is ten times as fast as to make the tables."""
    path = tmp_path_factory.mktemp("blank") / "memory.sqlite3"

    async def make() -> None:
        await (await AuctionMemory.open(path, embedder=HashEmbedder())).aclose()

    asyncio.run(make())
    return path


@pytest.fixture
async def memory(blank: Path, tmp_path: Path, embedder: HashEmbedder) -> AsyncGenerator[AuctionMemory]:
    shutil.copy(blank, tmp_path / "memory.sqlite3")
    async with await AuctionMemory.open(tmp_path / "memory.sqlite3", embedder=embedder) as opened:
        yield opened


@pytest.fixture
def fresh(blank: Path, tmp_path: Path) -> Fresh:
    """Opens one more memory, empty, each time it is called."""

    @asynccontextmanager
    async def open_another(embedder: HashEmbedder | None = None) -> AsyncGenerator[AuctionMemory]:
        path = shutil.copy(blank, tmp_path / uuid4().hex)
        async with await AuctionMemory.open(path, embedder=embedder or HashEmbedder()) as opened:
            yield opened

    return open_another
