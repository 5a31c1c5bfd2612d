"""A bid's track record and chance of success, and the success model an auction was decided by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("strategies", sa.Column("track_agent", sa.Text))
    for number in ("track_successes", "track_failures", "chance"):
        op.add_column("strategies", sa.Column(number, sa.Double))
    statuses = sa.CheckConstraint("status IN ('open', 'awarded', 'settled', 'abandoned')", name="ck_auctions_status")
    with op.batch_alter_table("auctions", table_args=(statuses,)) as auctions:
        auctions.add_column(sa.Column("model", sa.String(64)))
        auctions.create_foreign_key("fk_auctions_model", "success_models", ["model"], ["digest"])
