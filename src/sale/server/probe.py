"""A test that the server's records can be written: load balancers ask for it, so it is cheap and never takes long."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from sale.errors import StoreError

LOG = logging.getLogger("sale.server")
FRESH_SECONDS: Final = 1.0
"""Seconds an answer holds."""
PATIENCE: Final = 2.0
"""A database that takes longer to write one row is as good as none."""


class WriteProbe:
    """Writes at most once a second, however often it is asked."""

    def __init__(self, write: Callable[[], Awaitable[None]], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is written yet.

        Args:
            write: Raises `StoreError` where it cannot.
            clock: In seconds.
        """
        self._write = write
        self._clock = clock
        self._task: asyncio.Task[bool] | None = None
        self._ended = 0.0
        self._well = True

    async def is_writable(self) -> bool:
        """Return whether the last write, not older than a second, succeeded."""
        if self._task is None or (self._task.done() and self._clock() - self._ended >= FRESH_SECONDS):
            self._task = asyncio.create_task(self._try())
        task = self._task
        await asyncio.wait({task}, timeout=PATIENCE)
        return task.done() and task.result()

    async def _try(self) -> bool:
        try:
            await self._write()
        except StoreError as error:
            if self._well:
                LOG.error("not ready: %s", error)
            self._well = False
        else:
            self._well = True
        finally:
            self._ended = self._clock()
        return self._well
