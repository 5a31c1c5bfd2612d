"""The ids of answers, so that feedback may name one at any gateway; and a session's auction as another name for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sale.storage.columns import UtcTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of answers, and an index to find sessions by their auction."""
    op.create_table(
        "server_answers",
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("auction_id", sa.Text, nullable=False),
        sa.Column("seen", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "digest", name="pk_server_answers"),
    )
    op.create_index("ix_server_answers_seen", "server_answers", ["seen"])
    op.create_index("ix_server_sessions_auction_id", "server_sessions", ["auction_id"])
