"""Bringing a database to the newest revision. Imported only where there is something to do; see `database`."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from sale.errors import StoreError
from sale.memory.schema import HEAD

ALONE = threading.Lock()
"""Alembic knows one migration at a time in a process: what its scripts speak to is a global of its."""
SCRIPTS = Path(__file__).with_name("migrations")


def configuration(scripts: Path = SCRIPTS) -> Config:
    """Alembic's settings, without a file; for the revisions in a folder."""
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config


def upgrade(
    connection: Connection, version: str | None, where: str, *, scripts: Path = SCRIPTS, head: str = HEAD
) -> None:
    """Run the revisions that are missing, inside the transaction that `connection` is in.

    Args:
        connection: In a writing transaction; the caller commits.
        version: The stored revision; `None` for an empty database.
        where: Which database it is, for messages.
        scripts: The folder of the revisions: the memory's, or those of another set of tables.
        head: The newest of them.

    Raises:
        StoreError: The database was written by a newer version of `sale`.
    """
    config = configuration(scripts)
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise StoreError(
            f"it was written by a newer version of sale (revision {version!r}; this one knows up to {head!r})",
            where=where,
            hint="Upgrade: pip install -U sale. Nothing was changed.",
        )
    config.attributes["connection"] = connection
    with ALONE:
        command.upgrade(config, "head")
