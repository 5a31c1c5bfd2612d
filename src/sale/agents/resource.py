"""Something that is opened and closed, for programs with an event loop and for those without one."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Protocol, Self, TypeVar

from sale.errors import InputError

T = TypeVar("T")


class Closable(Protocol):
    """A part of a resource."""

    async def aclose(self) -> None:
        """Let go of what it holds."""
        ...


class Resource(ABC):
    """Closes itself at the end of `async with`; and of `with`, where it is used without an event loop."""

    def __init__(self) -> None:
        """Nothing is opened yet."""
        self._runner: asyncio.Runner | None = None
        self._turn = threading.Lock()
        self._lender: Resource | None = None  # whose parts it uses, where they are not its own: then it closes none

    @abstractmethod
    def _parts(self) -> Sequence[Closable]:
        """The parts that it closes, in order."""

    async def aclose(self) -> None:
        """Close all that it holds; it can be used again, at the cost of opening anew.

        A part that fails to close does not keep the others open: its error is raised when all are closed.
        """
        if self._lender is not None:
            return
        async with AsyncExitStack() as closing:
            for part in reversed(self._parts()):
                closing.push_async_callback(part.aclose)

    def _sync(self, work: Coroutine[object, object, T]) -> T:
        """Run it to its end. Calls from several threads go one after another."""
        if _in_event_loop():
            work.close()
            raise InputError("run_sync was called inside a running event loop", hint="Use `await market.run(…)`.")
        if self._lender is not None:
            return self._lender._sync(work)
        with self._turn:
            # One loop for all calls: connections and the database belong to the loop that opened them.
            self._runner = self._runner or asyncio.Runner()
            return self._runner.run(work)

    def close(self) -> None:
        """Close after `run_sync`.

        Raises:
            InputError: There is a running event loop; await `aclose` instead.
        """
        if _in_event_loop():
            raise InputError("close was called inside a running event loop", hint="Use `await market.aclose()`.")
        try:
            self._sync(self.aclose())
        finally:
            with self._turn:
                runner, self._runner = self._runner, None
                if runner is not None:
                    runner.close()

    def __enter__(self) -> Self:
        if _in_event_loop():
            raise InputError(
                "a market is used in `async with` inside an event loop", hint="Write `async with`, and `await` its run."
            )
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


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
