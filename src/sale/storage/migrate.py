"""Running Alembic's revisions. Imported only where some are missing; see `revision`.

A revision runs inside one transaction, in which SQLite enforces foreign keys: it may add tables, columns and indexes,
but not replace a table that others refer to.
"""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from sale.errors import StoreError
from sale.storage.schema import Schema

ALONE = threading.Lock()
"""Alembic knows one migration at a time in a process: what its scripts speak to is a global of its."""


def configuration(schema: Schema) -> Config:
    """Alembic's settings for the revisions of a schema, without a file."""
    config = Config()
    folders = {"script_location": Path(__file__).with_name("migrations"), "version_locations": schema.revisions}
    for name, folder in folders.items():
        config.set_main_option(name, str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["version_table"] = schema.version_table.name
    return config


def upgrade(connection: Connection, version: str, schema: Schema, where: str) -> None:
    """Run the revisions after `version`, inside the transaction that `connection` is in.

    Raises:
        StoreError: The database was written by a version of `sale` that is newer, or older than the first release.
    """
    config = configuration(schema)
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    if version not in known and version < schema.head:
        raise StoreError(
            f"it was made by a version of sale from before the first release (revision {version!r})",
            where=where,
            hint=schema.when_outdated,
        )
    if version not in known:
        raise StoreError(
            f"it was written by a newer version of sale (revision {version!r}; this one knows up to {schema.head!r})",
            where=where,
            hint="Upgrade: pip install -U sale. Nothing was changed.",
        )
    config.attributes["connection"] = connection
    with ALONE:
        command.upgrade(config, "head")
