"""Keys, budgets with the slices processes hold of them, rates, the ledger of requests, sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them, on an empty database."""
    _keys()
    _budgets()
    _ledger()
    _sessions()
    op.execute("INSERT INTO server_state (one, changes) VALUES (1, 0)")


def _keys() -> None:
    """Create the tables of keys."""
    op.create_table(
        "server_state",
        sa.Column("one", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.CheckConstraint("one = 1", name="ck_server_state_single"),
        sa.PrimaryKeyConstraint("one", name="pk_server_state"),
    )
    op.create_table(
        "server_keys",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("budget", sa.BigInteger, nullable=True),
        sa.Column("period", sa.String(5), nullable=True),
        sa.Column("rpm", sa.BigInteger, nullable=True),
        sa.Column("tpm", sa.BigInteger, nullable=True),
        sa.Column("agents", sa.Text, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_server_keys"),
        sa.UniqueConstraint("prefix", name="uq_server_keys_prefix"),
    )


def _budgets() -> None:
    """For how much, and how fast."""
    op.create_table(
        "server_budgets",
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("wanted", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["key"], ["server_keys.id"], name="fk_server_budgets_key", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", "starts_at", name="pk_server_budgets"),
    )
    op.create_table(
        "server_slices",
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("held", sa.BigInteger, nullable=False),
        sa.Column("spare", sa.BigInteger, nullable=False),
        sa.Column("answered", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["key", "starts_at"],
            ["server_budgets.key", "server_budgets.starts_at"],
            name="fk_server_slices_key_starts_at",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("key", "starts_at", "owner", name="pk_server_slices"),
    )
    op.create_table(
        "server_rates",
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("second", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", "owner", "second", name="pk_server_rates"),
    )
    op.create_index("ix_server_rates_second", "server_rates", ["second"])


def _ledger() -> None:
    """One row a request."""
    op.create_table(
        "server_requests",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("key_id", sa.String(32), nullable=True),
        sa.Column("session_id", sa.Text, nullable=True),
        sa.Column("auction_id", sa.Text, nullable=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=True),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=True),
        sa.Column("streamed", sa.Boolean, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("work_dollars", sa.Double, nullable=False),
        sa.Column("auction_dollars", sa.Double, nullable=False),
        sa.Column("largest_dollars", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("first_token_seconds", sa.Double, nullable=True),
        sa.Column("wait_seconds", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_server_requests"),
    )
    op.create_index("ix_server_requests_at", "server_requests", ["at"])
    op.create_index("ix_server_requests_session_id", "server_requests", ["session_id"])


def _sessions() -> None:
    """One row a conversation."""
    op.create_table(
        "server_sessions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("market", sa.Text, nullable=False),
        sa.Column("tail", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("auction_id", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("turns", sa.BigInteger, nullable=False),
        sa.Column("dollars", sa.Double, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("began", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", sa.String(32), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_server_sessions"),
    )
    op.create_index("ix_server_sessions_tail", "server_sessions", ["tail"])
    op.create_index("ix_server_sessions_seen", "server_sessions", ["seen"])
