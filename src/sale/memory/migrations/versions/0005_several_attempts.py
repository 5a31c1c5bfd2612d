"""Several executions of one auction, numbered; judgements and calls say which of them they belong to.

What is there has one execution at most: it is number 0, and all judgements of its auction are about it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # First with a default for the rows that are there, then, as a table of its final form, without.
    op.add_column("executions", sa.Column("position", sa.Integer, nullable=False, server_default="0"))
    with op.batch_alter_table("executions") as executions:
        executions.alter_column("position", existing_type=sa.Integer(), existing_nullable=False, server_default=None)
        executions.drop_constraint("pk_executions", type_="primary")
        executions.create_primary_key("pk_executions", ["auction", "position"])
    checks = {
        "outcomes": sa.CheckConstraint("verdict IN ('success', 'failure', 'unknown')", name="ck_outcomes_verdict"),
        "calls": sa.CheckConstraint("part IN ('auction', 'execution', 'outcome', 'stray')", name="ck_calls_part"),
    }
    for name, check in checks.items():
        with op.batch_alter_table(name, table_args=(check,)) as table:
            table.add_column(sa.Column("execution", sa.Integer))
            table.create_foreign_key(
                f"fk_{name}_auction_execution", "executions", ["auction", "execution"], ["auction", "position"]
            )
    op.execute("UPDATE outcomes SET execution = 0 WHERE auction IN (SELECT auction FROM executions)")
    op.execute("UPDATE calls SET execution = 0 WHERE part = 'execution'")
