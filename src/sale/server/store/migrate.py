"""Bringing the store to the newest revision, as the memory does. Imported only where there is something to do."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from sqlalchemy import Connection

from sale.memory import migrate
from sale.server.store.schema import HEAD

SCRIPTS = Path(__file__).with_name("migrations")


def configuration() -> Config:
    """Alembic's settings for the store's revisions."""
    return migrate.configuration(SCRIPTS)


def upgrade(connection: Connection, version: str | None, where: str) -> None:
    """Run the revisions that are missing; see `sale.memory.migrate.upgrade`."""
    migrate.upgrade(connection, version, where, scripts=SCRIPTS, head=HEAD)
