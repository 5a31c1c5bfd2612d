"""Auctions as they happen: a list of the latest, and a stream of what changes in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import nullcontext

from starlette.responses import Response, StreamingResponse

from sale.auction.events import AuctionOpened, Event
from sale.errors import StoreError
from sale.memory.records import AuctionSummary
from sale.memory.store import AuctionMemory
from sale.server.dashboard.headline import headline
from sale.server.dashboard.live_auctions import LiveAuction
from sale.server.dashboard.palette import AgentPalette
from sale.server.dashboard.periods import choice
from sale.server.dashboard.request_context import HEADERS, RequestContext
from sale.server.events import EventHub, Told

SHOWN = 20
"""Auctions on the page."""
POLL_SECONDS = 2.0
"""Seconds between looks at the memory for changes of other processes; it answers with one number without any."""
TOGETHER_SECONDS = 0.15
"""Events of so long are told at once."""
MAX_AUCTIONS = 500
UNDER_WAY = frozenset({"open", "awarded"})
"""Statuses of records that are not closed."""


async def show(context: RequestContext) -> Response:
    """The page."""
    memory = await context.memory()
    chosen = choice("30", None)
    return context.render(
        "live",
        auctions=await memory.list(SHOWN),
        total=headline(await memory.auction_figures(chosen.span)),
        palette=await context.site.palette(memory),
        shown=SHOWN,
    )


async def events(context: RequestContext) -> Response:
    """The stream."""
    memory = await context.memory()
    news = LiveFeed(context, memory, await context.site.palette(memory))
    headers = {**HEADERS, "x-accel-buffering": "no"}
    return StreamingResponse(news.stream(), media_type="text/event-stream", headers=headers)


class LiveFeed:
    """The events sent to one window."""

    def __init__(self, context: RequestContext, memory: AuctionMemory, palette: AgentPalette) -> None:
        self._context = context
        self._memory = memory
        self._palette = palette
        self._auctions: dict[str, LiveAuction] = {}
        self._changed: dict[str, None] = {}
        self._sent: dict[str, AuctionSummary] = {}
        self._revision = -1
        self._news = asyncio.Event()

    async def stream(self) -> AsyncGenerator[str]:
        """Cards of auctions that are new or have changed, while the window is open."""
        hub = self._context.site.hub
        if hub is not None:
            self._catch_up(hub)
        listening = None if hub is None else asyncio.create_task(self._listen(hub.listen()))
        others = self._context.site.others
        with others.page(self._take_other) if others is not None else nullcontext():
            async for told in self._told_by(listening):
                yield told

    async def _told_by(self, listening: asyncio.Task[None] | None) -> AsyncGenerator[str]:
        """Cards, while the window is open and its visitor may look."""
        try:
            yield "retry: 2000\n\n"
            while self._may_look() and not (listening is not None and listening.done()):
                for card in [*await self._of_memory(), *self._of_hub()]:
                    yield card
                yield ": \n\n"
                await self._wait()
        except StoreError:
            return  # the configuration was loaded again, or the memory is out of reach: the window asks anew
        finally:
            if listening is not None:
                listening.cancel()
                await asyncio.wait([listening])

    def _may_look(self) -> bool:
        """A login ends while a window is open, too."""
        return self._context.site.access.visitor(self._context.request).admitted

    def _catch_up(self, hub: EventHub) -> None:
        """Send the auctions that are under way already."""
        for auction_id, event in hub.recent:
            self._take(auction_id, event)
        for auction in [auction for auction in self._auctions.values() if auction.phase == "done" or not auction.task]:
            del self._auctions[auction.id]

    async def _listen(self, events: AsyncIterator[Told]) -> None:
        async for auction_id, event in events:
            self._take(auction_id, event)
            self._news.set()

    def _take(self, auction_id: str, event: Event) -> None:
        # Calls of a session go on after its auction is off the page, and those to one agent have none.
        if auction_id not in self._auctions and not isinstance(event, AuctionOpened):
            return
        self._auctions.setdefault(auction_id, LiveAuction(id=auction_id)).take(event)
        self._changed[auction_id] = None
        while len(self._auctions) > MAX_AUCTIONS:
            self._auctions.pop(next(iter(self._auctions)))

    def _take_other(self, auction: LiveAuction) -> None:
        """An auction at another gateway, whose task the memory knows."""
        known, summary = self._auctions.get(auction.id), self._sent.get(auction.id)
        if summary is not None and summary.status not in UNDER_WAY:
            return
        if known is not None and known.task:
            auction.task, auction.domain = known.task, known.domain
        elif summary is not None:
            auction.task, auction.domain = summary.task, summary.domain
        self._auctions[auction.id] = auction
        self._changed[auction.id] = None
        self._news.set()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()
        await asyncio.sleep(TOGETHER_SECONDS)

    def _of_hub(self) -> list[str]:
        """Auctions that events were about."""
        changed, self._changed = self._changed, {}
        auctions = [self._auctions[auction_id] for auction_id in changed if auction_id in self._auctions]
        return [self._told("live", auction=auction) for auction in auctions if auction.task]

    async def _of_memory(self) -> list[str]:
        """Auctions whose record has changed, the oldest first; all of them at the beginning, quietly."""
        revision = await self._memory.revision()
        if revision == self._revision:
            return []
        first, self._revision = self._revision < 0, revision
        cards: list[str] = []
        latest = await self._memory.list(SHOWN)
        for summary in reversed(latest):
            if self._sent.get(summary.id) == summary or self._still_live(summary):
                continue
            self._auctions.pop(summary.id, None)
            cards.append(self._told("summary", auction=summary, quiet=first))
        self._sent = {summary.id: summary for summary in latest if summary.id not in self._auctions}
        return cards

    def _still_live(self, summary: AuctionSummary) -> bool:
        """Events know more than the record, until the record is closed."""
        auction = self._auctions.get(summary.id)
        if auction is not None and not auction.task:  # its beginning was before this window
            auction.task, auction.domain = summary.task, summary.domain
            auction.winner = auction.winner or summary.winner
            self._changed[auction.id] = None
        return auction is not None and summary.status in UNDER_WAY

    def _told(self, name: str, **values: object) -> str:
        html = self._context.site.render(
            f"card_{name}", {"quiet": False, "at": self._context.at, "palette": self._palette, **values}
        )
        lines = "".join(f"data: {line}\n" for line in html.splitlines() if line.strip())
        return f"event: card\n{lines}\n"
