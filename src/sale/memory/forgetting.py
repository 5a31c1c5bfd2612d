"""Real deletion."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exists, func, select, update

from sale.errors import InputError
from sale.memory import queries, vector_table
from sale.memory.records import ForgetReport
from sale.memory.schema import auctions, evidence, pairs, state, success_models, tasks, weight_sets
from sale.memory.writing import next_revision

CHUNK = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class ForgetFilter:
    """The auctions to forget: those named, and those for which all given conditions hold."""

    ids: tuple[str, ...] = ()
    before: datetime | None = None
    source: str | None = None
    tenant: str | None = None

    def __post_init__(self) -> None:
        if not self.ids and self.before is None and self.source is None and self.tenant is None:
            raise InputError("nothing to forget is named", hint="Give ids, `before`, `source` or `tenant`.")
        if self.before is not None and self.before.tzinfo is None:
            raise InputError(f"a time without a zone: {self.before!r}", hint="Use datetime(…, tzinfo=UTC).")


def forget(connection: Connection, chosen: ForgetFilter) -> ForgetReport:
    """Delete, inside the caller's writing transaction. Auctions being held are spared, and refused where named.

    Raises:
        InputError: A name is not found or not unique, or the auction is being held right now.
    """
    doomed = _doomed(connection, chosen)
    quoted = 0
    keys = sorted(doomed)
    for start in range(0, len(keys), CHUNK):
        part = keys[start : start + CHUNK]
        names = [doomed[key] for key in part]
        quoted += connection.execute(delete(pairs).where(pairs.c.past_auction.in_(names))).rowcount
        connection.execute(delete(auctions).where(auctions.c.key.in_(part)))
    if chosen.before is not None or chosen.source is not None or chosen.tenant is not None:
        quoted += _delete_orphan_quotations(connection)
    lines = _delete_evidence(connection, chosen)
    gone = 0
    if keys or lines or quoted:
        gone = delete_orphans(connection)
        next_revision(connection)
        connection.execute(update(state).values(generation=state.c.generation + 1))
    return ForgetReport(auctions=len(keys), tasks=gone, pairs=quoted, evidence=lines)


def preview_forget(connection: Connection, chosen: ForgetFilter) -> ForgetReport:
    """Count the auctions, and the lines kept of compacted ones, that `forget` would delete by its conditions.

    Raises:
        InputError: As for `forget`.
    """
    conditions = _evidence_conditions(chosen)
    kept = select(func.count()).select_from(evidence).where(and_(*conditions))
    lines = connection.execute(kept).scalar_one() if conditions else 0
    return ForgetReport(auctions=len(_doomed(connection, chosen)), tasks=0, pairs=0, evidence=lines)


def delete_orphans(connection: Connection) -> int:
    """Delete tasks that no auction has any more, and what hangs on them; gives back how many tasks."""
    none_left = ~exists(select(1).where(auctions.c.task == tasks.c.key).correlate(tasks))
    unused = ~exists(select(1).where(evidence.c.task == tasks.c.key).correlate(tasks))
    gone = connection.execute(delete(tasks).where(none_left, unused)).rowcount
    vector_table.drop_orphans(connection)
    connection.execute(delete(success_models).where(~_used_in(auctions), ~_used_in(weight_sets)))
    return gone


def _delete_orphan_quotations(connection: Connection) -> int:
    """Delete quotations of auctions that are gone. Of those it is not known when, where and for whom they were held."""
    still = exists(select(1).where(auctions.c.id == pairs.c.past_auction).correlate(pairs))
    return connection.execute(delete(pairs).where(pairs.c.past.is_(None), ~still)).rowcount


def _delete_evidence(connection: Connection, chosen: ForgetFilter) -> int:
    """Delete what compaction kept of such auctions, and what it put down at a task of which none of their own is left.

    A line stands for several auctions: one that was begun early enough takes the others along.
    """
    own = and_(
        auctions.c.task == evidence.c.task,
        auctions.c.tenant == evidence.c.tenant,
        auctions.c.source == evidence.c.source,
    )
    gone = connection.execute(delete(evidence).where(~exists(select(1).where(own).correlate(evidence)))).rowcount
    if conditions := _evidence_conditions(chosen):
        gone += connection.execute(delete(evidence).where(and_(*conditions))).rowcount
    return gone


def _evidence_conditions(chosen: ForgetFilter) -> list[ColumnElement[bool]]:
    """Return the conditions for what compaction kept; none where only ids are named."""
    conditions: list[ColumnElement[bool]] = []
    if chosen.before is not None:
        conditions.append(evidence.c.first_at < chosen.before)
    if chosen.source is not None:
        conditions.append(evidence.c.source == chosen.source)
    if chosen.tenant is not None:
        conditions.append(evidence.c.tenant == chosen.tenant)
    return conditions


def _used_in(table: Table) -> ColumnElement[bool]:
    """Return the condition that rows of a table refer to a success model."""
    return exists(select(1).where(table.c.model == success_models.c.digest).correlate(success_models))


def _doomed(connection: Connection, chosen: ForgetFilter) -> dict[int, str]:
    found: dict[int, str] = {}
    for name in chosen.ids:
        key = queries.resolve(connection, name)
        head = connection.execute(select(auctions.c.id, auctions.c.owner).where(auctions.c.key == key)).one()
        if head.owner is not None:
            raise InputError(f"the auction {head.id!r} is being held right now", hint="Wait until it is over.")
        found[key] = head.id
    conditions: list[ColumnElement[bool]] = [auctions.c.owner.is_(None)]
    if chosen.before is not None:
        conditions.append(auctions.c.started_at < chosen.before)
    if chosen.source is not None:
        conditions.append(auctions.c.source == chosen.source)
    if chosen.tenant is not None:
        conditions.append(auctions.c.tenant == chosen.tenant)
    if len(conditions) > 1:
        rows = connection.execute(select(auctions.c.key, auctions.c.id).where(and_(*conditions)))
        found.update((row.key, row.id) for row in rows.all())
    return found
