"""Auctions belong to a tenant; those that are there belong to the default one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # First with a default for the rows that are there, then, as a table of its final form, without.
    op.add_column("auctions", sa.Column("tenant", sa.Text, nullable=False, server_default="default"))
    statuses = sa.CheckConstraint("status IN ('open', 'awarded', 'settled', 'abandoned')", name="ck_auctions_status")
    with op.batch_alter_table("auctions", table_args=(statuses,)) as auctions:
        auctions.alter_column("tenant", existing_type=sa.Text(), existing_nullable=False, server_default=None)
        auctions.create_index("ix_auctions_tenant", ["tenant"])
