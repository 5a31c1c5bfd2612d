"""The market in the incumbent's shadow: it answers nothing, and says what it would have done and for how much.

The incumbent's answer comes first. Only when a conversation's first answer is with its client is an auction held for
it, in the background, a few at a time; its cost is charged to the allowance. A share of conversations, the canary, is
answered by the market all the same. Which arm a conversation belongs to depends on its name alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from sale import config
from sale.agents.protocol import Agent
from sale.auction.allowance import incumbent_of
from sale.auction.value_of_information import standing_bids
from sale.errors import SaleError
from sale.market import Market
from sale.memory.tenants import DEFAULT
from sale.server.alarm_sender import AlarmNotice, AlarmSender
from sale.server.events import EventHub
from sale.server.gateway.active_session import ActiveSession, ShadowAuction
from sale.server.gateway.auction_wait import AuctionWatch
from sale.server.gateway.market_handle import MARKET, MarketHandle
from sale.server.gateway.store_protocol import GatewayStore
from sale.server.shadow_report import ALARMS, ShadowReport, read_report
from sale.server.store.shadow import Arm, ShadowConversation
from sale.server.store.types import LedgerEntry
from sale.types import Auction, Settlement, Task, Weights

SLOTS: Final = 2
"""Auctions held at one time."""
WAITING: Final = 100
"""Auctions that wait for a slot; conversations beyond them go without."""
WATCH_SECONDS: Final = 60.0
WATCHED: Final = timedelta(days=7)
"""The days before now that alarms are about."""
PATH: Final = "shadow"
"""The path in the ledger's line of such an auction."""
LOG = logging.getLogger("sale.server")


def arm_of(settings: config.ServerSettings, key_id: str | None, session_id: str) -> Arm | None:
    """The arm of a conversation, always the same for one name; `None` where there is no shadow."""
    if settings.mode != "shadow":
        return None
    digest = hashlib.blake2b(f"{key_id or ''}\0{session_id}".encode(), digest_size=8).digest()
    return "canary" if int.from_bytes(digest) / 2**64 < settings.canary else "shadow"


def incumbent_among(handle: MarketHandle, names: Collection[str]) -> Agent:
    """The incumbent of those that may do the work: the one that the rules name, else the dearest."""
    return incumbent_of([handle.agents[name] for name in names], handle.incumbent.name)


class Shadow:
    """The auctions in the background. It belongs to one event loop."""

    def __init__(self, store: GatewayStore, hub: EventHub, sender: AlarmSender) -> None:
        """Nothing is begun."""
        self._store = store
        self._hub = hub
        self.on_alarms: Callable[[Collection[str]], None] = lambda _: None
        """Told which alarms are raised, whenever that is looked at."""
        self._sender = sender
        self._alarms: dict[str, datetime] = {}
        """The alarms that are raised, with when each was noticed."""
        self._slots = asyncio.Semaphore(SLOTS)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Conversations whose auction is under way, or waits."""
        return len(self._tasks)

    def begin(self, handle: MarketHandle, held: ActiveSession, arm: Arm, among: Collection[str]) -> None:
        """Add the row of a conversation, or of a task that it was auctioned again for.

        Args:
            handle: The market.
            held: Who does the work, and in the canary its auction.
            arm: Of the conversation.
            among: Agents that may do the work; the incumbent is one of them.
        """
        session, auction = held.session, held.auction
        row = ShadowConversation(
            id=session.auction_id,
            session_id=session.id,
            key_id=session.key_id,
            arm=arm,
            began=datetime.now(UTC),
            agent=session.agent,
        )
        self._store.shadow.begin(row)
        if auction is not None:
            other, dollars = incumbent_among(handle, among), auction.settlement.dollars
            self._store.shadow.decide(
                row.id, other=other.name, price=other.price, auction_id=auction.id, dollars=dollars
            )

    def start(self, handle: MarketHandle, held: ActiveSession) -> None:
        """Hold a conversation's auction; its client has the answer."""
        job, held.shadow = held.shadow, None
        if job is None:
            return
        crowded = len(self._tasks) >= SLOTS + WAITING
        if crowded:
            self._store.shadow.leave_open(held.session.auction_id, "too many auctions were waiting")
        handle.enter()
        task = asyncio.create_task(self._run(handle, held, job, crowded=crowded))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def look(self, market: Market) -> ShadowReport:
        """Sum up the last days, and tell which alarms are raised now, and which no longer."""
        found = await read_report(self._store.shadow, await market.memory(), datetime.now(UTC) - WATCHED)
        self._raise_alarms(found.alarms, found)
        return found

    def end_alarms(self) -> None:
        """Take back the alarms that are raised: there is a shadow no longer."""
        if self._alarms:
            self._raise_alarms((), None)

    def _raise_alarms(self, kinds: Collection[str], found: ShadowReport | None) -> None:
        """Raise these alarms, and take back the others; what changes is told once in the log, and to the sender."""
        now = datetime.now(UTC)
        for kind in sorted(set(kinds) - self._alarms.keys()):
            LOG.warning("alarm: %s. `sale shadow report` has the figures", ALARMS[kind])
            self._alarms[kind] = now
            self._sender.send(AlarmNotice(kind=kind, days=WATCHED.days, since=now, until=None, report=found))
        for kind in sorted(self._alarms.keys() - set(kinds)):
            LOG.warning("no longer: %s", ALARMS[kind])
            since = self._alarms.pop(kind)
            self._sender.send(AlarmNotice(kind=kind, days=WATCHED.days, since=since, until=now, report=found))
        self.on_alarms(kinds)

    async def aclose(self) -> None:
        """Give up what is under way: conversations without an auction stay undecided."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._sender.aclose()

    async def _run(self, handle: MarketHandle, held: ActiveSession, job: ShadowAuction, *, crowded: bool) -> None:
        try:
            try:
                await _open_record(handle, held, job)
            finally:
                if held.recorded is not None:
                    held.recorded.set()
            if not crowded:
                async with self._slots:
                    await self._hold(handle, held.session.auction_id, job)
        except SaleError as error:
            LOG.warning("the record of session %s could not be opened: %s", held.session.id, error.code)
        finally:
            await handle.leave()

    async def _hold(self, handle: MarketHandle, row: str, job: ShadowAuction) -> None:
        watch = AuctionWatch(late=None)
        terms = replace(job.terms, observe=self._hub.observer(job.terms.auction_id, watch))
        began, error = datetime.now(UTC), None
        try:
            auction = await handle.market.award(job.task, terms)
            winner = auction.winner.agent
            price = handle.agents[winner].price
            self._store.shadow.decide(row, other=winner, price=price, auction_id=auction.id, dollars=watch.dollars)
            if memory := await handle.market.memory():
                await memory.close_unexecuted(auction.id)
        except SaleError as failure:
            error = failure.code
            LOG.warning("no auction was held in the shadow of %s: %s", row, error)
            self._store.shadow.leave_open(row, f"no auction was held: {error}", watch.dollars)
        finally:
            if watch.dollars:
                await self._store.note(_line(job.terms.auction_id, began, error, watch))


async def _open_record(handle: MarketHandle, held: ActiveSession, job: ShadowAuction) -> None:
    """Put the incumbent's work on record, as an award without an auction: feedback and track records go by it."""
    session, memory = held.session, await handle.market.memory()
    auction = standing_award(session.auction_id, job.task, handle.agents[session.agent], handle.market.prior)
    if memory is not None:
        tenant, withheld = job.terms.tenant or DEFAULT, bool(job.terms.require)
        await memory.begin(auction.id, auction.task, tenant=tenant, withheld=withheld)
        await memory.award(auction)
    held.auction, held.open = auction, True


def standing_award(auction_id: str, task: Task, agent: Agent, weights: Weights) -> Auction:
    """An award to an agent without an auction, and without a plan."""
    (bid,) = standing_bids([agent], {}, weights)
    return Auction(
        id=auction_id,
        task=task,
        bids=(bid,),
        provisional=agent.name,
        refinements=(),
        winner=bid,
        dropouts=(),
        weights=weights,
        jury="panel",
        settlement=Settlement(calls=()),
        seconds=0.0,
    )


def _line(auction_id: str, began: datetime, error: str | None, watch: AuctionWatch) -> LedgerEntry:
    return LedgerEntry(
        id=uuid.uuid4().hex,
        at=began,
        key_id=None,
        session_id=None,
        auction_id=auction_id,
        path=PATH,
        model=MARKET,
        agent=None,
        status=200 if error is None else 502,
        error=error,
        streamed=False,
        input_tokens=0,
        output_tokens=0,
        cached_tokens=0,
        work_dollars=0.0,
        auction_dollars=watch.dollars,
        largest_dollars=0.0,
        seconds=(datetime.now(UTC) - began).total_seconds(),
        first_token_seconds=None,
        wait_seconds=0.0,
    )
