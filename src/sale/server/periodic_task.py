"""Something done again and again in the background, until it is closed; it is not interrupted in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sale.errors import SaleError

AGAIN_SECONDS: Final = 1.0
log = logging.getLogger(__name__)


class PeriodicTask:
    """Calls `act` every so often, or sooner when woken. Whatever fails is logged, and tried again."""

    def __init__(
        self, seconds: float, act: Callable[[], Awaitable[None]], what: str, *, again_seconds: float = AGAIN_SECONDS
    ) -> None:
        """Begins at once; to be made inside a running event loop.

        Args:
            seconds: Between the end of one beat and the next.
            act: An error of it ends that beat, not the task.
            what: For the log.
            again_seconds: Until what failed is tried again, where the next beat is not sooner.
        """
        self._seconds = seconds
        self._act = act
        self._what = what
        self._woken = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._closing = asyncio.Event()
        self._again_seconds = again_seconds
        self._task = asyncio.create_task(self._beat(), name=f"sale: {what}")

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
        while not self._closing.is_set():
            await _wait(self._woken, self._seconds)
            self._woken.clear()
            if self._closing.is_set():
                return
            try:
                await self._act()
            except SaleError as error:
                log.warning("%s failed, and will be tried again: %s", self._what, error)
                await self._recover()
            except Exception:
                log.exception("%s failed, and will be tried again", self._what)
                await self._recover()

    async def _recover(self) -> None:
        """Wait until what failed is to be tried again; until then nothing wakes it, or it would fail at every wake."""
        await _wait(self._closing, min(self._seconds, self._again_seconds))
        self.wake()

    async def close(self) -> None:
        """Let the beat under way end, and do no other; if cancelled, the beat is, too."""
        self._closing.set()
        self.wake()
        await self._task


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer than so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
