"""What the tasks of the last day have earned for auctions, for a process that has just begun."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sale.auction.allowance import Allowance
from sale.memory.figures import Span
from sale.memory.store import AuctionMemory

LOOK_BACK = timedelta(days=1)


async def begin_allowance(allowance: Allowance | None, memory: AuctionMemory) -> None:
    """Begin with what the memory holds of the last day, once; work counts as what it has cost.

    Processes that begin side by side on one memory each count that day, and only that.

    Raises:
        StoreError: The memory cannot be read.
    """
    if allowance is None or allowance.begun:
        return
    allowance.begun = True
    for one in await memory.auction_figures(Span(since=datetime.now(UTC) - LOOK_BACK, held_here=True)):
        allowance.count(one.work_dollars, one.work_dollars)
        allowance.spent += one.auction_dollars
