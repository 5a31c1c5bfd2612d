"""An auction that a client waits for: what it has cost so far, and signs of life while it lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine

from sale.auction.events import CallSettled, Event, LeaderFound, StandingReason
from sale.server.gateway.exchange import Headers
from sale.server.gateway.sink import Sink
from sale.server.progress import describe_event
from sale.types import Auction

PATIENCE = 2.0
"""Seconds an auction may take before a stream begins, without the headers that only its end tells."""
TELL_SECONDS = 1.0
QUIET_SECONDS = 10.0
"""A stream is never longer without a sign of life."""

Late = Callable[[Auction], object]
"""Takes an auction that ended in the moment its client stopped waiting."""


class AuctionWatch:
    """An observer of one auction."""

    def __init__(self, *, late: Late | None) -> None:
        """Nothing has happened."""
        self.dollars = 0.0
        self.tokens = 0
        self.standing: StandingReason | None = None
        """Why the award is made without bids."""
        self._late = late
        self._lines: list[str] = []

    def __call__(self, event: Event) -> None:
        """One event."""
        if isinstance(event, LeaderFound):
            self.standing = event.standing
        if isinstance(event, CallSettled):
            self.dollars += event.call.dollars
            self.tokens += event.call.usage.total
        elif (line := describe_event(event)) is not None:
            self._lines.append(line)

    async def until_awarded(self, award: Coroutine[object, object, Auction], sink: Sink, headers: Headers) -> Auction:
        """Wait for it, and tell the client what happens meanwhile.

        Raises:
            SaleError: It could not be held.
        """
        auction = asyncio.create_task(award)
        began = spoken = time.monotonic()
        wait = PATIENCE
        try:
            while not (await asyncio.wait({auction}, timeout=wait))[0]:
                now, wait = time.monotonic(), TELL_SECONDS
                if self._lines or now - spoken >= QUIET_SECONDS or spoken == began:
                    lines, self._lines, spoken = self._lines, [], now
                    await sink.send_progress(lines, headers)
        finally:
            if not auction.done():
                auction.cancel()
                await asyncio.wait({auction})
                if not auction.cancelled() and auction.exception() is None and self._late is not None:
                    self._late(auction.result())
        return await auction
