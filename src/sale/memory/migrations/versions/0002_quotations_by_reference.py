"""A quoted strategy is named by its place in the past auction instead of being copied.

What was copied before stays as it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    with op.batch_alter_table("pairs") as pairs:
        for text in ("task", "losing", "winning"):
            pairs.alter_column(text, existing_type=sa.Text(), nullable=True)
        pairs.add_column(sa.Column("past", key))
        pairs.add_column(sa.Column("losing_of", sa.Integer))
        pairs.add_column(sa.Column("winning_of", sa.Integer))
        pairs.create_index("ix_pairs_past", ["past"])
        for place in ("losing_of", "winning_of"):
            pairs.create_foreign_key(f"fk_pairs_past_{place}", "strategies", ["past", place], ["auction", "position"])
