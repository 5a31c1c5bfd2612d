"""The allowance of auctions, shared with other gateways on the same store."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Protocol

from sale.auction.allowance import Allowance
from sale.errors import SaleError, StoreError
from sale.market import Market
from sale.memory.earnings import begin_allowance
from sale.server.store.allowances import NOTHING, AllowanceUse

LOG = logging.getLogger("sale.server")
BEAT_SECONDS = 0.2


class AllowanceStore(Protocol):
    """Where processes tell each other of their allowances."""

    async def join(self) -> bool:
        """Begin to share; True where other processes do so already."""
        ...

    async def exchange(self, own: AllowanceUse) -> AllowanceUse:
        """Tell what this process has counted since it joined, and hear what all others have."""
        ...

    async def leave(self, own: AllowanceUse) -> None:
        """Tell the last of it."""
        ...


class AllowanceSharing:
    """Keeps the allowance of the present market in step with those of other processes."""

    def __init__(self, store: AllowanceStore, market: Callable[[], Market]) -> None:
        """Nothing is told yet.

        Args:
            store: Of the server.
            market: The present one; one that takes its place goes on with its allowance.
        """
        self._store = store
        self._market = market
        self._joined = False

    async def start(self) -> None:
        """Join the others, before the first request: who joins does not count the past once more."""
        try:
            await self._join()
        except StoreError as error:
            LOG.warning("the allowance of auctions could not be shared: %s", error.code)

    async def exchange(self) -> None:
        """Tell and hear once.

        Raises:
            SaleError: The store, or the memory, cannot be read or written.
        """
        market = self._market()
        try:
            await self._exchange()
        except SaleError:
            if market is self._market():  # else another took its place, and its memory was closed
                raise

    async def close(self) -> None:
        """Tell the last of it."""
        allowance = self._market().allowance
        if self._joined and allowance is not None:
            self._joined = False
            try:
                await self._store.leave(_use(allowance))
            except StoreError as error:
                LOG.warning("the allowance of auctions could not be shared: %s", error.code)

    async def _exchange(self) -> None:
        if (allowance := await self._join()) is None:
            return
        if not allowance.begun and (memory := await self._market().memory()):
            await begin_allowance(allowance, memory, incumbent=self._market().incumbent.name)
        others = await self._store.exchange(_use(allowance))
        allowance.elsewhere = others.earned - others.spent - others.reserved

    async def _join(self) -> Allowance | None:
        """The allowance to share, once joined; `None` where there is none. The first to join counts the past."""
        allowance = self._market().allowance
        if allowance is None or math.isinf(allowance.share):
            return None
        if not self._joined:
            allowance.begun = await self._store.join() or allowance.begun
            self._joined = True
        return allowance


def _use(allowance: Allowance) -> AllowanceUse:
    use = AllowanceUse(earned=allowance.earned, spent=allowance.spent, reserved=allowance.reserved)
    return use if math.isfinite(use.earned + use.spent + use.reserved) else NOTHING
