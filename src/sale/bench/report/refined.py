"""Results of refinement from memory, over the recorded task orders: the jury's score, and success."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import AuctionRow, RecordedTasks
from sale.bench.report.comparison import DomainComparison
from sale.bench.report.report_table import ReportTable, format_scaled, percent
from sale.bench.report.tables import RESAMPLING
from sale.bench.stats import mean, rate
from sale.types import Bid


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomeFlip:
    """The outcome of a task whose award a refined bid took over, beside its outcome without refinement."""

    refined: bool
    """True where its work with the refined plan was right."""
    own: bool
    """Its work with its own first plan."""
    leader: bool
    """The provisional winner's work with its plan."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RefinedBid:
    """One refined bid."""

    task: str
    gained: float
    """The jury's mean score above that of the agent's first plan."""
    flip: OutcomeFlip | None
    """Where it took the task from the provisional winner."""


def refined_bids(recorded: RecordedTasks) -> list[RefinedBid]:
    """Every refined bid of the recorded task orders."""
    return [
        _refined(recorded, row, bid)
        for (order, _), row in recorded.auctions.items()
        if order != FIRST_BIDS
        for bid in row.refined
    ]


def _refined(recorded: RecordedTasks, row: AuctionRow, bid: Bid) -> RefinedBid:
    first = {one.agent: one for one in row.bids}
    gained = fmean(score.value for score in bid.scores) - fmean(score.value for score in first[bid.agent].scores)
    flip = None
    if (row.winner, row.strategy) == (bid.agent, bid.strategy.text) and row.provisional in first:

        def solved(agent: str, plan: str) -> bool:
            return recorded.works[row.task, agent, plan].success

        flip = OutcomeFlip(
            refined=solved(bid.agent, bid.strategy.text),
            own=solved(bid.agent, first[bid.agent].strategy.text),
            leader=solved(row.provisional, first[row.provisional].strategy.text),
        )
    return RefinedBid(task=row.task, gained=gained, flip=flip)


def refinement_table(field: DomainComparison, domain: str) -> ReportTable | None:
    """Score and success of refined bids; `None` where no order, or no refined bid, is on record."""
    found = refined_bids(field.recorded)
    if not found:
        return None
    took = [one for one in found if one.flip is not None]
    rows: list[tuple[str, ...]] = [("all", str(len(found)), _gained(found), "–", "–", "–")]
    if took:
        shares = [_share(took, name) for name in ("refined", "own", "leader")]
        rows.append(("took the task from the leader", str(len(took)), _gained(took), *shares))
    return ReportTable(
        key=f"{domain}-refinement",
        title=f"{domain.capitalize()}: refined bids, in the jury's eyes and at work",
        head=(
            "refined bids",
            "number",
            "jury's mean above its first plan's, points of 5",
            "solved with it, %",
            "with its own first plan, %",
            "by the leader, %",
        ),
        rows=tuple(rows),
        note=(
            f"Over {len(field.recorded.orders)} task orders; 95 % intervals over tasks. What comes of a refined plan "
            "is on record only where it was awarded."
        ),
    )


def _gained(found: Sequence[RefinedBid]) -> str:
    return format_scaled(mean([one.gained for one in found], RESAMPLING, clusters=[one.task for one in found]), 1, 2)


def _share(took: Sequence[RefinedBid], name: str) -> str:
    outcomes = [float(getattr(one.flip, name)) for one in took]
    return percent(rate(outcomes, RESAMPLING, clusters=[one.task for one in took]))
