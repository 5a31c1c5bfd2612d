"""Alembic's entry: runs the revisions on the connection `migrate.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from sale.memory.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
