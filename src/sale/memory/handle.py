"""The auction memory of a market: opened when it is first needed, and anew after it was closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sale.errors import StoreError
from sale.memory.store import AuctionMemory

MemoryOpener = Callable[[], Awaitable[AuctionMemory]]


class MemoryHandle:
    """Opens one memory, whoever asks first, and closes it."""

    def __init__(self, opener: MemoryOpener | None) -> None:
        """Nothing is opened; without an opener nothing ever is."""
        self.opener = opener
        self._memory: AuctionMemory | None = None
        self._lock = asyncio.Lock()

    async def open(self) -> AuctionMemory | None:
        """Return the memory, opened; `None` where there is none."""
        if self.opener is None:
            return None
        async with self._lock:
            if self._memory is None:
                self._memory = await self.opener()
            return self._memory

    async def keep(self, step: Callable[[AuctionMemory], Awaitable[None]]) -> str | None:
        """Take one step of a record, after money was spent; gives back why it could not be taken."""
        try:
            if memory := await self.open():
                await step(memory)
        except StoreError as error:
            return f"the auction is not on record: {error}"
        return None

    async def aclose(self) -> None:
        """Close what was opened."""
        async with self._lock:
            memory, self._memory = self._memory, None
            if memory is not None:
                await memory.aclose()
