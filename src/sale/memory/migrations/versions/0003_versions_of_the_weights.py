"""Weights by version, what they were fitted on, and which of them was put in use when.

Success models are kept by the digest of what they say, so that weights and, later, auctions can share one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "success_models",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_success_models"),
    )
    op.create_table(
        "weight_sets",
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cost", sa.Double, nullable=False),
        sa.Column("entropy", sa.Double, nullable=False),
        sa.Column("jurors", sa.Text, nullable=False),
        sa.Column("model", sa.String(64), nullable=True),
        sa.Column("training", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["model"], ["success_models.digest"], name="fk_weight_sets_model"),
        sa.PrimaryKeyConstraint("version", name="pk_weight_sets"),
    )
    op.create_table(
        "weight_uses",
        sa.Column("key", key, nullable=False),
        sa.Column("version", sa.Integer, nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["version"], ["weight_sets.version"], name="fk_weight_uses_version"),
        sa.PrimaryKeyConstraint("key", name="pk_weight_uses"),
    )
