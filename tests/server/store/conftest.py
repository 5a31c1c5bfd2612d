"""Stores on a real SQLite file and on a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from sale.server.store.store import ServerStore
from tests.support.postgres import Server

Opener = Callable[..., Awaitable[ServerStore]]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "server.sqlite3")
    server: Server = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
async def opened(place: str) -> AsyncIterator[Opener]:
    """Opens stores on the same database, as several processes would, and closes them after the test."""
    stores: list[ServerStore] = []

    async def opener(**options) -> ServerStore:
        stores.append(await ServerStore.open(place, **options))
        return stores[-1]

    yield opener
    for store in stores:
        await store.aclose()


@pytest.fixture
async def store(opened: Opener) -> ServerStore:
    """One store."""
    return await opened()
