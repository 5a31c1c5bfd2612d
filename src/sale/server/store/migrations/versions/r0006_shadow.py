"""Conversations in shadow and canary."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """On the tables of the revision before."""
    texts = [sa.Column(name, sa.Text, nullable=name in _LATER) for name in ("session_id", "agent", *_LATER)]
    counts = [sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS]
    numbers = [sa.Column(name, sa.Double, nullable=False) for name in _NUMBERS]
    op.create_table(
        "server_shadow",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("key_id", sa.String(32), nullable=True),
        sa.Column("arm", sa.String(8), nullable=False),
        sa.Column("began", sa.DateTime(timezone=True), nullable=False),
        *texts,
        *counts,
        *numbers,
        sa.PrimaryKeyConstraint("id", name="pk_server_shadow"),
    )
    op.create_index("ix_server_shadow_began", "server_shadow", ["began"])


_LATER = ("other", "auction_id", "note")
_COUNTS = ("turns", "input_tokens", "output_tokens", "cached_tokens")
_NUMBERS = ("auction_dollars", "work_dollars", "price_input", "price_output", "price_cached")
