"""Looking auctions up: by id or its beginning, by what became of them, in short lines and in counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Double, Row, Select, and_, case, exists, func, literal, or_, select, true

from sale.errors import InputError
from sale.memory.plausible import MAX_DOLLARS, sum_of_dollars
from sale.memory.records import AuctionSummary, MemoryStats, Status
from sale.memory.schema import auctions, calls, evidence, executions, outcomes, scores, strategies, tasks
from sale.storage.columns import ExactText
from sale.types import Verdict

SHOWN = 240
"""Characters of a task's text in a summary."""
CANDIDATES = 5
CHUNK = 500

_last_judgement = (
    select(func.max(outcomes.c.position)).where(outcomes.c.auction == auctions.c.key).correlate(auctions)
).scalar_subquery()
_latest = and_(outcomes.c.auction == auctions.c.key, outcomes.c.position == _last_judgement)
_judged = exists(select(1).where(scores.c.auction == strategies.c.auction, scores.c.strategy == strategies.c.position))
_is_bid = or_(strategies.c.text != "", _judged.correlate(strategies))
"""True of a plan, or of what jurors scored without one; not of the track records that other awards go by."""
_won = and_(strategies.c.auction == auctions.c.key, strategies.c.won)


def latest_verdict() -> Any:  # noqa: ANN401  SQLAlchemy's scalar selects have no narrower type that fits here
    """The verdict that counts, as a column of a query over `auctions`."""
    return select(outcomes.c.verdict).where(_latest).correlate(auctions).scalar_subquery()


def read_verdicts(connection: Connection, auction_ids: Sequence[str]) -> dict[str, Verdict]:
    """Return the latest verdict by auction, of those that were judged."""
    found: dict[str, Verdict] = {}
    for place in range(0, len(auction_ids), CHUNK):
        asked = select(auctions.c.id, latest_verdict().label("verdict")).where(
            auctions.c.id.in_(auction_ids[place : place + CHUNK])
        )
        found |= {row.id: row.verdict for row in connection.execute(asked) if row.verdict is not None}
    return found


def latest_verdict_on_work() -> Any:  # noqa: ANN401
    """The verdict that counts for one execution, as a column of a query over `executions`."""
    return _latest_on_work(outcomes.c.verdict)


def latest_judge_of_work() -> Any:  # noqa: ANN401
    """The judge whose verdict counts for one execution, likewise."""
    return _latest_on_work(outcomes.c.judged_by)


def _latest_on_work(column: Any) -> Any:  # noqa: ANN401
    mine = and_(outcomes.c.auction == executions.c.auction, outcomes.c.execution == executions.c.position)
    newest = select(column).where(mine).order_by(outcomes.c.position.desc()).limit(1)
    return newest.correlate(executions).scalar_subquery()


def paid_for_execution() -> Any:  # noqa: ANN401
    """The dollars of one execution's own calls, likewise; null where no call tells of any that can be some."""
    mine = and_(calls.c.auction == executions.c.auction, calls.c.execution == executions.c.position)
    possible = and_(calls.c.part == "execution", calls.c.dollars.between(0.0, MAX_DOLLARS))
    # A column of dollars would read a null as not a number, which it stores so.
    total = select(func.sum(calls.c.dollars, type_=Double))
    return total.where(mine, possible).correlate(executions).scalar_subquery()


@dataclass(frozen=True, kw_only=True, slots=True)
class AuctionFilter:
    """Which auctions to list; what is `None` does not narrow."""

    status: Status | None = None
    agent: str | None = None
    """Took part."""
    verdict: Verdict | None = None
    domain: str | None = None
    tenant: str | None = None


def resolve(connection: Connection, given: str, tenant: str | None = None) -> int:
    """The key of the auction with this id, or whose id alone begins like this.

    Args:
        connection: Reading.
        given: The id, or the beginning of it.
        tenant: Among the auctions of this one; `None`: among all.

    Raises:
        InputError: There is none, or there are several.
    """
    own = true() if tenant is None else auctions.c.tenant == tenant
    exact = connection.execute(select(auctions.c.key).where(auctions.c.id == given, own)).scalar()
    if exact is not None:
        return int(exact)
    beginning = literal(given, ExactText)
    alike = (
        select(auctions.c.key, auctions.c.id)
        .where(func.substr(auctions.c.id, 1, func.length(beginning)) == beginning, own)
        .order_by(auctions.c.id)
        .limit(CANDIDATES + 1)
    )
    found = connection.execute(alike).all() if given else ()
    if not found:
        raise InputError(f"there is no auction {given!r} in the memory", hint="`sale memory list` shows their ids.")
    if len(found) > 1:
        names = ", ".join(row.id for row in found[:CANDIDATES])
        more = ", and more" if len(found) > CANDIDATES else ""
        raise InputError(f"several auctions begin with {given!r}: {names}{more}", hint="Give more of the id.")
    return int(found[0].key)


def list_latest(connection: Connection, chosen: AuctionFilter, limit: int, offset: int) -> tuple[AuctionSummary, ...]:
    """Summaries, the newest auction first."""
    query = _narrow(_summaries(), chosen).order_by(auctions.c.started_at.desc(), auctions.c.key.desc())
    rows = connection.execute(query.limit(limit).offset(offset)).all()
    return tuple(_summary(row) for row in rows)


def find_by_keys(connection: Connection, keys: Sequence[int]) -> dict[int, AuctionSummary]:
    """Summaries of these auctions; keys that are gone are left out."""
    found: dict[int, AuctionSummary] = {}
    for start in range(0, len(keys), CHUNK):
        chosen = auctions.c.key.in_(keys[start : start + CHUNK])
        rows = connection.execute(_summaries().where(chosen)).all()
        found.update((int(row.key), _summary(row)) for row in rows)
    return found


def count(connection: Connection, *, file_bytes: int, index_bytes: int, recall: str) -> MemoryStats:
    """Count records, and the bytes they take."""
    by_status = select(auctions.c.status, func.count()).group_by(auctions.c.status)
    by_verdict = select(outcomes.c.verdict, func.count()).select_from(auctions).join(outcomes, _latest)
    return MemoryStats(
        auctions={row[0]: row[1] for row in connection.execute(by_status).all()},
        verdicts={row[0]: row[1] for row in connection.execute(by_verdict.group_by(outcomes.c.verdict)).all()},
        tasks=_scalar(connection, select(func.count()).select_from(tasks)),
        **_count_kinds(connection),
        strategies=_scalar(connection, select(func.count()).select_from(strategies).where(strategies.c.text != "")),
        evidence=_scalar(connection, select(func.count()).select_from(evidence)),
        dollars=_scalar(connection, select(func.coalesce(sum_of_dollars(calls.c.dollars), 0.0))),
        file_bytes=file_bytes,
        index_bytes=index_bytes,
        recall=recall,
    )


def _count_kinds(connection: Connection) -> dict[str, int]:
    """Count auctions with bids, awards without them, and what was imported."""
    mine, awarded = auctions.c.source == "", auctions.c.awarded_at.is_not(None)
    made = exists(select(1).where(strategies.c.auction == auctions.c.key, _is_bid).correlate(auctions))
    kinds = {"held": and_(mine, made), "standing": and_(mine, awarded, ~made), "imported": ~mine}
    counted = [func.coalesce(func.sum(case((kind, 1), else_=0)), 0) for kind in kinds.values()]
    row = connection.execute(select(*counted).select_from(auctions)).one()
    return {name: int(number) for name, number in zip(kinds, row, strict=True)}


def _scalar(connection: Connection, query: Select[*tuple[Any, ...]]) -> Any:  # noqa: ANN401  a count or a sum
    return connection.execute(query).scalar_one()


def _narrow(query: Select[*tuple[Any, ...]], chosen: AuctionFilter) -> Select[*tuple[Any, ...]]:
    if chosen.status is not None:
        query = query.where(auctions.c.status == chosen.status)
    if chosen.agent is not None:
        took_part = and_(strategies.c.auction == auctions.c.key, strategies.c.agent == chosen.agent)
        query = query.where(exists(select(1).where(took_part).correlate(auctions)))
    if chosen.verdict is not None:
        query = query.where(outcomes.c.verdict == chosen.verdict)
    if chosen.domain is not None:
        query = query.where(tasks.c.domain == chosen.domain)
    if chosen.tenant is not None:
        query = query.where(auctions.c.tenant == chosen.tenant)
    return query


def _summaries() -> Select[*tuple[Any, ...]]:
    paid = select(func.coalesce(sum_of_dollars(calls.c.dollars), 0.0)).where(calls.c.auction == auctions.c.key)
    bids = select(func.count()).select_from(strategies).where(strategies.c.auction == auctions.c.key, _is_bid)
    return (
        select(
            auctions,
            func.substr(tasks.c.text, 1, SHOWN, type_=ExactText).label("text"),
            tasks.c.id.label("task_id"),
            tasks.c.domain,
            outcomes.c.verdict,
            outcomes.c.judged_by,
            select(strategies.c.agent).where(_won).correlate(auctions).scalar_subquery().label("winner"),
            select(strategies.c.refined).where(_won).correlate(auctions).scalar_subquery().label("flipped"),
            bids.correlate(auctions).scalar_subquery().label("bids"),
            paid.correlate(auctions).scalar_subquery().label("dollars"),
        )
        .join(tasks, tasks.c.key == auctions.c.task)
        .outerjoin(outcomes, _latest)
    )


def _summary(row: Row[*tuple[Any, ...]]) -> AuctionSummary:
    return AuctionSummary(
        id=row.id,
        task=row.text,
        task_id=row.task_id,
        domain=row.domain,
        status=row.status,
        source=row.source,
        tenant=row.tenant,
        started_at=row.started_at,
        bids=row.bids,
        winner=row.winner,
        provisional=row.provisional,
        flipped=bool(row.flipped),
        verdict=row.verdict,
        judged_by=row.judged_by,
        dollars=row.dollars,
    )
