"""Alembic's entry: runs the revisions on the connection `migrate.upgrade` hands over."""

from __future__ import annotations

from alembic import context

given = context.config.attributes
# Without the present tables: what a revision does must not depend on them.
context.configure(connection=given["connection"], version_table=given["version_table"])
context.run_migrations()
