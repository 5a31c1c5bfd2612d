"""Auctions as they happen: a list of the latest, and a stream of what changes in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.responses import Response, StreamingResponse

from sale.auction.events import AuctionOpened, Event
from sale.errors import StoreError
from sale.memory.records import Summary
from sale.memory.store import AuctionMemory
from sale.server.dashboard.desk import HEADERS, Desk
from sale.server.dashboard.headline import headline
from sale.server.dashboard.lots import Lot
from sale.server.dashboard.palette import Palette
from sale.server.dashboard.periods import choice
from sale.server.events import Hub, Told

SHOWN = 20
"""Auctions on the page."""
POLL_SECONDS = 2.0
"""How often the memory is asked for what other processes did; it answers with one number where that is nothing."""
TOGETHER_SECONDS = 0.15
"""Events of so long are told at once."""
MOST_LOTS = 500


async def show(desk: Desk) -> Response:
    """The page."""
    memory = await desk.memory()
    chosen = choice("30", None)
    return desk.render(
        "live",
        auctions=await memory.list(SHOWN),
        total=headline(await memory.auction_figures(chosen.span)),
        palette=await desk.site.palette(memory),
        shown=SHOWN,
    )


async def events(desk: Desk) -> Response:
    """The stream."""
    memory = await desk.memory()
    news = News(desk, memory, await desk.site.palette(memory))
    headers = {**HEADERS, "x-accel-buffering": "no"}
    return StreamingResponse(news.stream(), media_type="text/event-stream", headers=headers)


class News:
    """What one window is told."""

    def __init__(self, desk: Desk, memory: AuctionMemory, palette: Palette) -> None:
        self._desk = desk
        self._memory = memory
        self._palette = palette
        self._lots: dict[str, Lot] = {}
        self._changed: dict[str, None] = {}
        self._sent: dict[str, Summary] = {}
        self._revision = -1
        self._news = asyncio.Event()

    async def stream(self) -> AsyncGenerator[str]:
        """Cards of auctions that are new or have changed, for as long as somebody looks."""
        hub = self._desk.site.hub
        if hub is not None:
            self._catch_up(hub)
        listening = None if hub is None else asyncio.create_task(self._listen(hub.listen()))
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
        return self._desk.site.access.visitor(self._desk.request).admitted

    def _catch_up(self, hub: Hub) -> None:
        """What is under way already."""
        for auction_id, event in hub.recent:
            self._take(auction_id, event)
        for lot in [lot for lot in self._lots.values() if lot.phase == "done" or not lot.task]:
            del self._lots[lot.id]

    async def _listen(self, events: AsyncIterator[Told]) -> None:
        async for auction_id, event in events:
            self._take(auction_id, event)
            self._news.set()

    def _take(self, auction_id: str, event: Event) -> None:
        # Calls of a session go on after its auction is off the page, and those to one agent have none.
        if auction_id not in self._lots and not isinstance(event, AuctionOpened):
            return
        self._lots.setdefault(auction_id, Lot(id=auction_id)).take(event)
        self._changed[auction_id] = None
        while len(self._lots) > MOST_LOTS:
            self._lots.pop(next(iter(self._lots)))

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
        lots = [self._lots[auction_id] for auction_id in changed if auction_id in self._lots]
        return [self._told("lot", lot=lot) for lot in lots if lot.task]

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
            self._lots.pop(summary.id, None)
            cards.append(self._told("summary", auction=summary, quiet=first))
        self._sent = {summary.id: summary for summary in latest if summary.id not in self._lots}
        return cards

    def _still_live(self, summary: Summary) -> bool:
        """Events know more than the record, until the record is closed."""
        lot = self._lots.get(summary.id)
        if lot is not None and not lot.task:  # its beginning was before this window
            lot.task, lot.domain, lot.winner = summary.task, summary.domain, lot.winner or summary.winner
        return lot is not None and summary.status in {"open", "awarded"}

    def _told(self, name: str, **values: object) -> str:
        html = self._desk.site.render(
            f"card_{name}", {"quiet": False, "at": self._desk.at, "palette": self._palette, **values}
        )
        lines = "".join(f"data: {line}\n" for line in html.splitlines() if line.strip())
        return f"event: card\n{lines}\n"
