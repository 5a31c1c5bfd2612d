"""The data an index needs of auctions, read from the database: of those that changed, or of some by their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    and_,
    any_,
    bindparam,
    case,
    exists,
    func,
    select,
)

from sale.memory.queries import latest_verdict, latest_verdict_on_work, paid_for_execution
from sale.memory.retrieval import IndexedAuction, IndexedEvidence
from sale.memory.schema import auctions, embeddings, evidence, executions, outcomes, strategies, tasks
from sale.memory.track_records import TrackedWork, WorkStatistics
from sale.storage.columns import ExactText

planned: Final = strategies.c.text != ""
"""An award on track records alone has bids without a plan, and nothing is to be learnt from those."""

AWARDED: Final = frozenset({"awarded", "settled"})


class _Statements:
    """The statements for one choice of auctions. Made once: to build one takes several times as long as to run it."""

    def __init__(self, heads: ColumnElement[bool], parts: ColumnElement[bool]) -> None:
        """Take the condition on `auctions`, and the one for the tables that hang on it."""
        self.heads = select(
            auctions.c.key,
            auctions.c.task,
            auctions.c.revision,
            auctions.c.started_at,
            auctions.c.status,
            auctions.c.tenant,
            auctions.c.withheld,
            latest_verdict().label("verdict"),
        ).where(heads)
        self.bidders = (
            select(strategies.c.auction, strategies.c.agent)
            .join(auctions, auctions.c.key == strategies.c.auction)
            .where(parts, planned)
        )
        self.work = (
            select(
                executions.c.auction,
                executions.c.agent,
                latest_verdict_on_work().label("verdict"),
                paid_for_execution().label("dollars"),
            )
            .join(auctions, auctions.c.key == executions.c.auction)
            .where(parts)
            .order_by(executions.c.auction, executions.c.position)
        )


_after = auctions.c.revision > bindparam("after", type_=BigInteger)
_CHANGED: Final = _Statements(_after, and_(_after, auctions.c.revision <= bindparam("upto", type_=BigInteger)))
_CHANGED_HEADS: Final = _CHANGED.heads.order_by(auctions.c.revision).limit(bindparam("most", type_=Integer))
_listed = auctions.c.key.in_(bindparam("keys", expanding=True))
_in_array = auctions.c.key == any_(bindparam("keys", type_=ARRAY(BigInteger)))
_BY_KEY: Final = {"sqlite": _Statements(_listed, _listed), "postgresql": _Statements(_in_array, _in_array)}
"""A server takes any number of keys as one value; to name each takes the driver longer than the server to answer."""


_on_first_work = (
    select(outcomes.c.verdict)
    .where(outcomes.c.auction == auctions.c.key, outcomes.c.execution == 0)
    .order_by(outcomes.c.position.desc())
    .limit(1)
    .scalar_subquery()
)
_first_work = exists().where(executions.c.auction == auctions.c.key, executions.c.position == 0)
_authors = (
    select(func.array_agg(strategies.c.agent, type_=ARRAY(ExactText)))
    .where(strategies.c.auction == auctions.c.key, planned)
    .scalar_subquery()
)
_mine = and_(embeddings.c.task == tasks.c.key, embeddings.c.embedder == bindparam("embedder"))
_WITH_TEXTS: Final = (
    select(
        auctions.c.key,
        auctions.c.id,
        auctions.c.task,
        auctions.c.started_at,
        auctions.c.status,
        auctions.c.tenant,
        auctions.c.withheld,
        case((_first_work, _on_first_work), else_=latest_verdict()).label("verdict"),
        _authors.label("bidders"),
        tasks.c.text,
        tasks.c.text_digest,
        embeddings.c.vector,
    )
    .select_from(auctions.join(tasks, tasks.c.key == auctions.c.task).outerjoin(embeddings, _mine))
    .where(_in_array)
    .order_by(auctions.c.task, auctions.c.key)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuctionWithText:
    """An auction for the index, with its task."""

    id: str
    text: str
    digest: str
    vector: bytes | None
    """`None` where there is none of the embedder asked for."""
    entry: IndexedAuction
    """Without executions."""


_CHANGED_EVIDENCE: Final = select(evidence).where(evidence.c.revision > bindparam("after", type_=BigInteger))
_EVIDENCE_BY_KEY: Final = select(evidence).where(evidence.c.key.in_(bindparam("keys", expanding=True)))


def read_changed(connection: Connection, after: int, upto: int, most: int) -> tuple[list[IndexedAuction], int]:
    """The auctions that changed after one revision and up to another, by rising revisions.

    Args:
        connection: Reading.
        after: The revision that is known.
        upto: The newest.
        most: How many at once.

    Returns:
        The auctions, and the revision up to which they are all.
    """
    heads = connection.execute(_CHANGED_HEADS, {"after": after, "most": most}).all()
    last = heads[-1].revision if len(heads) == most else upto
    return _entries(connection, _CHANGED, heads, {"after": after, "upto": last}), last


def read_by_key(connection: Connection, keys: list[int], *, bidders: bool = True) -> list[IndexedAuction]:
    """These auctions; keys that are gone are left out. Without bidders, none is an example to learn from."""
    statements = _BY_KEY[connection.dialect.name]
    heads = connection.execute(statements.heads, {"keys": keys}).all()
    return _entries(connection, statements, heads, {"keys": keys}, bidders=bidders)


def read_with_texts(connection: Connection, keys: Sequence[int], embedder: str) -> list[AuctionWithText]:
    """These auctions, by rising keys of their tasks, in one statement of a server; those that are gone are left out."""
    rows = connection.execute(_WITH_TEXTS, {"keys": list(keys), "embedder": embedder}).all()
    return [
        AuctionWithText(
            id=row.id,
            text=row.text,
            digest=row.text_digest,
            vector=row.vector,
            entry=IndexedAuction(
                auction=row.key,
                task=row.task,
                started=row.started_at.timestamp(),
                awarded=row.status in AWARDED,
                verdict=row.verdict,
                bidders=row.bidders or (),
                tenant=row.tenant,
                withheld=bool(row.withheld),
            ),
        )
        for row in rows
    ]


def read_changed_evidence(connection: Connection, after: int) -> list[IndexedEvidence]:
    """The evidence of compacted auctions that changed after a revision."""
    return _evidence(connection.execute(_CHANGED_EVIDENCE, {"after": after}).all())


def read_evidence_by_key(connection: Connection, keys: list[int]) -> list[IndexedEvidence]:
    """The evidence of these keys; those that are gone, or are of auctions, are left out."""
    return _evidence(connection.execute(_EVIDENCE_BY_KEY, {"keys": keys}).all())


def _evidence(rows: Any) -> list[IndexedEvidence]:  # noqa: ANN401
    return [
        IndexedEvidence(
            key=row.key,
            task=row.task,
            started=row.last_at.timestamp(),
            tenant=row.tenant,
            work=WorkStatistics(
                agent=row.agent,
                successes=row.successes,
                failures=row.failures,
                dollars=row.dollars,
                costed=row.costed,
            ),
        )
        for row in rows
    ]


def _entries(
    connection: Connection,
    statements: _Statements,
    heads: Any,  # noqa: ANN401  rows of `heads`
    parameters: Mapping[str, object],
    *,
    bidders: bool = True,
) -> list[IndexedAuction]:
    authors: dict[int, list[str]] = {}
    for auction, agent in connection.execute(statements.bidders, parameters).all() if bidders else ():
        authors.setdefault(auction, []).append(agent)
    work: dict[int, list[TrackedWork]] = {}
    for row in connection.execute(statements.work, parameters).all():
        one = TrackedWork(agent=row.agent, verdict=row.verdict, dollars=row.dollars)
        work.setdefault(row.auction, []).append(one)
    return [
        IndexedAuction(
            auction=row.key,
            task=row.task,
            started=row.started_at.timestamp(),
            awarded=row.status in AWARDED,
            # The winner's own work, whatever became of the task in other hands.
            verdict=work[row.key][0].verdict if row.key in work else row.verdict,
            bidders=authors.get(row.key, ()),
            work=work.get(row.key, ()),
            tenant=row.tenant,
            withheld=bool(row.withheld),
        )
        for row in heads
    ]
