"""Tables that gateways side by side share: sessions that begin, the allowance, files of old lines of the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """On the tables of the revision before."""
    op.create_table(
        "server_beginnings",
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "id", name="pk_server_beginnings"),
    )
    op.create_table(
        "server_allowances",
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("earned", sa.Double, nullable=False),
        sa.Column("spent", sa.Double, nullable=False),
        sa.Column("reserved", sa.Double, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_server_allowances"),
    )
    op.create_table(
        "server_archives",
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("place", name="pk_server_archives"),
    )
