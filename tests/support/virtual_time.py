"""An event loop whose clock stands still while anything runs, and jumps to the next timer when nothing does.

What waits thirty seconds is over at once, and how long something took is exact: on a busy machine as on an idle one.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

REAL = time.monotonic
HAIR = 1e-9
"""Seconds a jump goes beyond the timer, so that no sum of fractions falls short of it."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. While threads work for it, it waits for them in real time, and its clock does not move."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        self._clock.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._back)
        return future

    def _back(self, _: asyncio.Future[Any]) -> None:
        self._clock.threads -= 1


class _Clock(selectors.BaseSelector):
    """A selector that, asked to wait, puts the clock forward instead."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.now = 1000.0
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or self.threads:
            return self._selector.select(None if timeout is None or timeout > 0 else timeout)
        ready = self._selector.select(0)
        if not ready:
            self.now += max(timeout, 0.0) + HAIR
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._selector.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.modify(fileobj, events, data)

    def close(self) -> None:
        self._selector.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._selector.get_map()


def monotonic() -> float:
    """The clock of the virtual loop that is running here, else the real one."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return REAL()
    return loop.time() if isinstance(loop, VirtualLoop) else REAL()
