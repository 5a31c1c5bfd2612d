"""The state all requests share: the open market, connections, sessions, the store, and listeners."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sale import config
from sale.auction.events import Judged, WorkFinished
from sale.errors import InputError, SaleError
from sale.market import Market
from sale.server.alarm_sender import AlarmSender
from sale.server.events import EventHub
from sale.server.gateway.active_session import ActiveSession
from sale.server.gateway.agent_minutes import AgentMinutes
from sale.server.gateway.allowance_sharing import BEAT_SECONDS, AllowanceSharing
from sale.server.gateway.dialect import Dialects
from sale.server.gateway.market_handle import MarketHandle
from sale.server.gateway.replays import Replays
from sale.server.gateway.session_record import execution_of, ledger_calls
from sale.server.gateway.sessions import NOBODY, ActiveSessions
from sale.server.gateway.shadow import WATCH_SECONDS, Shadow
from sale.server.gateway.store_protocol import GatewayStore
from sale.server.gateway.upstream import Upstream
from sale.server.periodic_task import PeriodicTask
from sale.server.store.types import Session
from sale.types import Attempt, Auction, Outcome

LOOKED_AT = 1000
"""Number of the latest sessions and unfinished auctions that are looked at when the server starts."""
LAST_SECONDS = 10.0
"""Seconds that requests told to end may take to be settled and noted, and then what is under way in the background."""
OTHERS_SECONDS = 0.5
"""Seconds after which lines that other processes have put on the ledger are to be found there."""
RECOVER_SECONDS = 60.0
"""Seconds between looks for what processes that died have left."""
ENDED = "the server ended before the session did"


class RequestCount:
    """The requests under way: each enters, and leaves when it is answered, settled and noted."""

    def __init__(self) -> None:
        """There are none."""
        self.idle = asyncio.Event()
        """Set while there are none."""
        self.idle.set()
        self._working = 0

    def __enter__(self) -> None:
        """One more."""
        self._working += 1
        self.idle.clear()

    def __exit__(self, *_: object) -> None:
        """One less."""
        self._working -= 1
        if not self._working:
            self.idle.set()


class GatewayState:
    """The gateway's state. It belongs to one event loop; use it as an async context manager."""

    def __init__(self, market: Market, store: GatewayStore, hub: EventHub, settings: config.ServerSettings) -> None:
        """Nothing is opened.

        Args:
            market: What is auctioned in. It is closed with this state.
            store: Keys, sessions, the ledger. Closing it is the caller's.
            hub: Told what happens.
            settings: `[server]`.
        """
        self.settings = settings
        self.store = store
        self.hub = hub
        self.handle = MarketHandle(market)
        self.dialects = Dialects()
        self.replays = Replays()
        self.minutes = AgentMinutes(store.rates)
        self.leaving = False
        """True where the server takes new work no longer than a balancer needs to notice."""
        self.draining = False
        self._requests = RequestCount()
        self.sessions = ActiveSessions(
            store, seconds=settings.session_seconds, most=settings.sessions, settle=self._settle
        )
        self.shadow = Shadow(store, hub, AlarmSender(lambda: self.settings))
        self._sharing = AllowanceSharing(store.allowance, lambda: self.handle.market)
        self._upstream: Upstream | None = None
        self._looked_back = False
        self._tasks: list[PeriodicTask] = []

    @property
    def upstream(self) -> Upstream:
        """The connections; open inside the context."""
        if self._upstream is None:
            self._upstream = Upstream()
        return self._upstream

    async def __aenter__(self) -> GatewayState:
        await self._sharing.start()
        left, watched = "settling what an earlier process left", "reading the shadow's figures"
        recovery = PeriodicTask(RECOVER_SECONDS, self._recover, left, again_seconds=RECOVER_SECONDS)
        recovery.wake()
        self._tasks = [
            recovery,
            PeriodicTask(self.sessions.look_seconds, self.sessions.settle_rested, "settling sessions that rest"),
            PeriodicTask(WATCH_SECONDS, self._watch_shadow, watched, again_seconds=WATCH_SECONDS),
            PeriodicTask(BEAT_SECONDS, self._sharing.exchange, "sharing the allowance of auctions"),
        ]
        return self

    def track_request(self) -> RequestCount:
        """A request is answered, settled and noted within: until then the state is not closed."""
        return self._requests

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._requests.idle.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                async with asyncio.TaskGroup() as group:
                    for task in self._tasks:
                        group.create_task(task.close())
        await self.shadow.aclose()
        await self.sessions.aclose()
        await self._sharing.close()
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

    async def settle_session(self, session: Session, outcome: Outcome) -> bool:
        """Settle the record of a session that another process holds, or held, by what is on the ledger.

        Args:
            session: Which.
            outcome: How it came out.

        Returns:
            False where it has no record, or one that is settled.

        Raises:
            StoreError: The memory or the ledger cannot be read.
        """
        memory = await self.handle.market.memory()
        if memory is None:
            return False
        try:
            record = await memory.load(session.auction_id)
            if record.auction is None or record.status == "settled":
                return False
            await asyncio.sleep(OTHERS_SECONDS)
            work = execution_of(session, await ledger_calls(self.store, session), None)
            await memory.settle(session.auction_id, work, outcome)
        except InputError:  # there is none, or another process was faster
            return False
        return True

    async def _recover(self) -> None:
        """Settle what processes that died have left: the auctions that their sessions were held for."""
        # At first all of it: no other process may be there to do so.
        rested = timedelta(seconds=self.settings.session_seconds if self._looked_back else 0.0)
        self._looked_back = True
        while True:
            market = self.handle.market
            try:
                return await self._settle_abandoned(market, rested)
            except SaleError:
                if market is self.handle.market:  # else another took its place, and its memory was closed
                    raise

    async def _watch_shadow(self) -> None:
        """See whether the market does worse than the incumbent."""
        if self.settings.mode == "shadow":
            await self.shadow.look(self.handle.market)
        else:
            self.shadow.end_alarms()

    async def _settle_abandoned(self, market: Market, rested: timedelta) -> None:
        """Settle the records of dead processes whose sessions have rested for so long, by what is on the ledger."""
        memory = await market.memory()
        if memory is None:
            return
        if rested:  # to open it was to sweep it
            await memory.sweep()
        left = {one.id for one in await memory.list(LOOKED_AT, status="abandoned") if one.winner is not None}
        for session in await self.store.recent_sessions(LOOKED_AT) if left else ():
            if session.auction_id in left and datetime.now(UTC) - session.seen >= rested:
                calls = await ledger_calls(self.store, session)
                with contextlib.suppress(InputError):  # another process was faster
                    await memory.settle(
                        session.auction_id, execution_of(session, calls, ENDED), replace(NOBODY, detail=ENDED)
                    )
