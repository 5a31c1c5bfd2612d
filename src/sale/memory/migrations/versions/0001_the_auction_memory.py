"""The auction memory: tasks, auctions, strategies, scores, what they led to and what it all cost.

Types are written out here, not imported: a revision must not change when the code does.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def key() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def required(name: str, kind: sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def optional(name: str, kind: sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


def part_of_auction(name: str, *columns: sa.Column[Any] | sa.Constraint, alone: bool = False) -> None:
    """A table whose rows belong to an auction, and are numbered within it unless there is only one."""
    own = ("auction",) if alone else ("auction", "position")
    op.create_table(
        name,
        required("auction", key()),
        *(() if alone else (required("position", sa.Integer),)),
        *columns,
        sa.ForeignKeyConstraint(["auction"], ["auctions.key"], name=f"fk_{name}_auction", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint(*own, name=f"pk_{name}"),
    )


def upgrade() -> None:
    create_tasks()
    create_auctions()
    create_bids()
    create_work()


def create_tasks() -> None:
    op.create_table(
        "memory_state",
        required("one", sa.Integer),
        required("revision", sa.BigInteger),
        required("generation", sa.BigInteger),
        sa.CheckConstraint("one = 1", name="ck_memory_state_single"),
        sa.PrimaryKeyConstraint("one", name="pk_memory_state"),
    )
    op.execute("INSERT INTO memory_state (one, revision, generation) VALUES (1, 0, 0)")
    op.create_table(
        "tasks",
        required("key", key()),
        required("digest", sa.String(64)),
        required("text_digest", sa.String(64)),
        required("id", sa.Text),
        optional("domain", sa.Text),
        required("text", sa.Text),
        sa.PrimaryKeyConstraint("key", name="pk_tasks"),
        sa.UniqueConstraint("digest", name="uq_tasks_digest"),
    )
    op.create_table(
        "embeddings",
        required("task", key()),
        required("embedder", sa.Text),
        required("vector", sa.LargeBinary),
        sa.ForeignKeyConstraint(["task"], ["tasks.key"], name="fk_embeddings_task", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task", "embedder", name="pk_embeddings"),
    )


def create_auctions() -> None:
    op.create_table(
        "auctions",
        required("key", key()),
        required("id", sa.Text),
        required("task", key()),
        required("revision", sa.BigInteger),
        required("status", sa.String(16)),
        optional("owner", sa.String(32)),
        required("source", sa.Text),
        required("started_at", sa.DateTime(timezone=True)),
        optional("awarded_at", sa.DateTime(timezone=True)),
        optional("settled_at", sa.DateTime(timezone=True)),
        optional("abandoned_at", sa.DateTime(timezone=True)),
        optional("reason", sa.Text),
        optional("jury", sa.String(16)),
        optional("provisional", sa.Text),
        optional("weight_cost", sa.Double),
        optional("weight_entropy", sa.Double),
        optional("weights_source", sa.Text),
        optional("seconds", sa.Double),
        sa.CheckConstraint("status IN ('open', 'awarded', 'settled', 'abandoned')", name="ck_auctions_status"),
        sa.ForeignKeyConstraint(["task"], ["tasks.key"], name="fk_auctions_task"),
        sa.PrimaryKeyConstraint("key", name="pk_auctions"),
        sa.UniqueConstraint("id", name="uq_auctions_id"),
    )
    for column in ("task", "revision", "owner", "started_at"):
        op.create_index(f"ix_auctions_{column}", "auctions", [column])
    part_of_auction("juror_weights", required("juror", sa.Text), optional("weight", sa.Double))


def create_bids() -> None:
    part_of_auction("refinements", required("agent", sa.Text), optional("note", sa.Text))
    part_of_auction(
        "strategies",
        optional("refinement", sa.Integer),
        required("agent", sa.Text),
        required("text", sa.Text),
        required("tokens", sa.BigInteger),
        optional("entropy_normalised", sa.Double),
        optional("entropy_nats", sa.Double),
        optional("entropy_top_k", sa.Integer),
        optional("entropy_tokens", sa.BigInteger),
        optional("entropy_note", sa.Text),
        required("refined", sa.Boolean),
        required("truncated", sa.Boolean),
        optional("price", sa.Double),
        optional("cost", sa.Double),
        optional("value", sa.Double),
        required("notes", sa.Text),
        required("won", sa.Boolean),
        sa.ForeignKeyConstraint(
            ["auction", "refinement"],
            ["refinements.auction", "refinements.position"],
            name="fk_strategies_auction_refinement",
        ),
    )
    op.create_index("ix_strategies_auction_agent", "strategies", ["auction", "agent"])
    part_of_auction(
        "scores",
        required("strategy", sa.Integer),
        required("juror", sa.Text),
        required("bidder", sa.Text),
        optional("value", sa.Double),
        required("imputed", sa.Boolean),
        optional("expected", sa.Double),
        optional("note", sa.Text),
        sa.ForeignKeyConstraint(
            ["auction", "strategy"], ["strategies.auction", "strategies.position"], name="fk_scores_auction_strategy"
        ),
    )
    part_of_auction(
        "pairs",
        required("refinement", sa.Integer),
        required("past_auction", sa.Text),
        required("task", sa.Text),
        optional("similarity", sa.Double),
        required("losing", sa.Text),
        required("winning", sa.Text),
        required("own", sa.String(16)),
        sa.ForeignKeyConstraint(
            ["auction", "refinement"],
            ["refinements.auction", "refinements.position"],
            name="fk_pairs_auction_refinement",
        ),
    )
    op.create_index("ix_pairs_past_auction", "pairs", ["past_auction"])
    part_of_auction(
        "dropouts",
        required("agent", sa.Text),
        required("stage", sa.String(16)),
        required("code", sa.Text),
        required("reason", sa.Text),
    )


def create_work() -> None:
    part_of_auction(
        "executions",
        required("agent", sa.Text),
        required("answer", sa.Text),
        required("mode", sa.Text),
        required("followed_strategy", sa.Boolean),
        required("trace", sa.Text),
        optional("seconds", sa.Double),
        optional("error", sa.Text),
        alone=True,
    )
    part_of_auction(
        "outcomes",
        required("verdict", sa.String(16)),
        required("judged_by", sa.Text),
        required("detail", sa.Text),
        required("at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("verdict IN ('success', 'failure', 'unknown')", name="ck_outcomes_verdict"),
    )
    part_of_auction(
        "baselines",
        required("agent", sa.Text),
        optional("dollars", sa.Double),
        required("basis", sa.Text),
        alone=True,
    )
    part_of_auction(
        "calls",
        required("part", sa.String(16)),
        optional("outcome", sa.Integer),
        required("stage", sa.String(16)),
        required("agent", sa.Text),
        required("prompt", sa.Text),
        required("input_tokens", sa.BigInteger),
        required("output_tokens", sa.BigInteger),
        optional("dollars", sa.Double),
        optional("seconds", sa.Double),
        optional("error", sa.Text),
        sa.ForeignKeyConstraint(
            ["auction", "outcome"], ["outcomes.auction", "outcomes.position"], name="fk_calls_auction_outcome"
        ),
        sa.CheckConstraint("part IN ('auction', 'execution', 'outcome', 'stray')", name="ck_calls_part"),
    )
