"""The tables of the server's store. Types are portable; nothing here is SQLite's or PostgreSQL's alone.

- Money of budgets is in whole nano-dollars, so that sums are exact however many requests there are; the ledger, which
  is read by people, is in dollars.
- Names begin with `server_`, because a PostgreSQL database may hold other things.
- `server_state.changes` is raised by every change of a key, so that one row tells a process whether what it
  remembers still holds.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    event,
)

from sale.storage.columns import NAMES, ExactText, JsonText, UtcTime
from sale.storage.schema import Schema

metadata = MetaData(naming_convention=NAMES)

state = Table(
    "server_state",  # one row
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("changes", BigInteger, nullable=False),  # of keys; 0 until the first is made
    CheckConstraint("one = 1", name="single"),
)
event.listen(state, "after_create", DDL("INSERT INTO server_state (one, changes) VALUES (1, 0)"))

keys = Table(
    "server_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", ExactText, nullable=False),
    Column("prefix", String(16), nullable=False, unique=True),  # the public beginning of the secret
    Column("salt", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("budget", BigInteger, nullable=True),  # nano-dollars
    Column("period", String(5), nullable=True),
    Column("rpm", BigInteger, nullable=True),
    Column("tpm", BigInteger, nullable=True),
    Column("agents", JsonText, nullable=False),
    Column("made_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=True),
    Column("revoked_at", UtcTime, nullable=True),
    Column("deleted_at", UtcTime, nullable=True),  # then nothing is left but the name, for the ledger
    Column("tenant", ExactText, nullable=True),  # null: a tenant of its own
    Column("require", ExactText, nullable=True),  # labels of the agents it may use; null: any
)

budgets = Table(
    "server_budgets",  # a key's money in one period
    metadata,
    Column("key", String(32), ForeignKey("server_keys.id", ondelete="CASCADE"), primary_key=True),
    Column("starts_at", UtcTime, primary_key=True),
    Column("spent", BigInteger, nullable=False),  # nano-dollars
    Column("wanted", BigInteger, nullable=False),  # raised by a process that needs what others hold and do not use
)

slices = Table(
    "server_slices",  # what a process has reserved of a budget, to hand out by itself
    metadata,
    Column("key", String(32), primary_key=True),
    Column("starts_at", UtcTime, primary_key=True),
    Column("owner", String(32), primary_key=True),
    Column("held", BigInteger, nullable=False),  # nano-dollars
    Column("spare", BigInteger, nullable=False),  # of it, what was not in use when this was written
    Column("answered", BigInteger, nullable=False),  # the `wanted` up to which it has given back what it can
    Column("expires_at", UtcTime, nullable=False),  # pushed on by its owner while that is alive
    ForeignKeyConstraint(["key", "starts_at"], ["server_budgets.key", "server_budgets.starts_at"], ondelete="CASCADE"),
)

rates = Table(
    "server_rates",  # what a process has let through, second by second
    metadata,
    Column("key", String(32), primary_key=True),
    Column("owner", String(32), primary_key=True),
    Column("second", BigInteger, primary_key=True, autoincrement=False),  # since 1970
    Column("requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Index("ix_server_rates_second", "second"),
)

requests = Table(
    "server_requests",  # the ledger
    metadata,
    Column("id", ExactText, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("day", String(10), nullable=False),  # of `at`, in UTC
    Column("key_id", String(32), nullable=True),
    Column("session_id", ExactText, nullable=True),
    Column("auction_id", ExactText, nullable=True),
    Column("path", ExactText, nullable=False),
    Column("model", ExactText, nullable=False),
    Column("agent", ExactText, nullable=True),
    Column("status", Integer, nullable=False),
    Column("error", ExactText, nullable=True),
    Column("streamed", Boolean, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("work_dollars", Double, nullable=False),
    Column("auction_dollars", Double, nullable=False),
    Column("largest_dollars", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("first_token_seconds", Double, nullable=True),
    Column("wait_seconds", Double, nullable=False),
    Index("ix_server_requests_at", "at"),
    Index("ix_server_requests_session_id", "session_id"),
)

sessions = Table(
    "server_sessions",
    metadata,
    Column("key_id", String(32), primary_key=True),  # empty: nobody's, where no key is needed
    Column("id", ExactText, primary_key=True),  # each key names its own
    Column("market", ExactText, nullable=False),
    Column("tail", ExactText, nullable=False),
    Column("talk", ExactText, nullable=False),
    Column("link", ExactText, nullable=False),
    Column("hint", ExactText, nullable=False),
    Column("agent", ExactText, nullable=False),
    Column("auction_id", ExactText, nullable=False),
    Column("plan", ExactText, nullable=False),
    Column("turns", BigInteger, nullable=False),
    Column("dollars", Double, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("began", UtcTime, nullable=False),
    Column("seen", UtcTime, nullable=False),
    Column("require", ExactText, nullable=True),  # labels its requests have required; null: none
    Index("ix_server_sessions_tail", "tail"),
    Index("ix_server_sessions_talk", "talk"),
    Index("ix_server_sessions_link", "link"),
    Index("ix_server_sessions_hint", "hint"),
    Index("ix_server_sessions_auction_id", "auction_id"),
    Index("ix_server_sessions_seen", "seen"),
)

answers = Table(
    "server_answers",  # what an answer came of, for feedback that names it by its id
    metadata,
    Column("key_id", String(32), primary_key=True),  # empty: nobody's, where no key is needed
    Column("digest", String(32), primary_key=True),  # of the answer's id: an endpoint's own may be of any length
    Column("auction_id", ExactText, nullable=False),
    Column("seen", UtcTime, nullable=False),
    Index("ix_server_answers_seen", "seen"),
)

shadow = Table(
    "server_shadow",  # what the market, or the incumbent, would have cost: a row for each conversation
    metadata,
    Column("id", ExactText, primary_key=True),  # of the auction's record that its work is settled on
    Column("session_id", ExactText, nullable=False),
    Column("key_id", String(32), nullable=True),
    Column("arm", String(8), nullable=False),
    Column("began", UtcTime, nullable=False),
    Column("agent", ExactText, nullable=False),  # who does the work
    Column("other", ExactText, nullable=True),  # who would have
    Column("auction_id", ExactText, nullable=True),
    Column("auction_dollars", Double, nullable=False),
    Column("note", ExactText, nullable=True),
    Column("turns", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("work_dollars", Double, nullable=False),
    Column("price_input", Double, nullable=False),  # the other's, dollars per million tokens
    Column("price_output", Double, nullable=False),
    Column("price_cached", Double, nullable=False),
    Index("ix_server_shadow_began", "began"),
)

responses = Table(
    "server_responses",  # what `previous_response_id` goes on from
    metadata,
    Column("key_id", String(32), primary_key=True),  # empty: nobody's, where no key is needed
    Column("id", ExactText, primary_key=True),
    Column("previous", ExactText, nullable=True),
    Column("root", ExactText, nullable=False),  # the conversation's first
    Column("document", LargeBinary, nullable=False),  # what it adds to the one before; JSON, compressed
    Column("bytes", BigInteger, nullable=False),
    Column("seen", UtcTime, nullable=False),
    Index("ix_server_responses_held", "key_id", "root", "seen", "bytes"),  # to add up without reading what they hold
)

beginnings = Table(
    "server_beginnings",  # sessions whose first auction is under way, so that no other process holds one
    metadata,
    Column("key_id", String(32), primary_key=True),  # empty: nobody's, where no key is needed
    Column("id", ExactText, primary_key=True),
    Column("owner", String(32), nullable=False),  # the process
    Column("expires_at", UtcTime, nullable=False),  # pushed on by its owner while that is alive
)

allowances = Table(
    "server_allowances",  # a row for each process, and one for all that was counted (`allowances.ALL`)
    metadata,
    Column("owner", String(32), primary_key=True),
    Column("earned", Double, nullable=False),  # dollars
    Column("spent", Double, nullable=False),
    Column("reserved", Double, nullable=False),  # for auctions under way
    Column("expires_at", UtcTime, nullable=False),  # pushed on by its owner while that is alive
)

archives = Table(
    "server_archives",  # files that lines of the ledger were moved to
    metadata,
    Column("place", ExactText, primary_key=True),
    Column("made_at", UtcTime, nullable=False),
    Column("first_at", UtcTime, nullable=False),  # of its lines
    Column("last_at", UtcTime, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256 of the file, in hex
)

SCHEMA = Schema(
    key="server",
    name="the server's store",
    metadata=metadata,
    head="0010",
    revisions=Path(__file__).with_name("revisions"),
    file_setting="server.database in sale.toml",
    url_setting="server.database",
    when_outdated="Move it away, or name another: server.database in sale.toml. Then make its keys anew,"
    " `sale keys create`. Nothing was changed.",
    url_kinds=("postgresql", "sqlite"),
)
