"""Alembic's script folder. The revisions are beside the tables they change; see `sale.storage.schema`."""
