"""Batches: their tasks, their calls by idempotency key, and what endpoints were asked in the last minutes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_KEY = ("batch", "task", "attempt", "phase", "agent", "request", "number")


def _of_batch() -> tuple[sa.Column[str], sa.Column[str]]:
    return sa.Column("batch", sa.String(32), nullable=False), sa.Column("task", sa.Text, nullable=False)


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("charged", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
        sa.UniqueConstraint("name", name="uq_batches_name"),
    )
    op.create_table(
        "batch_tasks",
        *_of_batch(),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(32)),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("verdict", sa.String(16)),
        sa.Column("line", sa.Text),
        sa.PrimaryKeyConstraint("batch", "task", name="pk_batch_tasks"),
        sa.ForeignKeyConstraint(["batch"], ["batches.id"], name="fk_batch_tasks_batch", ondelete="CASCADE"),
        sa.CheckConstraint("status IN ('waiting', 'running', 'done', 'failed')", name="ck_batch_tasks_status"),
    )
    op.create_index("ix_batch_tasks_owner", "batch_tasks", ["owner"])
    op.create_index("ix_batch_tasks_next", "batch_tasks", ["batch", "status", "position"])
    op.create_table(
        "batch_calls",
        *_of_batch(),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("phase", sa.String(32), nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(32)),
        sa.Column("dollars", sa.BigInteger, nullable=False),
        sa.Column("reply", sa.LargeBinary),
        sa.PrimaryKeyConstraint(*_KEY, name="pk_batch_calls"),
        sa.ForeignKeyConstraint(["batch"], ["batches.id"], name="fk_batch_calls_batch", ondelete="CASCADE"),
        sa.CheckConstraint("status IN ('open', 'paid', 'unknown')", name="ck_batch_calls_status"),
    )
    op.create_index("ix_batch_calls_owner", "batch_calls", ["owner"])
    op.create_index("ix_batch_calls_batch_status", "batch_calls", ["batch", "status"])
    op.create_table(
        "batch_rates",
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("second", sa.BigInteger, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "second", name="pk_batch_rates"),
    )
