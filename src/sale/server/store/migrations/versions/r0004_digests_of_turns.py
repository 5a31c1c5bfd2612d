"""Sessions have the digests of their latest turn; responses are kept as they were asked for and answered.

What earlier revisions kept of responses holds neither the input nor the answer, so it is let go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

DIGESTS = ("talk", "link", "hint")


def upgrade() -> None:
    """On the tables of the revision before."""
    for name in DIGESTS:
        op.add_column("server_sessions", sa.Column(name, sa.Text, nullable=False, server_default=""))
    with op.batch_alter_table("server_sessions") as sessions:
        for name in DIGESTS:
            sessions.alter_column(name, existing_type=sa.Text, existing_nullable=False, server_default=None)
            sessions.create_index(f"ix_server_sessions_{name}", [name])
    op.execute("DELETE FROM server_responses")
    with op.batch_alter_table("server_responses") as responses:
        responses.alter_column("messages", new_column_name="document", existing_type=sa.LargeBinary)
