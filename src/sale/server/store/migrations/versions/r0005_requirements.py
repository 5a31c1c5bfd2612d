"""Labels that keys and sessions require of agents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """On the tables of the revision before."""
    op.add_column("server_keys", sa.Column("require", sa.Text, nullable=True))
    op.add_column("server_sessions", sa.Column("require", sa.Text, nullable=True))
