"""Events of all auctions, for listeners such as the live pages. No auction ever waits for them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self
from weakref import WeakSet

from sale.auction.events import Event, Observer

KEPT = 1000
"""The latest events, for those who come late."""
BEHIND = 1000
"""Events a listener may be behind; beyond that it misses the oldest."""

Told = tuple[str, Event]
"""The auction's id, and what happened in it."""


class EventListener:
    """Events as they come, for `async for`. It may be forgotten without a word."""

    def __init__(self) -> None:
        """Use `EventHub.listen`."""
        self._waiting: deque[Told] = deque(maxlen=BEHIND)
        self._arrived = asyncio.Event()
        self._closed = False

    def tell(self, told: Told) -> None:
        """One more event; the oldest one goes where there is no room."""
        self._waiting.append(told)
        self._arrived.set()

    def close(self) -> None:
        """No more events: whoever waits for one is done."""
        self._closed = True
        self._arrived.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Told:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()


class EventHub:
    """Where auctions tell what happens, and others listen. It belongs to one event loop."""

    def __init__(self) -> None:
        """Begin without listeners."""
        self._listeners: WeakSet[EventListener] = WeakSet()
        self._recent: deque[Told] = deque(maxlen=KEPT)
        self._closed = False

    @property
    def recent(self) -> tuple[Told, ...]:
        """The latest events, the oldest first."""
        return tuple(self._recent)

    def publish(self, auction_id: str, event: Event) -> None:
        """Tell everybody, at once."""
        told = (auction_id, event)
        self._recent.append(told)
        for listener in tuple(self._listeners):
            listener.tell(told)

    def observer(self, auction_id: str, *others: Observer) -> Observer:
        """An observer of one auction that tells the hub, and others."""

        def observe(event: Event) -> None:
            self.publish(auction_id, event)
            for other in others:
                other(event)

        return observe

    def listen(self) -> EventListener:
        """Everything from now on."""
        listener = EventListener()
        if self._closed:
            listener.close()
        self._listeners.add(listener)
        return listener

    def close(self) -> None:
        """The server is going down: listeners come to their end."""
        self._closed = True
        for listener in tuple(self._listeners):
            listener.close()
