"""The index of recall: the most similar past tasks, by exact cosine over vectors held in this process.

The index is a copy of what recall needs to choose: one vector for each distinct text, and for each auction who bid,
when, for whom, and whether it may serve as an example. It follows the database by its revision, so what another process
settles is seen by the next call, at the price of the new rows only; what was forgotten is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from sale.memory.arrays import grow
from sale.memory.prior import PriorWork
from sale.memory.tenants import DEFAULT
from sale.memory.track_records import NEAR, TrackedWork, TrackIndex, WorkContext, WorkStatistics
from sale.types import TrackRecord

Vector = NDArray[np.float32]
NOBODY: Final = -1
"""In place of a tenant's number: work that is known from elsewhere, and everybody's."""
STORED: Final = np.dtype("<f4")
KEPT: Final = 8
"""Tasks whose similarities to all texts are at hand: auctions are held side by side, and each asks several times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexedAuction:
    """The data the index needs of one auction."""

    auction: int
    task: int
    started: float
    """Seconds since 1970."""
    awarded: bool
    """It has a winner and was not abandoned."""
    verdict: str | None
    """The latest on the winner's work; where there was none, on the award."""
    bidders: Sequence[str]
    """Authors of its strategies, as far as the strategies can be read."""
    work: Sequence[TrackedWork] = ()
    """Its executions, in their order."""
    tenant: str = DEFAULT
    """The tenant of the auction."""
    withheld: bool = False
    """True where it is never an example."""

    @property
    def is_example(self) -> bool:
        """True where plans may be learnt from it; `nearest_sql` asks a server the same.

        One plan alone is not a contrast, and a failure is not an example of winning.
        """
        return not self.withheld and self.awarded and len(self.bidders) > 1 and self.verdict != "failure"


@dataclass(frozen=True, kw_only=True, slots=True)
class PairCandidate:
    """A past strategy, as far as the choice of a pair depends on it."""

    agent: str
    text: str
    net_cost: float
    refined: bool
    """Entered as a refined bid."""
    won: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexedEvidence:
    """The data the index needs of what was kept of auctions that were compacted."""

    key: int
    task: int
    """An exemplar of their tasks."""
    started: float
    """When the newest of them was begun, in seconds since 1970."""
    tenant: str
    work: WorkStatistics


Own = Literal["losing", "winning", "both"]


def contrast(candidates: Sequence[PairCandidate], agent: str) -> tuple[str, str, Own] | None:
    """The losing and the winning strategy of a past auction that teach `agent` most, and which of them it wrote.

    Where the agent lost: its best losing strategy against the winner's. Where it won: the best of the others against
    its own; but if its refined strategy won, its own first one, which differs in what refinement changed. "Best" is the
    smallest C − V, the earlier bid first among equals.

    Args:
        candidates: All strategies of the auction, in their order on record.
        agent: Who is to learn.

    Returns:
        `None` where the agent has no part in it, or there is nothing to compare with.
    """
    winner = next((one for one in candidates if one.won), None)
    if winner is None:
        return None
    losing = [one for one in candidates if not one.won]
    own = [one for one in losing if one.agent == agent]
    if winner.agent != agent:
        return (_best(own).text, winner.text, "losing") if own else None
    if own and (winner.refined or len(own) == len(losing)):
        return _best([one for one in own if not one.refined] or own).text, winner.text, "both"
    others = [one for one in losing if one.agent != agent]
    return (_best(others).text, winner.text, "winning") if others else None


def _best(candidates: Sequence[PairCandidate]) -> PairCandidate:
    return min(candidates, key=lambda one: (math.isnan(one.net_cost), one.net_cost))


class RecallIndex:
    """The vectors and marks recall chooses by. Not for use by several threads at once."""

    def __init__(self, dimensions: int, prior: PriorWork | None = None) -> None:
        """At revision 0; with nothing but what is known beforehand."""
        self.revision = 0
        self.last_task = 0
        self._texts: dict[str, int] = {}
        self._tasks: dict[int, int] = {}
        self._vectors: Vector = np.zeros((0, dimensions), dtype=np.float32)
        self._places: dict[int, int] = {}
        self._auction = np.zeros(0, dtype=np.int64)
        self._row = np.zeros(0, dtype=np.int64)
        self._started = np.zeros(0, dtype=np.float64)
        self._tenant = np.zeros(0, dtype=np.int32)
        self._tenants: dict[str, int] = {}
        self._there = np.zeros(0, dtype=np.bool_)
        self._usable = np.zeros(0, dtype=np.bool_)
        self._succeeded = np.zeros(0, dtype=np.bool_)
        self._bid: dict[str, NDArray[np.bool_]] = {}
        self._tracks = TrackIndex()
        self._similarities: dict[bytes, Vector] = {}
        if prior is not None:
            rows = self._put_texts(prior.digests, prior.vectors)
            for place, (row, work) in enumerate(zip(rows, prior.work, strict=True), start=1):
                self._tracks.put(WorkContext(auction=-place, row=row, started=0.0, tenant=NOBODY), work)

    @property
    def nbytes(self) -> int:
        """Bytes the arrays take."""
        own = (self._auction, self._row, self._started, self._tenant)
        arrays = (self._vectors, *own, *self._similarities.values())
        marks = (self._there, self._usable, self._succeeded, *self._bid.values())
        return sum(array.nbytes for array in (*arrays, *marks)) + self._tracks.nbytes

    def put_tasks(self, tasks: Sequence[tuple[int, str]], vectors: Vector) -> None:
        """Take in tasks, by rising keys; those with the same text share a row.

        Args:
            tasks: The key of each and the digest of its text.
            vectors: Of the texts, shape (tasks, dimensions).
        """
        rows = self._put_texts([digest for _, digest in tasks], vectors)
        for (task, _), row in zip(tasks, rows, strict=True):
            self._tasks[task] = row
            self.last_task = task

    def _put_texts(self, digests: Sequence[str], vectors: Vector) -> list[int]:
        known = len(self._texts)
        rows = [self._texts.setdefault(digest, len(self._texts)) for digest in digests]
        if len(self._texts) > len(self._vectors):
            self._vectors = grow(self._vectors, len(self._texts))
        self._vectors[rows] = vectors
        if min(rows, default=known) < known:
            self._similarities.clear()
        return rows

    def put(self, entry: IndexedAuction) -> None:
        """Take in an auction, or what has changed about it. Its task must be there."""
        place = self._places.setdefault(entry.auction, len(self._places))
        if place >= len(self._auction):
            self._grow(place + 1)
        self._auction[place] = entry.auction
        self._row[place] = self._tasks[entry.task]
        self._started[place] = entry.started
        tenant = self._tenant[place] = self._tenants.setdefault(entry.tenant, len(self._tenants))
        self._there[place] = True
        self._usable[place] = entry.is_example
        self._succeeded[place] = entry.is_example and entry.verdict == "success"
        for agent in entry.bidders:
            if agent not in self._bid:
                self._bid[agent] = np.zeros(len(self._auction), dtype=np.bool_)
            self._bid[agent][place] = True
        place_of = WorkContext(
            auction=entry.auction, row=self._tasks[entry.task], started=entry.started, tenant=int(tenant)
        )
        self._tracks.put(place_of, entry.work)

    def put_evidence(self, one: IndexedEvidence) -> None:
        """Take in what was kept of auctions, or what has changed about it. Its task must be there."""
        tenant = self._tenants.setdefault(one.tenant, len(self._tenants))
        place = WorkContext(auction=one.key, row=self._tasks[one.task], started=one.started, tenant=tenant)
        self._tracks.put_statistics(place, (one.work,))

    def retain(self, auctions: Collection[int]) -> bool:
        """Drop all auctions, and all evidence, but that of these keys. Their room is not won back.

        Returns:
            Whether so little is left that it is better to start anew.
        """
        gone = [place for auction, place in self._places.items() if auction not in auctions]
        for marks in (self._there, self._usable, self._succeeded):
            marks[gone] = False
        self._tracks.retain(auctions)
        return 2 * len(gone) > len(self._places)

    def examples(
        self, vector: Vector, agent: str, k: int, *, require_success: bool, tenants: Collection[str] | None = None
    ) -> list[tuple[int, float]]:
        """Up to k auctions to learn from, as (key, similarity), the most similar first.

        Of auctions with the same text only the most recent counts; it also goes first among equally similar ones.
        Auctions of other tenants are left out before anything is compared, so they take no place either.

        Args:
            vector: Of the present task.
            agent: Who is to learn; only auctions it bid in.
            k: How many.
            require_success: Only auctions whose work was a success, not merely no failure.
            tenants: Whose auctions; `None`: everybody's.
        """
        bid = self._bid.get(agent)
        if bid is None:
            return []
        able = (self._succeeded if require_success else self._usable) & bid
        return self._nearest(vector, np.flatnonzero(self._of(able, tenants)), k)

    def similar(self, vector: Vector, k: int, *, tenants: Collection[str] | None = None) -> list[tuple[int, float]]:
        """Like `examples`, among all auctions whatever became of them."""
        return self._nearest(vector, np.flatnonzero(self._of(self._there, tenants)), k)

    def _of(self, marks: NDArray[np.bool_], tenants: Collection[str] | None) -> NDArray[np.bool_]:
        """Marks, but for auctions of other tenants than these."""
        return marks if tenants is None else marks & np.isin(self._tenant, self._codes(tenants))

    def _codes(self, tenants: Collection[str]) -> list[int]:
        return [self._tenants[tenant] for tenant in tenants if tenant in self._tenants]

    def tracks(
        self, vector: Vector, agents: Sequence[str], *, tenants: Collection[str] | None = None
    ) -> dict[str, TrackRecord]:
        """Return each agent's record at similar past tasks, for these tenants or for all; see `TrackIndex.records`."""

        def exactly(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            return self._exactly(vector, rows)

        rough = self._roughly(vector)
        counted = None if tenants is None else [NOBODY, *self._codes(tenants)]
        return self._tracks.records(agents, rough, exactly, tenants=counted)

    def _roughly(self, vector: Vector) -> Vector:
        """The similarity of all texts, by row, in single precision. Memory is read once a task, as it is the cost."""
        name = vector.tobytes()
        found = self._similarities.pop(name, np.zeros(0, dtype=np.float32))
        if len(found) < len(self._texts):
            # Not `@`: a threaded product gains nothing here and, where other work keeps the cores busy, waits for them.
            new = np.vecdot(self._vectors[len(found) : len(self._texts)], vector)
            found = np.concatenate((found, new))
        self._similarities[name] = found
        if len(self._similarities) > KEPT:
            del self._similarities[next(iter(self._similarities))]
        return found

    def _exactly(self, vector: Vector, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The similarity of some texts, in [-1, 1], in double precision: the same for equal vectors."""
        products = np.sum(self._vectors[rows].astype(np.float64) * vector.astype(np.float64), axis=1)
        return np.clip(products, -1.0, 1.0)

    def _nearest(self, vector: Vector, places: NDArray[np.int64], k: int) -> list[tuple[int, float]]:
        if k <= 0 or not len(places):
            return []
        rough = self._roughly(vector)[self._row[places]]
        wanted = 4 * k
        while True:
            # The candidates: everything as similar as the last of `wanted`. Several auctions may share a text.
            everything = wanted >= len(places)
            bound = -np.inf if everything else np.partition(rough, len(rough) - wanted)[len(rough) - wanted] - NEAR
            chosen = self._one_a_text(vector, places[rough >= bound])
            if everything or len(chosen) >= k:
                return chosen[:k]
            wanted *= 4

    def _one_a_text(self, vector: Vector, places: NDArray[np.int64]) -> list[tuple[int, float]]:
        """The most recent auction of each text, the most similar text first; scored in double precision."""
        rows, text = np.unique(self._row[places], return_inverse=True)
        similarity = self._exactly(vector, rows)[text]
        order = np.lexsort((-self._auction[places], -self._started[places], -similarity))
        _, first = np.unique(text[order], return_index=True)
        kept = order[np.sort(first)]
        return [(int(self._auction[places[i]]), float(similarity[i])) for i in kept]

    def _grow(self, size: int) -> None:
        self._auction = grow(self._auction, size)
        self._row = grow(self._row, size)
        self._started = grow(self._started, size)
        self._tenant = grow(self._tenant, size)
        self._there = grow(self._there, size)
        self._usable = grow(self._usable, size)
        self._succeeded = grow(self._succeeded, size)
        self._bid = {agent: grow(marks, len(self._auction)) for agent, marks in self._bid.items()}
