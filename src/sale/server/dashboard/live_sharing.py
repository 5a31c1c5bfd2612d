"""The auctions under way at other gateways on the same database, for the live page.

While a page is open anywhere, its gateway says so every few seconds, and all others tell it how their auctions stand, a
few times a second. Without an open page nothing is told. Texts of tasks and plans are left out: the page has them from
the memory, and whoever may connect to the database can listen.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Final, Protocol, Self

from pydantic import TypeAdapter, ValidationError

from sale.auction.events import AuctionOpened
from sale.errors import StoreError
from sale.server.dashboard.live_auctions import LiveAuction
from sale.server.events import EventHub
from sale.server.store.announcements import MAX_MESSAGE_BYTES

LOG = logging.getLogger("sale.server")
CHANNEL: Final = "sale_live"
BEAT_SECONDS: Final = 0.2
WATCH_SECONDS: Final = 5.0
"""Seconds between the signs of life of a gateway with an open page."""
WATCHED_SECONDS: Final = 3 * WATCH_SECONDS
"""Seconds for which one sign holds."""
AGAIN_SECONDS: Final = 10.0
"""Seconds until a broken connection is tried again."""
MAX_AUCTIONS: Final = 500
"""Of this gateway, and of all others; the oldest go."""
MAX_STATE_CHARACTERS: Final = 200
"""Of a bidder's state, which may quote an error."""


@dataclass(kw_only=True)
class LiveMessage:
    """A message of one gateway to the others."""

    owner: str
    """The gateway."""
    watching: bool = False
    """A page is open there."""
    begins: bool = False
    """And none was before: it knows nothing yet."""
    auctions: list[LiveAuction] = field(default_factory=list[LiveAuction])


_MESSAGE: Final = TypeAdapter(LiveMessage)


class Channel(Protocol):
    """Carries messages among gateways."""

    async def tell(self, messages: list[str]) -> None:
        """Send to all."""
        ...

    def hear(self) -> AsyncGenerator[str]:
        """Messages as they come."""
        ...


class LiveSharing:
    """Tells other gateways of this one's auctions, and pages here of theirs; use it as an async context manager."""

    def __init__(self, hub: EventHub, channel: Channel) -> None:
        """Nothing is told yet.

        Args:
            hub: Where this gateway's auctions tell what happens.
            channel: To the others.
        """
        self._hub = hub
        self._channel = channel
        self._owner = uuid.uuid4().hex
        self._own: dict[str, LiveAuction] = {}
        self._changed: dict[str, None] = {}
        self._others: dict[str, LiveAuction] = {}
        self._pages: set[Callable[[LiveAuction], None]] = set()
        self._watched_until = self._watch_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        works = (self._follow(), self._again(self._hear), self._again(self._tell))
        self._tasks = [asyncio.create_task(work) for work in works]
        await asyncio.sleep(0)  # from here on no event of an auction is missed
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    @contextmanager
    def page(self, take: Callable[[LiveAuction], None]) -> Generator[None]:
        """A page is open: it is told of other gateways' auctions, those under way first."""
        if not self._pages:
            self._watch_at = 0.0
        self._pages.add(take)
        for auction in tuple(self._others.values()):
            take(auction)
        try:
            yield
        finally:
            self._pages.discard(take)
            if not self._pages:
                self._others.clear()

    async def _follow(self) -> None:
        """Keep in mind how this gateway's auctions stand."""
        async for auction_id, event in self._hub.listen():
            if auction_id not in self._own and not isinstance(event, AuctionOpened):
                continue
            try:
                self._own.setdefault(auction_id, LiveAuction(id=auction_id)).take(event)
            except Exception:  # the next auction is to be shown all the same
                LOG.exception("the live page misses an event of auction %s", auction_id)
            self._changed[auction_id] = None
            while len(self._own) > MAX_AUCTIONS:
                self._own.pop(next(iter(self._own)))

    async def _again(self, work: Callable[[], AsyncGenerator[None]]) -> None:
        """Do it until cancelled; where it fails, once more a little later."""
        failed = False
        while True:
            try:
                async for _ in work():
                    failed = False
            except StoreError as error:
                if not failed:
                    LOG.warning("the live page shows this gateway alone: %s", error)
                failed = True
            except Exception:
                LOG.exception("the live page shows this gateway alone")
            await asyncio.sleep(AGAIN_SECONDS)

    async def _tell(self) -> AsyncGenerator[None]:
        while True:
            messages: list[str] = []
            if self._pages and monotonic() >= self._watch_at:
                messages.append(
                    _write_message(LiveMessage(owner=self._owner, watching=True, begins=not self._watch_at))
                )
                self._watch_at = monotonic() + WATCH_SECONDS
            changed, self._changed = self._changed, {}
            if monotonic() < self._watched_until:
                messages += pack_messages(self._owner, [self._own[one] for one in changed if one in self._own])
            if messages:
                try:
                    await self._channel.tell(messages)
                except Exception:
                    self._watch_at = 0.0  # the others may not know that a page is open
                    raise
            for one in changed:
                if one in self._own and self._own[one].phase == "done":
                    del self._own[one]
            yield
            await asyncio.sleep(BEAT_SECONDS)

    async def _hear(self) -> AsyncGenerator[None]:
        async for said in self._channel.hear():
            with suppress(ValidationError):  # anybody may speak on the channel
                self._take(_MESSAGE.validate_json(said))
            yield

    def _take(self, message: LiveMessage) -> None:
        if message.owner == self._owner:
            return
        if message.watching:
            if message.begins or monotonic() >= self._watched_until:
                self._changed |= dict.fromkeys(self._own)
            self._watched_until = monotonic() + WATCHED_SECONDS
        for auction in message.auctions if self._pages else ():
            self._others.pop(auction.id, None)
            if auction.phase != "done":
                self._others[auction.id] = auction
            while len(self._others) > MAX_AUCTIONS:
                self._others.pop(next(iter(self._others)))
            for take in tuple(self._pages):
                take(replace(auction))


def pack_messages(owner: str, auctions: Iterable[LiveAuction]) -> list[str]:
    """Messages with these auctions, as few as there is room in."""
    made: list[str] = []
    waiting: list[LiveAuction] = []
    for auction in map(_shorten, auctions):
        if (
            waiting
            and len(_write_message(LiveMessage(owner=owner, auctions=[*waiting, auction])).encode()) > MAX_MESSAGE_BYTES
        ):
            made.append(_write_message(LiveMessage(owner=owner, auctions=waiting)))
            waiting = []
        waiting.append(auction)
    return [*made, _write_message(LiveMessage(owner=owner, auctions=waiting))] if waiting else made


def _shorten(auction: LiveAuction) -> LiveAuction:
    """Without texts, and with as many bidders as a message takes: leader and winner, then in their order."""
    bids = [replace(one, state=one.state[:MAX_STATE_CHARACTERS]) for one in auction.bids.values()]
    bids.sort(key=lambda one: one.agent not in {auction.leader, auction.winner})
    while True:
        short = replace(auction, task="", bids={one.agent: one for one in bids})
        if (
            not bids
            or len(_write_message(LiveMessage(owner=uuid.UUID(int=0).hex, auctions=[short])).encode())
            <= MAX_MESSAGE_BYTES
        ):
            return short
        bids = bids[: len(bids) // 2]


def _write_message(message: LiveMessage) -> str:
    return _MESSAGE.dump_json(message, exclude_defaults=True).decode()
