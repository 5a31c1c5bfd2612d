"""What an agent found before it bid, and by how much a juror's score leads the others on the task."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("strategies", sa.Column("evidence", sa.Text))
    op.add_column("strategies", sa.Column("evidence_note", sa.Text))
    op.add_column("scores", sa.Column("lead", sa.Double))
