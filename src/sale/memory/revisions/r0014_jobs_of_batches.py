"""Jobs of a batch: calls that an endpoint's batch API was given together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of jobs, and to each call the job that it is in."""
    op.create_table(
        "batch_jobs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("batch", sa.String(32), nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("owner", sa.String(32)),
        sa.Column("file", sa.Text),
        sa.Column("remote", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_batch_jobs"),
        sa.ForeignKeyConstraint(["batch"], ["batches.id"], name="fk_batch_jobs_batch", ondelete="CASCADE"),
    )
    op.create_index("ix_batch_jobs_batch", "batch_jobs", ["batch"])
    op.add_column("batch_calls", sa.Column("job", sa.String(32)))
    op.create_index("ix_batch_calls_job", "batch_calls", ["job"])
