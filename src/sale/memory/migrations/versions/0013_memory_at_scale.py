"""What compaction keeps of auctions, and what recall by a server needs: tables of vectors, indexes of texts, agents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "vector_tables",
        sa.Column("embedder", sa.Text, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("upto", sa.BigInteger, nullable=False),
        sa.Column("indexed", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("embedder", name="pk_vector_tables"),
    )
    op.create_table(
        "evidence",
        sa.Column("key", _KEY, autoincrement=False, nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("task", _KEY, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("successes", "failures", "dollars", "costed")),
        *(sa.Column(name, sa.DateTime(timezone=True), nullable=False) for name in ("first_at", "last_at", "faded_at")),
        sa.PrimaryKeyConstraint("key", name="pk_evidence"),
        sa.UniqueConstraint("id", name="uq_evidence_id"),
        sa.ForeignKeyConstraint(["task"], ["tasks.key"], name="fk_evidence_task"),
    )
    for column in ("task", "revision", "tenant", "agent"):
        op.create_index(f"ix_evidence_{column}", "evidence", [column])
    op.create_index("ix_tasks_text_digest", "tasks", ["text_digest"])
    op.drop_index("ix_strategies_auction_agent", "strategies")
    op.create_index("ix_strategies_agent", "strategies", ["agent", "auction"])
    op.create_index("ix_executions_agent", "executions", ["agent", "auction"])
