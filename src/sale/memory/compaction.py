"""Compaction: of many like auctions one stays whole, and of the others what their agents' work came to.

A block of the oldest auctions is taken, by tenant and source; those that serve best as examples stay, as exemplars, and
the executions of the others are added up by agent: successes, failures, dollars. These sums are all that track records
need of an execution but its text, in whose place stands that of the exemplar most like it. What was added up before is
added up again with it, so evidence that grows old is known more and more coarsely, and counts half as much after each
half-life. Everything here runs in the caller's writing transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import heapify, heappop, heappush
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, and_, delete, func, insert, select, tuple_, update

from sale.memory.forgetting import delete_orphans
from sale.memory.index_entries import read_by_key
from sale.memory.index_sync import TextEncoder
from sale.memory.retrieval import IndexedAuction
from sale.memory.schema import auctions, embeddings, evidence, pairs, state
from sale.memory.text_dedup import find_quoted
from sale.memory.track_records import WorkStatistics
from sale.memory.writing import next_revision

BLOCK: Final = 4000
"""Auctions that are looked at together: their vectors are held in memory, and the writers' turn is kept for as long."""
EXAMPLES: Final = 3
"""Nearest examples of an agent that the choice of what stays goes by; an agent is shown up to `rules.examples`."""
UNPROVEN: Final = 0.75
"""Weight of an example without a verdict, against one that was a success."""
PLACE_OF_STATISTICS: Final = 0.05
"""Weight of a text by which statistics are found again, against an example."""
ROUNDING: Final = 1e-9
NOTHING: Final = 0.05
"""Of an execution: less is forgotten altogether."""
CHUNK: Final = 500
Cursor = tuple[datetime, int]
"""When an auction was begun, and its key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidenceRow:
    """The outcome of one agent's executions in auctions that were compacted."""

    task: int
    """An exemplar of their tasks."""
    tenant: str
    source: str
    work: WorkStatistics
    first_at: datetime
    """When the oldest of the auctions was begun."""
    last_at: datetime
    """And the newest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockPlan:
    """The fate of a block of auctions."""

    last: Cursor
    """Its newest auction."""
    doomed: Sequence[int] = ()
    """Keys of the auctions that go."""
    merged: Sequence[int] = ()
    """Keys of evidence that is added up again."""
    rows: Sequence[EvidenceRow] = ()
    """The evidence that is kept in place of both."""
    unjudged: int = 0
    """Executions that go without a verdict, and so count nowhere."""
    faded: float = 0.0
    """Executions that time took off."""


@dataclass(kw_only=True, slots=True)
class _Sum:
    """Statistics while they are added up."""

    successes: float = 0.0
    failures: float = 0.0
    dollars: float = 0.0
    costed: float = 0.0
    times: list[datetime] = field(default_factory=list[datetime])

    def add(self, work: WorkStatistics, factor: float, *times: datetime) -> None:
        self.successes += factor * work.successes
        self.failures += factor * work.failures
        self.dollars += factor * work.dollars
        self.costed += factor * work.costed
        self.times.extend(times)


def count_finished(connection: Connection) -> int:
    """Count the auctions that compaction may look at."""
    return int(connection.execute(select(func.count()).select_from(auctions).where(_finished)).scalar_one())


_finished = and_(auctions.c.owner.is_(None), auctions.c.status != "open")
_place = tuple_(auctions.c.started_at, auctions.c.key)


def plan_block(
    connection: Connection,
    encoder: TextEncoder,
    after: Cursor | None,
    *,
    share: float,
    most: int,
    half_life_days: float | None,
    now: datetime,
) -> BlockPlan | None:
    """Look at the next block.

    Args:
        connection: Reading.
        encoder: Auctions whose task has no sound vector of its embedder are left as they are.
        after: The end of the block before; `None`: the oldest first.
        share: Of auctions that stay, or as many more as `most` leaves; of each tenant and source at least one.
        most: How many may go.
        half_life_days: After how many days an execution counts half; `None`: time changes nothing.
        now: The present.

    Returns:
        `None` where there are no more auctions.
    """
    columns = (auctions.c.key, auctions.c.started_at, auctions.c.source, auctions.c.task, embeddings.c.vector)
    mine = and_(embeddings.c.task == auctions.c.task, embeddings.c.embedder == encoder.name)
    query = select(*columns).outerjoin(embeddings, mine).where(_finished)
    if after is not None:
        query = query.where(_place > tuple_(*after))
    rows = connection.execute(query.order_by(auctions.c.started_at, auctions.c.key).limit(BLOCK)).all()
    if not rows:
        return None
    last = (rows[-1].started_at, rows[-1].key)
    sound = encoder.check_vectors([row.vector for row in rows])
    known = {row.key: row for row, good in zip(rows, sound, strict=True) if good}
    entries = [entry for start in range(0, len(known), CHUNK) for entry in _entries(connection, known, start)]
    groups: dict[tuple[str, str, bool], list[IndexedAuction]] = {}
    for entry in entries:
        groups.setdefault((entry.tenant, known[entry.auction].source, entry.withheld), []).append(entry)
    block = _Block(connection, half_life_days, now)
    share = max(share, 1.0 - most / len(rows))
    for (tenant, source, _), members in sorted(groups.items()):
        vectors = encoder.matrix([known[entry.auction].vector for entry in members])
        nearest = choose_exemplars(vectors, members, max(1, int(share * len(members) + ROUNDING)))
        for exemplar in map(int, np.unique(nearest)):
            keep = members[exemplar]
            gone = [members[place] for place in np.flatnonzero(nearest == exemplar) if place != exemplar]
            gone.sort(key=_worth, reverse=True)
            gone = gone[max(0, len(gone) - most + len(block.doomed)) :]  # the best of them stay
            if gone:
                block.take(keep, gone, tenant, source)
    return block.plan(last)


def _entries(connection: Connection, known: dict[int, Row[*tuple[Any, ...]]], start: int) -> list[IndexedAuction]:
    found = read_by_key(connection, list(known)[start : start + CHUNK])
    return sorted(found, key=lambda entry: (entry.started, entry.auction))


def _worth(entry: IndexedAuction) -> tuple[bool, bool, float]:
    """An order of auctions: of use to learn from, proven, recent."""
    return entry.is_example, entry.is_example and entry.verdict == "success", entry.started


class _Block:
    """A plan while it is made."""

    def __init__(self, connection: Connection, half_life_days: float | None, now: datetime) -> None:
        self.doomed: list[int] = []
        self._connection = connection
        self._half_life = half_life_days
        self._now = now
        self._merged: list[int] = []
        self._rows: list[EvidenceRow] = []
        self._unjudged = 0
        self._faded = 0.0

    def take(self, keep: IndexedAuction, gone: Sequence[IndexedAuction], tenant: str, source: str) -> None:
        """One auction stays; the others, and what was added up at any of their tasks, are added up."""
        sums: dict[str, _Sum] = {}
        for entry in gone:
            self.doomed.append(entry.auction)
            begun = datetime.fromtimestamp(entry.started, UTC)
            for one in entry.work:
                if one.verdict not in {"success", "failure"}:
                    self._unjudged += 1
                    continue
                self._add(sums, one.statistics, begun, begun, begun)
        for row in self._known([keep.task, *(entry.task for entry in gone)], tenant, source):
            self._merged.append(row.key)
            work = WorkStatistics(
                agent=row.agent,
                successes=row.successes,
                failures=row.failures,
                dollars=row.dollars,
                costed=row.costed,
            )
            self._add(sums, work, row.faded_at, row.first_at, row.last_at)
        for agent, total in sorted(sums.items()):
            if total.successes + total.failures < NOTHING:
                self._faded += total.successes + total.failures
                continue
            work = WorkStatistics(
                agent=agent,
                successes=total.successes,
                failures=total.failures,
                dollars=total.dollars,
                costed=total.costed,
            )
            self._rows.append(
                EvidenceRow(
                    task=keep.task,
                    tenant=tenant,
                    source=source,
                    work=work,
                    first_at=min(total.times),
                    last_at=max(total.times),
                )
            )

    def _add(self, sums: dict[str, _Sum], work: WorkStatistics, since: datetime, *times: datetime) -> None:
        days = max(0.0, (self._now - since).total_seconds() / 86400)
        factor = 1.0 if self._half_life is None else 0.5 ** (days / self._half_life)
        self._faded += (1.0 - factor) * (work.successes + work.failures)
        sums.setdefault(work.agent, _Sum()).add(work, factor, *times)

    def _known(self, tasks: Sequence[int], tenant: str, source: str) -> Sequence[Row[*tuple[Any, ...]]]:
        own = and_(evidence.c.tenant == tenant, evidence.c.source == source)
        found: list[Row[*tuple[Any, ...]]] = []
        wanted = sorted(set(tasks))
        for start in range(0, len(wanted), CHUNK):
            chosen = evidence.c.task.in_(wanted[start : start + CHUNK])
            found += self._connection.execute(select(evidence).where(own, chosen).order_by(evidence.c.key)).all()
        taken = set(self._merged)
        return [row for row in found if row.key not in taken]

    def plan(self, last: Cursor) -> BlockPlan:
        return BlockPlan(
            last=last,
            doomed=tuple(self.doomed),
            merged=tuple(self._merged),
            rows=tuple(self._rows),
            unjudged=self._unjudged,
            faded=self._faded,
        )


def choose_exemplars(vectors: NDArray[np.float32], members: Sequence[IndexedAuction], count: int) -> NDArray[np.int64]:
    """Choose the auctions that stay: together the best examples for tasks like the ones on record.

    An agent learns from the few texts nearest to its task in whose auctions it bid. So the tasks on record stand for
    those to come, and the sum over tasks and agents of the likeness of the nearest `EXAMPLES` is made large: greedily,
    by the text that adds most to it, which reaches at least 63 % of the greatest sum there is (Nemhauser, Wolsey and
    Fisher, 1978). An auction is never an example to itself, but to others about the same text.

    Args:
        vectors: Of the members' tasks, shape (members, dimensions), rows of unit length.
        members: The auctions.
        count: How many stay at most, at least 1; of each text one.

    Returns:
        For each member the place of the exemplar that is most like it; an exemplar's own is itself.
    """
    alike: dict[bytes, list[int]] = {}
    for place, vector in enumerate(vectors):
        alike.setdefault(vector.tobytes(), []).append(place)
    best = np.array([max(places, key=lambda place: _worth(members[place])) for places in alike.values()])
    copies = np.array([len(places) for places in alike.values()], dtype=np.float32)
    likeness = vectors[best] @ vectors[best].T
    np.fill_diagonal(likeness, 1.0 - 1.0 / copies)
    uses = [_uses(members[place]) for place in map(int, best)]
    chosen = _cover(np.maximum(likeness, 0.0), copies, uses, count)
    np.fill_diagonal(likeness, 2.0)
    nearest = best[chosen][np.argmax(likeness[:, chosen], axis=1)]
    found = np.empty(len(members), dtype=np.int64)
    for places, exemplar in zip(alike.values(), nearest, strict=True):
        found[places] = exemplar
    return found


Uses = Sequence[tuple[str | None, float]]
"""Agents that an auction is an example for, each with its weight; `None`: a text to put statistics down at."""


def _uses(entry: IndexedAuction) -> Uses:
    usable, success, _ = _worth(entry)
    weight = 1.0 if success else UNPROVEN
    return [(None, PLACE_OF_STATISTICS), *((agent, weight) for agent in set(entry.bidders) if usable)]


def _cover(likeness: NDArray[np.float32], copies: NDArray[np.float32], uses: Sequence[Uses], count: int) -> list[int]:
    """Choose so many texts, or all, each time the one that adds most; in rising order."""
    nothing = np.zeros((len(uses), EXAMPLES), dtype=np.float32)
    covered: dict[str | None, NDArray[np.float32]] = {}

    def added(text: int) -> float:
        """The likeness that one more exemplar adds."""
        return sum(
            weight * float(copies @ np.maximum(likeness[text] - covered.get(agent, nothing)[:, 0], 0.0))
            for agent, weight in uses[text]
        )

    waiting = [(-added(text), text) for text in range(len(uses))]
    heapify(waiting)
    chosen: list[int] = []
    while waiting and len(chosen) < count:
        # What a text adds becomes less with each that is chosen: the first whose amount is still true is the best.
        _, text = heappop(waiting)
        now = (-added(text), text)
        if waiting and now > waiting[0]:
            heappush(waiting, now)
            continue
        chosen.append(text)
        for agent, _ in uses[text]:
            nearest = np.column_stack((covered.get(agent, nothing), likeness[text]))
            covered[agent] = np.sort(nearest, axis=1)[:, 1:]
    return sorted(chosen)


def carry_out(connection: Connection, plan: BlockPlan, now: datetime) -> int:
    """Put down the evidence and delete the auctions.

    Args:
        connection: Writing, in the transaction in which the plan was made.
        plan: What to do.
        now: The present.

    Returns:
        Tasks of which nothing is left.
    """
    revision = next_revision(connection, by=len(plan.rows) + 1)
    for start in range(0, len(plan.merged), CHUNK):
        connection.execute(delete(evidence).where(evidence.c.key.in_(plan.merged[start : start + CHUNK])))
    fields = [
        {
            "key": key,
            "id": uuid.uuid4().hex,
            "task": row.task,
            "revision": key,
            "tenant": row.tenant,
            "source": row.source,
            "agent": row.work.agent,
            "successes": row.work.successes,
            "failures": row.work.failures,
            "dollars": row.work.dollars,
            "costed": row.work.costed,
            "first_at": row.first_at,
            "last_at": row.last_at,
            "faded_at": now,
        }
        for key, row in enumerate(plan.rows, start=revision)
    ]
    if fields:
        connection.execute(insert(evidence), fields)
    doomed = sorted(plan.doomed)
    for start in range(0, len(doomed), CHUNK):
        connection.execute(delete(pairs).where(pairs.c.auction.in_(doomed[start : start + CHUNK])))
    for start in range(0, len(doomed), CHUNK):
        part = doomed[start : start + CHUNK]
        _write_out_quotations(connection, part)
        connection.execute(delete(auctions).where(auctions.c.key.in_(part)))
    connection.execute(update(state).values(generation=state.c.generation + 1))
    return delete_orphans(connection)


def _write_out_quotations(connection: Connection, doomed: Sequence[int]) -> None:
    """Give refinements that stay the texts they quote from auctions that go."""
    rows = connection.execute(select(pairs).where(pairs.c.past.in_(doomed))).mappings().all()
    quoted = find_quoted(connection, rows)
    for row in rows:
        past = row["past"]
        texts = {
            "task": quoted.tasks[past],
            "losing": quoted.strategies[past, row["losing_of"]],
            "winning": quoted.strategies[past, row["winning_of"]],
        }
        mine = and_(pairs.c.auction == row["auction"], pairs.c.position == row["position"])
        connection.execute(update(pairs).where(mine).values(**texts, past=None, losing_of=None, winning_of=None))
