"""What work on like tasks cost, in a bid's track record; how an award was drawn, where awards explore."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("strategies", sa.Column("track_spent", sa.Double))
    op.add_column("strategies", sa.Column("track_costed", sa.Double))
    op.add_column("auctions", sa.Column("exploration", sa.Text))
