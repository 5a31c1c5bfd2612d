"""Something done again and again in the background, until it is closed; it is never interrupted in the middle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sale.errors import StoreError

AGAIN_SECONDS: Final = 1.0
log = logging.getLogger(__name__)


class PeriodicTask:
    """Calls `act` every so often, or sooner when woken. What fails is logged, and tried again at the next beat."""

    def __init__(self, seconds: float, act: Callable[[], Awaitable[None]], what: str) -> None:
        """Begins at once; to be made inside a running event loop.

        Args:
            seconds: Between the end of one beat and the next.
            act: Raises nothing but `StoreError`.
            what: For the log.
        """
        self._seconds = seconds
        self._act = act
        self._what = what
        self._woken = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._closed = False
        self._task = asyncio.create_task(self._beat(), name=f"sale-store: {what}")

    def wake(self) -> None:
        """Do not wait for the next beat."""
        self._woken.set()

    def wake_within(self, seconds: float) -> None:
        """Do not wait for the next beat for longer than so many seconds from the first call on."""
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.wake()

    async def _beat(self) -> None:
        while not self._closed:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            if self._closed:
                return
            try:
                await self._act()
            except StoreError as error:
                log.warning("%s failed, and will be tried again: %s", self._what, error)
                await asyncio.sleep(min(self._seconds, AGAIN_SECONDS))
                self.wake()

    async def close(self) -> None:
        """Let the beat under way end, and do no other."""
        self._closed = True
        self.wake()
        await self._task
