"""Something done again and again in the background, until it is closed; it is never interrupted in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sale.errors import SaleError

AGAIN_SECONDS: Final = 1.0
"""Seconds until what failed is tried again; twice as long after each further failure, up to those between beats."""
MAX_DOUBLINGS: Final = 10
log = logging.getLogger(__name__)


class PeriodicTask:
    """Calls `act` every so often, or sooner when woken. Whatever fails is logged, and tried again."""

    def __init__(self, seconds: float, act: Callable[[], Awaitable[None]], what: str) -> None:
        """Begins at once; to be made inside a running event loop.

        Args:
            seconds: Between the end of one beat and the next.
            act: An error of it ends that beat, not the task.
            what: For the log.
        """
        self._seconds = seconds
        self._act = act
        self._what = what
        self._woken = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._closing = asyncio.Event()
        self._failures = 0
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
            else:
                self._failures = 0

    async def _recover(self) -> None:
        """Wait until what failed is to be tried again; until then nothing wakes it, or it would fail at every wake."""
        await _wait(self._closing, min(self._seconds, AGAIN_SECONDS * 2 ** min(self._failures, MAX_DOUBLINGS)))
        self._failures += 1
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
