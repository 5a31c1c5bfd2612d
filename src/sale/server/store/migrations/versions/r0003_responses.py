"""Responses that later requests may go on with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """On the tables of the revision before."""
    op.create_table(
        "server_responses",
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("previous", sa.Text, nullable=True),
        sa.Column("root", sa.Text, nullable=False),
        sa.Column("messages", sa.LargeBinary, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "id", name="pk_server_responses"),
    )
    op.create_index("ix_server_responses_root", "server_responses", ["key_id", "root"])
    op.create_index("ix_server_responses_seen", "server_responses", ["seen"])
