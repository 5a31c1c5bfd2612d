"""What a track record weighs in the linear rule."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("auctions", sa.Column("weight_track", sa.Double))
    op.add_column("weight_sets", sa.Column("track", sa.Double))
