"""A memory of one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.memory.builders import HashEmbedder

from sale.memory.store import AuctionMemory


@pytest.fixture
def embedder() -> HashEmbedder:
    return HashEmbedder()


@pytest.fixture
async def memory(tmp_path: Path, embedder: HashEmbedder) -> AsyncIterator[AuctionMemory]:
    async with await AuctionMemory.open(tmp_path / "memory.sqlite3", embedder=embedder) as opened:
        yield opened
