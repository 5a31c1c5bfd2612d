"""The state all requests share: the open market, connections, sessions, the store, and listeners."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Generator, Sequence
from dataclasses import replace

from sale import config
from sale.auction.events import Judged, WorkFinished
from sale.errors import SaleError
from sale.market import Market
from sale.server.events import EventHub
from sale.server.gateway.active_session import ActiveSession
from sale.server.gateway.dialect import Dialects
from sale.server.gateway.market_handle import MarketHandle
from sale.server.gateway.sessions import NOBODY, ActiveSessions
from sale.server.gateway.shadow import Shadow
from sale.server.gateway.store_protocol import GatewayStore
from sale.server.gateway.upstream import Upstream
from sale.types import Attempt, Auction, Call, Execution, Usage

LOG = logging.getLogger("sale.server")
LOOKED_AT = 1000
"""Number of the latest sessions and unfinished auctions that are looked at when the server starts."""
LAST_SECONDS = 10.0
"""Seconds that requests told to end may take to be settled and noted."""
ENDED = "the server ended before the session did"


class GatewayState:
    """The gateway's state. It belongs to one event loop; use it as an async context manager."""

    def __init__(self, market: Market, store: GatewayStore, hub: EventHub, settings: config.ServerSettings) -> None:
        """Nothing is opened.

        Args:
            market: What is auctioned in. It is the desk's to close.
            store: Keys, sessions, the ledger. Closing it is the caller's.
            hub: Told what happens.
            settings: `[server]`.
        """
        self.settings = settings
        self.store = store
        self.hub = hub
        self.handle = MarketHandle(market)
        self.dialects = Dialects()
        self.draining = False
        self._working = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.sessions = ActiveSessions(
            store, seconds=settings.session_seconds, most=settings.sessions, settle=self._settle
        )
        self.shadow = Shadow(store, hub)
        self._upstream: Upstream | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def upstream(self) -> Upstream:
        """The connections; open inside the context."""
        if self._upstream is None:
            self._upstream = Upstream()
        return self._upstream

    async def __aenter__(self) -> GatewayState:
        watch = self.shadow.watch(lambda: self.handle.market, lambda: self.settings)
        self._tasks = [asyncio.create_task(work) for work in (self.sessions.run(), self._recover(), watch)]
        return self

    @contextlib.contextmanager
    def track_request(self) -> Generator[None]:
        """A request is answered, settled and noted within: the desk is not closed under it."""
        self._working += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._working -= 1
            if not self._working:
                self._idle.set()

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._idle.wait()
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(self._tasks)
        await self.shadow.aclose()
        await self.sessions.aclose()
        await self.handle.retire()
        if self._upstream is not None:
            await self._upstream.aclose()
        self.hub.close()

    async def reload(self, market: Market, settings: config.ServerSettings) -> None:
        """New requests go to another market; the present one closes when its last request has ended."""
        market.take_over(self.handle.market)
        old, self.handle, self.settings = self.handle, MarketHandle(market), settings
        await old.retire()

    async def load_auction(self, held: ActiveSession) -> Auction | None:
        """The auction of a session that this process did not hold, from its record."""
        memory = await self.handle.market.memory()
        if memory is not None:
            with contextlib.suppress(SaleError):
                held.auction = (await memory.load(held.session.auction_id)).auction
        return held.auction

    async def _settle(self, auction: Auction, attempts: Sequence[Attempt], seconds: float) -> None:
        """Put the record of a session away, in whichever market is open now."""
        last = attempts[-1]
        self.hub.publish(auction.id, WorkFinished(execution=last.execution))
        self.hub.publish(auction.id, Judged(outcome=last.outcome))
        await self.handle.market.settle(auction, attempts, seconds=seconds)

    async def _recover(self) -> None:
        """Settle what a process that died left: the auctions its sessions were held for."""
        try:
            memory = await self.handle.market.memory()
            if memory is None:
                return
            left = {one.id for one in await memory.list(LOOKED_AT, status="abandoned") if one.winner is not None}
            for session in await self.store.recent_sessions(LOOKED_AT) if left else ():
                if session.auction_id not in left:
                    continue
                record = await memory.load(session.auction_id)
                auction = record.auction
                if auction is None:
                    continue
                work = max(0.0, session.dollars - auction.settlement.dollars)
                # How many tokens each call took is on the ledger; here they are one line.
                call = Call(stage="execute", agent=session.agent, usage=Usage(), dollars=work, seconds=0.0, error=ENDED)
                execution = Execution(
                    agent=session.agent,
                    answer="",
                    mode="session",
                    followed_strategy=bool(session.plan),
                    calls=(call,),
                    seconds=(session.seen - session.began).total_seconds(),
                    error=ENDED,
                )
                await memory.settle(auction.id, execution, replace(NOBODY, detail=ENDED))
        except SaleError as error:
            LOG.warning("what an earlier process left could not be settled: %s", error.code)
