"""The allowance that the tasks of the last day have earned, for a process that has just begun."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sale.auction.allowance import Allowance
from sale.memory.figures import AuctionFigures, FigureScope
from sale.memory.store import AuctionMemory

LOOK_BACK = timedelta(days=1)


async def begin_allowance(allowance: Allowance | None, memory: AuctionMemory, *, incumbent: str) -> None:
    """Begin with what the memory holds of the last day, once; what comes meanwhile begins with nothing.

    Processes that begin side by side on one memory each count that day, and only that.

    Work without an answer earns nothing, as it did when it was done.

    Args:
        allowance: Of this process.
        memory: Of its market.
        incumbent: Its name: what it would have cost is on record where it was compared with. Else work counts as what
            it has cost.

    Raises:
        StoreError: The memory cannot be read; the next task tries again.
    """
    if allowance is None or allowance.begun:
        return
    allowance.begun = True
    try:
        past = await memory.auction_figures(FigureScope(since=datetime.now(UTC) - LOOK_BACK, held_here=True))
    except BaseException:
        allowance.begun = False
        raise
    for one in past:
        allowance.count(one.work_dollars, _replaced_dollars(one, incumbent))
        allowance.spent += one.auction_dollars


def _replaced_dollars(task: AuctionFigures, incumbent: str) -> float:
    """The cost of the incumbent's work that the work on a past task stands for, by the rules of `record_work`."""
    known = task.largest_dollars if task.largest == incumbent else None
    if not task.answered:
        own = task.winner == incumbent if known is None else not task.estimated
        known = known if own else 0.0
    return task.work_dollars if known is None else known
