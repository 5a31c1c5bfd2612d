"""Calls of tools say which tool it was, and which key they were billed to; a search used to say so in its prompt."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("tool", sa.Text))
    op.add_column("calls", sa.Column("billed_to", sa.Text))
    op.execute("UPDATE calls SET tool = 'search', prompt = '' WHERE substr(prompt, 1, 12) = 'tool:search:'")
    op.execute("UPDATE calls SET tool = 'read_page', prompt = '' WHERE prompt = 'tool:read_page'")
