"""The tables of the auction memory.

Types are portable; nothing here is SQLite's alone. Rules that hold throughout:

- `auction` and `task` columns hold integer keys. A key is the memory's revision at which the row was written: one
  counter, in one row, which every writing transaction raises. So keys are never used twice, and rows become visible in
  the order of their keys on any database, because the counter's row is locked until the transaction ends. Readers
  follow what other processes write by asking for revisions above the last one they saw.
- Rows of an auction are numbered by `position` in the order of the tuple they come from.
- Deleting an auction deletes everything about it, by cascade.
- `outcomes` is append-only: the highest position counts, earlier ones stay. Where a task was attempted several times,
  each outcome says which execution it judged; the last execution is the one that counts.
- Only auctions have a tenant. What hangs on one is that one's; a task's text is kept once for whoever asks it, and
  read only through an auction.
- `weight_sets` and `weight_uses` are append-only too, and no auction's: what is forgotten leaves them alone.
- The tables of batches are no auction's either. Their money is in whole nano-dollars, so that sums are exact.
"""

from __future__ import annotations

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

from sale.storage.columns import NAMES, ExactText, JsonText, RealNumber, UtcTime

metadata = MetaData(naming_convention=NAMES)


# SQLite keeps rows by INTEGER primary key without a second index; PostgreSQL's INTEGER would be too short.
KEY = BigInteger().with_variant(Integer(), "sqlite")


def _key() -> Column[int]:
    return Column("key", KEY, primary_key=True, autoincrement=False)


def _of_auction(*, alone: bool = False) -> tuple[Column[int], ...]:
    """The auction a row belongs to, and its number there unless the auction has only one such row."""
    of = Column("auction", KEY, ForeignKey("auctions.key", ondelete="CASCADE"), primary_key=True, autoincrement=False)
    return (of,) if alone else (of, Column("position", Integer, primary_key=True, autoincrement=False))


state = Table(
    "memory_state",  # one row
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),  # raised by every write
    Column("generation", BigInteger, nullable=False),  # raised when something is forgotten
    CheckConstraint("one = 1", name="single"),
)
event.listen(state, "after_create", DDL("INSERT INTO memory_state (one, revision, generation) VALUES (1, 0, 0)"))

tasks = Table(
    "tasks",
    metadata,
    _key(),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of id, text and domain
    Column("text_digest", String(64), nullable=False, index=True),  # SHA-256 of the text
    Column("id", ExactText, nullable=False),
    Column("domain", ExactText),
    Column("text", ExactText, nullable=False),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("task", KEY, ForeignKey("tasks.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("embedder", ExactText, primary_key=True),
    Column("vector", LargeBinary, nullable=False),  # float32, little-endian, unit length
)

vector_tables = Table(
    "vector_tables",  # of a server with pgvector, by embedder; see `vector_table`
    metadata,
    Column("embedder", ExactText, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("upto", BigInteger, nullable=False),  # texts of tasks up to this key are all there
    Column("indexed", Boolean, nullable=False),
)

evidence = Table(
    "evidence",  # what agents' work came to, of auctions that were compacted
    metadata,
    _key(),
    Column("id", String(32), nullable=False, unique=True),
    Column("task", KEY, ForeignKey("tasks.key"), nullable=False, index=True),  # an exemplar of theirs
    Column("revision", BigInteger, nullable=False, index=True),  # of its last change
    Column("tenant", ExactText, nullable=False, index=True),
    Column("source", ExactText, nullable=False),  # as that of auctions
    Column("agent", ExactText, nullable=False, index=True),
    Column("successes", Double, nullable=False),  # executions, less what was forgotten of them
    Column("failures", Double, nullable=False),
    Column("dollars", Double, nullable=False),  # of those whose cost is known
    Column("costed", Double, nullable=False),  # how many that are
    Column("first_at", UtcTime, nullable=False),  # when the oldest of the auctions was begun
    Column("last_at", UtcTime, nullable=False),  # and the newest
    Column("faded_at", UtcTime, nullable=False),  # up to when time has been taken off
)

success_models = Table(
    "success_models",  # each once, whatever refers to it
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the body, with sorted keys
    Column("body", JsonText, nullable=False),
)

weight_sets = Table(
    "weight_sets",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("made_at", UtcTime, nullable=False),
    Column("cost", Double, nullable=False),
    Column("entropy", Double, nullable=False),
    Column("track", Double),
    Column("jurors", JsonText, nullable=False),
    Column("model", String(64), ForeignKey("success_models.digest")),
    Column("training", JsonText, nullable=False),
)

weight_uses = Table(
    "weight_uses",  # the highest key counts
    metadata,
    _key(),
    Column("version", Integer, ForeignKey("weight_sets.version")),  # null: back to the default
    Column("at", UtcTime, nullable=False),
)

auctions = Table(
    "auctions",
    metadata,
    _key(),
    Column("id", ExactText, nullable=False, unique=True),
    Column("task", KEY, ForeignKey("tasks.key"), nullable=False, index=True),
    Column("revision", BigInteger, nullable=False, index=True),  # of its last change
    Column("status", String(16), nullable=False),
    Column("owner", String(32), index=True),  # whose work it is, while it is unfinished
    Column("tenant", ExactText, nullable=False, index=True),  # whose it is for good
    Column("withheld", Boolean),  # true: no agent is shown its texts again; null: of a time before, as false
    Column("source", ExactText, nullable=False),  # empty: held here; else where it was imported from
    Column("started_at", UtcTime, nullable=False, index=True),
    Column("awarded_at", UtcTime),
    Column("settled_at", UtcTime),
    Column("abandoned_at", UtcTime),
    Column("reason", ExactText),  # why it was abandoned
    Column("jury", String(16)),
    Column("provisional", ExactText),
    Column("weight_cost", Double),
    Column("weight_entropy", Double),
    Column("weight_track", Double),
    Column("weights_source", ExactText),
    Column("model", String(64), ForeignKey("success_models.digest")),
    Column("seconds", RealNumber),
    Column("exploration", JsonText),  # null: the best bid won
    CheckConstraint("status IN ('open', 'awarded', 'settled', 'abandoned')", name="status"),
)

juror_weights = Table(
    "juror_weights",
    metadata,
    *_of_auction(),
    Column("juror", ExactText, nullable=False),
    Column("weight", RealNumber),
)

refinements = Table(
    "refinements",
    metadata,
    *_of_auction(),
    Column("agent", ExactText, nullable=False),
    Column("note", ExactText),
)

strategies = Table(
    "strategies",
    metadata,
    *_of_auction(),
    Column("refinement", Integer),  # null: a first bid
    Column("agent", ExactText, nullable=False),
    Column("text", ExactText, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("entropy_normalised", RealNumber),
    Column("entropy_nats", RealNumber),
    Column("entropy_top_k", Integer),
    Column("entropy_tokens", BigInteger),
    Column("entropy_note", ExactText),
    Column("refined", Boolean, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("price", RealNumber),
    Column("cost", RealNumber),
    Column("value", RealNumber),
    Column("notes", JsonText, nullable=False),
    Column("won", Boolean, nullable=False),
    Column("track_agent", ExactText),  # null: no track record
    Column("track_successes", RealNumber),
    Column("track_failures", RealNumber),
    Column("track_spent", RealNumber),
    Column("track_costed", RealNumber),
    Column("chance", Double),
    Column("evidence", JsonText),  # null: of a time before agents looked; else a list of quotations
    Column("evidence_note", ExactText),
    ForeignKeyConstraint(["auction", "refinement"], ["refinements.auction", "refinements.position"]),
    Index("ix_strategies_agent", "agent", "auction"),
)

scores = Table(
    "scores",
    metadata,
    *_of_auction(),
    Column("strategy", Integer, nullable=False),
    Column("juror", ExactText, nullable=False),
    Column("bidder", ExactText, nullable=False),
    Column("value", RealNumber),
    Column("imputed", Boolean, nullable=False),
    Column("expected", Double),
    Column("note", ExactText),
    Column("lead", Double),
    ForeignKeyConstraint(["auction", "strategy"], ["strategies.auction", "strategies.position"]),
)

pairs = Table(
    "pairs",
    metadata,
    *_of_auction(),
    Column("refinement", Integer, nullable=False),
    Column("past_auction", ExactText, nullable=False, index=True),
    Column("task", ExactText),  # this and the other texts are null where the past auction has them
    Column("similarity", RealNumber),
    Column("losing", ExactText),
    Column("winning", ExactText),
    Column("own", String(16), nullable=False),
    Column("past", KEY, index=True),  # the past auction's key, where the texts are its own
    Column("losing_of", Integer),  # the positions of its strategies
    Column("winning_of", Integer),
    ForeignKeyConstraint(["auction", "refinement"], ["refinements.auction", "refinements.position"]),
    ForeignKeyConstraint(["past", "losing_of"], ["strategies.auction", "strategies.position"]),
    ForeignKeyConstraint(["past", "winning_of"], ["strategies.auction", "strategies.position"]),
)

dropouts = Table(
    "dropouts",
    metadata,
    *_of_auction(),
    Column("agent", ExactText, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("code", ExactText, nullable=False),
    Column("reason", ExactText, nullable=False),
)

executions = Table(
    "executions",
    metadata,
    *_of_auction(),
    Column("agent", ExactText, nullable=False),
    Column("answer", ExactText, nullable=False),
    Column("mode", ExactText, nullable=False),
    Column("followed_strategy", Boolean, nullable=False),
    Column("trace", JsonText, nullable=False),
    Column("seconds", RealNumber),
    Column("error", ExactText),
    Index("ix_executions_agent", "agent", "auction"),
)

outcomes = Table(
    "outcomes",
    metadata,
    *_of_auction(),
    Column("verdict", String(16), nullable=False),
    Column("judged_by", ExactText, nullable=False),
    Column("detail", ExactText, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("execution", Integer),  # which was judged; null: there was none yet
    ForeignKeyConstraint(["auction", "execution"], ["executions.auction", "executions.position"]),
    CheckConstraint("verdict IN ('success', 'failure', 'unknown')", name="verdict"),
)

baselines = Table(
    "baselines",
    metadata,
    *_of_auction(alone=True),
    Column("agent", ExactText, nullable=False),
    Column("dollars", RealNumber),
    Column("basis", ExactText, nullable=False),
)

calls = Table(
    "calls",
    metadata,
    *_of_auction(),
    Column("part", String(16), nullable=False),
    Column("outcome", Integer),  # which judgement it was made for, where part is outcome
    Column("execution", Integer),  # which execution it was made in, where part is execution
    Column("stage", String(16), nullable=False),
    Column("agent", ExactText, nullable=False),
    Column("prompt", ExactText, nullable=False),
    Column("tool", ExactText),  # which tool was called; null for a model
    Column("billed_to", ExactText),  # the environment variable of the key a tool was billed to
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("dollars", RealNumber),
    Column("seconds", RealNumber),
    Column("error", ExactText),
    ForeignKeyConstraint(["auction", "outcome"], ["outcomes.auction", "outcomes.position"]),
    ForeignKeyConstraint(["auction", "execution"], ["executions.auction", "executions.position"]),
    CheckConstraint("part IN ('auction', 'execution', 'outcome', 'stray')", name="part"),
)

batches = Table(
    "batches",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", ExactText, nullable=False, unique=True),
    Column("charged", BigInteger, nullable=False),  # paid, set aside, and unknown
)


def _of_batch() -> tuple[Column[str], ...]:
    """The batch and the task a row belongs to."""
    of = Column("batch", String(32), ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True)
    return of, Column("task", ExactText, primary_key=True)


batch_tasks = Table(
    "batch_tasks",
    metadata,
    *_of_batch(),
    Column("position", Integer, nullable=False),  # in the task file
    Column("digest", String(64), nullable=False),  # SHA-256 of its line
    Column("status", String(16), nullable=False),
    Column("owner", String(32), index=True),  # the memory that works on it
    Column("attempt", Integer, nullable=False),  # from 1; 0: never begun
    Column("verdict", String(16)),  # once it is done
    Column("line", ExactText),  # of the results, once it is done
    CheckConstraint("status IN ('waiting', 'running', 'done', 'failed')", name="status"),
    Index("ix_batch_tasks_next", "batch", "status", "position"),
)

batch_calls = Table(
    "batch_calls",  # the primary key is the idempotency key
    metadata,
    *_of_batch(),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("phase", String(32), primary_key=True),
    Column("agent", ExactText, primary_key=True),
    Column("request", String(64), primary_key=True),  # SHA-256 of what is asked
    Column("number", Integer, primary_key=True, autoincrement=False),  # the same asked again
    Column("status", String(16), nullable=False),
    Column("owner", String(32), index=True),  # the memory that makes it, while it is under way
    Column("dollars", BigInteger, nullable=False),  # nano-dollars: set aside, and once paid what it cost
    Column("reply", LargeBinary),  # JSON, packed by zlib, from when it is paid until its task is done
    Column("job", String(32), index=True),  # the job of the endpoint's batch API that it is in
    CheckConstraint("status IN ('open', 'paid', 'unknown')", name="status"),
    Index("ix_batch_calls_batch_status", "batch", "status"),
)

batch_jobs = Table(
    "batch_jobs",  # calls that an endpoint's batch API was given together
    metadata,
    Column("id", String(32), primary_key=True),
    Column("batch", String(32), ForeignKey("batches.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("agent", ExactText, nullable=False),
    Column("owner", String(32)),  # the memory that sends it, until it is known to be there
    Column("file", ExactText),  # the endpoint's id of its requests, once they are there
    Column("remote", ExactText),  # the endpoint's id of the job, once it is there
)

batch_rates = Table(
    "batch_rates",  # of the last minutes, by all processes
    metadata,
    Column("endpoint", String(64), primary_key=True),
    Column("second", BigInteger, primary_key=True, autoincrement=False),  # since 1970
    Column("requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
)
