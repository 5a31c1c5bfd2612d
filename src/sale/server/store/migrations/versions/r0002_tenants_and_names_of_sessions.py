"""Keys have a tenant and can be deleted; each key has names of its own for its sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """On the tables of the revision before."""
    op.add_column("server_keys", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("server_keys", sa.Column("tenant", sa.Text, nullable=True))
    op.execute("UPDATE server_sessions SET key_id = '' WHERE key_id IS NULL")
    with op.batch_alter_table("server_sessions") as sessions:
        sessions.alter_column("key_id", existing_type=sa.String(32), nullable=False)
        sessions.drop_constraint("pk_server_sessions", type_="primary")
        sessions.create_primary_key("pk_server_sessions", ["key_id", "id"])
