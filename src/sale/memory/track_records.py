"""Track records of agents at the past tasks most like the present one: kernel-weighted successes and failures.

Part of the index that follows the database: a line for each execution on record, whatever came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sale.memory.arrays import grow
from sale.types import MICRO, TrackRecord

BANDWIDTH: Final = 0.1
"""Distance in cosine over which executions count less: see `weights_of`. By log-loss of each agent's success on
recorded tasks, leaving one out (`python -m benchmarks.tracks`), weights by the distance to the nearest task tell about
twice as much as weights by cosine alone, which depends more on the wording than on the work. The value rests on 84
tasks."""
ALIKE: Final = 0.5
"""A nearest past task at least as alike as this counts in full; below, all evidence counts less, down to none at 0."""
NEAREST: Final = 64
"""Executions of an agent that count, the most similar ones, be they lines of their own or counted together. What is
beyond is far away, or there is plenty nearer; and an agent that worked a thousand times is not a thousandfold certain
about a task unlike them all."""
# Single-precision products may differ in the last bits for equal rows; candidates this close are scored again.
NEAR: Final = np.float32(1e-5)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedWork:
    """One execution, as far as its agent's track record depends on it."""

    agent: str
    verdict: str | None
    """The latest."""
    dollars: float | None = None
    """Its cost; `None` where that is not known."""

    @property
    def statistics(self) -> WorkStatistics:
        """Its part of a track record."""
        return WorkStatistics(
            agent=self.agent,
            successes=float(self.verdict == "success"),
            failures=float(self.verdict == "failure"),
            dollars=self.dollars or 0.0,
            costed=float(self.dollars is not None),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkStatistics:
    """The outcome of an agent's executions at one text: all that its track record needs of them."""

    agent: str
    successes: float
    """Executions that were judged a success. A fraction, where part of it was forgotten; so are the others."""
    failures: float
    dollars: float
    """Dollars of those whose cost is known, together."""
    costed: float
    """Executions whose cost is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkContext:
    """Where executions belong."""

    auction: int
    """Its key, or that of what was kept of several; below 0 for work that is none of an auction here."""
    row: int
    """Of its task's text."""
    started: float
    """Seconds since 1970."""
    tenant: int
    """The number of its tenant; below 0 for work that is everybody's."""


class TrackIndex:
    """A line for each execution, or for several counted together: whose, on which text, when, how judged."""

    def __init__(self) -> None:
        """Empty."""
        self._first: dict[int, int] = {}
        self._codes: dict[str, int] = {}
        self._size = 0
        self._auction = np.zeros(0, dtype=np.int64)
        self._row = np.zeros(0, dtype=np.int64)
        self._started = np.zeros(0, dtype=np.float64)
        self._tenant = np.zeros(0, dtype=np.int32)
        self._agent = np.zeros(0, dtype=np.int32)
        self._successes = np.zeros(0, dtype=np.float64)
        self._failures = np.zeros(0, dtype=np.float64)
        self._dollars = np.zeros(0, dtype=np.float64)
        self._costed = np.zeros(0, dtype=np.float64)

    @property
    def nbytes(self) -> int:
        """Bytes the arrays take."""
        own = (self._auction, self._row, self._started, self._tenant, self._agent)
        arrays = (*own, self._successes, self._failures, self._dollars, self._costed)
        return sum(array.nbytes for array in arrays)

    def put(self, of: WorkContext, work: Sequence[TrackedWork]) -> None:
        """Take in the executions of an auction, or new verdicts on them. They come all at once and in their order."""
        self.put_statistics(of, [one.statistics for one in work])

    def put_statistics(self, of: WorkContext, lines: Sequence[WorkStatistics]) -> None:
        """Take in lines, or what has changed about them. Those of one key come all at once and in their order."""
        if not lines:
            return
        first = self._first.setdefault(of.auction, self._size)
        self._size = max(self._size, first + len(lines))
        if self._size > len(self._auction):
            self._grow()
        for place, one in enumerate(lines, start=first):
            self._auction[place] = of.auction
            self._row[place] = of.row
            self._started[place] = of.started
            self._tenant[place] = of.tenant
            self._agent[place] = self._codes.setdefault(one.agent, len(self._codes))
            self._successes[place] = one.successes
            self._failures[place] = one.failures
            self._dollars[place] = one.dollars
            self._costed[place] = one.costed

    def retain(self, auctions: Collection[int]) -> None:
        """Drop the executions of all auctions but these. Their room is not won back.

        Work known of from elsewhere has negative keys, and stays.
        """
        gone = [auction for auction in self._first if auction >= 0 and auction not in auctions]
        for auction in gone:
            del self._first[auction]
        places = np.isin(self._auction, gone)
        self._successes[places] = self._failures[places] = 0.0

    def records(
        self,
        agents: Sequence[str],
        similarities: NDArray[np.float32],
        exactly: Callable[[NDArray[np.int64]], NDArray[np.float64]],
        *,
        tenants: Sequence[int] | None = None,
    ) -> dict[str, TrackRecord]:
        """Return the agents' track records.

        Of equally similar executions at the end of the `NEAREST` of an agent the most recent count.

        Args:
            agents: Their names.
            similarities: Of all texts to the present task, by row, in single precision.
            exactly: The same for some rows, in double precision.
            tenants: Whose work counts; `None`: everybody's.
        """
        counts = self._successes + self._failures
        if tenants is not None:
            counts = np.where(np.isin(self._tenant, tenants), counts, 0.0)
        if not counts.any():
            return {agent: TrackRecord(agent=agent, successes=0.0, failures=0.0) for agent in agents}
        found = {agent: self._nearest(agent, counts, similarities, exactly) for agent in agents}
        nearest = max((float(near[0]) for near, *_ in found.values() if len(near)), default=0.0)
        return {
            agent: self._record(agent, share * weights_of(near, nearest), at)
            for agent, (near, share, at) in found.items()
        }

    def _nearest(
        self,
        agent: str,
        counts: NDArray[np.float64],
        similarities: NDArray[np.float32],
        exactly: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Similarity, the greatest first, share that counts, and places of the lines that count for an agent."""
        places = np.flatnonzero((counts > 0.0) & (self._agent == self._codes.get(agent, -1)))
        wanted = NEAREST
        while wanted < len(places):
            rough = similarities[self._row[places]]
            last = len(rough) - wanted
            close = places[rough >= np.partition(rough, last)[last] - NEAR]
            if counts[close].sum() >= NEAREST:  # lines that are partly forgotten count less than one each
                places = close
                break
            wanted *= 2
        rows, text = np.unique(self._row[places], return_inverse=True)
        similarity = exactly(rows)[text]
        order = np.lexsort((-places, -self._auction[places], -self._started[places], -similarity))
        each = counts[places[order]]
        left = NEAREST - (np.cumsum(each) - each)
        order = order[left > 0.0]
        share = np.minimum(1.0, left[left > 0.0] / each[left > 0.0])
        return similarity[order], share, places[order]

    def _record(self, agent: str, weights: NDArray[np.float64], places: NDArray[np.int64]) -> TrackRecord:
        return TrackRecord(
            agent=agent,
            successes=_total(weights, self._successes[places]),
            failures=_total(weights, self._failures[places]),
            spent=_total(weights, self._dollars[places], self._costed[places] > 0.0) * MICRO,
            costed=_total(weights, self._costed[places]),
        )

    def _grow(self) -> None:
        self._auction = grow(self._auction, self._size)
        self._row = grow(self._row, self._size)
        self._started = grow(self._started, self._size)
        self._tenant = grow(self._tenant, self._size)
        self._agent = grow(self._agent, self._size)
        self._successes = grow(self._successes, self._size)
        self._failures = grow(self._failures, self._size)
        self._dollars = grow(self._dollars, self._size)
        self._costed = grow(self._costed, self._size)


def _total(
    weights: NDArray[np.float64], amounts: NDArray[np.float64], counted: NDArray[np.bool_] | None = None
) -> float:
    """Return the weighted sum of amounts, added up as if those that do not count were not there."""
    kept = amounts > 0.0 if counted is None else counted
    return float(np.sum(weights[kept] * amounts[kept]))


def weights_of(similarity: NDArray[np.float64], nearest: float) -> NDArray[np.float64]:
    """Return the weights of executions: e^((cosine − nearest) / BANDWIDTH), less where even the nearest is not similar.

    Args:
        similarity: Cosines of their tasks to the present one.
        nearest: The greatest cosine of any execution of the agents that are compared, so that all are on one scale.
    """
    return np.exp((similarity - nearest) / BANDWIDTH) * min(1.0, max(0.0, nearest / ALIKE))
