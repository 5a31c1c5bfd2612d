"""The values the auction memory returns: whole records, short summaries, counts. All are frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sale.memory.tenants import DEFAULT
from sale.types import Attempt, Auction, Baseline, Call, Execution, Outcome, Settlement, Task, Verdict

Status = Literal["open", "awarded", "settled", "abandoned"]
"""The stage an auction reached. `open`: begun, no winner yet. `awarded`: a winner, no outcome of its work yet (or the
work was never asked for). `settled`: executed and judged. `abandoned`: it failed, or its process died."""
IMPORTED: Final = "imported"
"""The mode of an execution that another program recorded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """An outcome, and when it was given. The last of a record counts."""

    outcome: Outcome
    at: datetime
    execution: int | None = None
    """Which of the record's executions was judged, from 0; `None` where there was none yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """Everything on record about one auction."""

    id: str
    task: Task
    status: Status
    source: str
    """Empty where the auction was held here; else where it was imported from."""
    started_at: datetime
    awarded_at: datetime | None = None
    settled_at: datetime | None = None
    abandoned_at: datetime | None = None
    reason: str | None = None
    """Why it was abandoned."""
    auction: Auction | None = None
    """`None` until the award."""
    execution: Execution | None = None
    """The last one, where there were several attempts."""
    earlier: tuple[Execution, ...] = ()
    """Those before it, in order: they failed, and the task went on to the next best bid."""
    outcomes: tuple[Judgement, ...] = ()
    """Every judgement, oldest first."""
    baseline: Baseline | None = None
    tenant: str = DEFAULT
    """The tenant of the record; auctions of other tenants are not shown its texts."""
    withheld: bool = False
    """True where no later auction is shown its texts: the request required labels of whoever saw them."""
    stray_calls: tuple[Call, ...] = ()
    """Calls of an abandoned auction that belong to no finished part of it. They were paid for all the same."""

    @property
    def outcome(self) -> Outcome | None:
        """The outcome that counts: the latest."""
        return self.outcomes[-1].outcome if self.outcomes else None

    @property
    def executions(self) -> tuple[Execution, ...]:
        """All of them, in order."""
        return self.earlier if self.execution is None else (*self.earlier, self.execution)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The executions before the last one, each with its latest outcome."""
        judged = {one.execution: one.outcome for one in self.outcomes}
        return tuple(
            Attempt(execution=execution, outcome=judged[number]) for number, execution in enumerate(self.earlier)
        )

    @property
    def settlement(self) -> Settlement:
        """All calls on record, whatever became of them."""
        auction = self.auction.settlement.calls if self.auction else ()
        work = tuple(call for execution in self.executions for call in execution.calls)
        judging = tuple(call for judgement in self.outcomes for call in judgement.outcome.calls)
        return Settlement(calls=auction + work + judging + self.stray_calls)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuctionSummary:
    """One line about an auction."""

    id: str
    task: str
    """The beginning of the task's text."""
    task_id: str
    domain: str | None
    status: Status
    source: str
    started_at: datetime
    bids: int
    """First and refined; 0 where the award was made on track records alone."""
    winner: str | None
    provisional: str | None
    flipped: bool
    verdict: Verdict | None
    """The latest; `None` where nothing was judged, or there was nothing to judge."""
    judged_by: str | None
    dollars: float
    """Everything paid for, auction and work."""
    tenant: str = DEFAULT
    """The tenant of the record."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchMatch:
    """A search hit."""

    summary: AuctionSummary
    similarity: float
    """Cosine similarity of the task to the text searched for, in [-1, 1]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightUse:
    """Which weights auctions were decided by from some moment on, until the next."""

    version: int | None
    """`None`: the default weights."""
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ForgetReport:
    """Counts of deleted records."""

    auctions: int
    tasks: int
    """Tasks no auction is left of."""
    pairs: int
    """Quotations of the forgotten auctions in the refinements of others."""
    evidence: int = 0
    """Lines of what compaction kept of such auctions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompactionReport:
    """The outcome of compaction."""

    before: int
    """Finished auctions."""
    after: int
    bound: int
    """The number that was to stay; more do where tenants, or tasks without a vector, are too many."""
    lines: int
    """Of evidence that stand for those that went, an agent's work each."""
    unjudged: int
    """Executions among them without a verdict: they count nowhere any more."""
    faded: float
    """Executions that were forgotten because of their age."""
    archive: tuple[str, ...]
    """Files that hold the records that went; none where no archive was wanted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """The result of an import."""

    added: int
    present: int
    """Records that were there already; they were left as they are."""
    evidence: int = 0
    """Lines added of what compaction kept of auctions."""
    bad: tuple[str, ...] = ()
    """Lines that were skipped, and why: `<file>:<line>: <fault>`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryStats:
    """The counts and sizes of a memory."""

    auctions: Mapping[str, int]
    """By status."""
    verdicts: Mapping[str, int]
    """By the latest verdict; auctions without one are left out."""
    held: int
    """Auctions of this memory's own in which bids were made."""
    standing: int
    """Awards of its own without bids, on track records."""
    imported: int
    """Records that came from elsewhere."""
    tasks: int
    strategies: int
    """Plans, first and refined."""
    evidence: int
    """Lines of what compaction kept of auctions that went."""
    dollars: float
    """Everything paid for that is on record."""
    file_bytes: int
    """On disk, with the write-ahead log."""
    index_bytes: int
    """In this process, for recall."""
    recall: str
    """The way the most similar tasks are found, in words."""
