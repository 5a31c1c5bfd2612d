"""An index of the sizes of responses: to add them up, every document was walked through."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_server_responses_bytes", "server_responses", ["bytes"])
