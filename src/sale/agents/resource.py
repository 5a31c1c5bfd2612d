"""Something that is opened and closed, for programs with an event loop and for those without one."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from types import TracebackType
from typing import Self, TypeVar

from sale.errors import InputError

T = TypeVar("T")


class Resource(ABC):
    """Closes itself at the end of `async with`; and of `with`, where it is used without an event loop."""

    _runner: asyncio.Runner | None = None

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of what it holds."""

    def _sync(self, work: Coroutine[object, object, T]) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            # One loop for all calls: connections and the database belong to the loop that opened them.
            self._runner = self._runner or asyncio.Runner()
            return self._runner.run(work)
        work.close()
        raise InputError("run_sync was called inside a running event loop", hint="Use `await market.run(…)`.")

    def close(self) -> None:
        """Close after `run_sync`."""
        self._sync(self.aclose())
        if self._runner is not None:
            self._runner.close()
        self._runner = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
