"""Alembic's entry: runs the revisions on the connection `migrate.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from sale.server.store.schema import VERSION_TABLE

# Without the present tables: what a revision does must not depend on them.
context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
