"""One index of responses in place of three: of what each key has, how large it is and when it was seen."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Put the index in the place of the others."""
    for name in ("root", "seen", "bytes"):
        op.drop_index(f"ix_server_responses_{name}", "server_responses")
    op.create_index("ix_server_responses_held", "server_responses", ["key_id", "root", "seen", "bytes"])
