"""Doing many things side by side, a bounded number at a time, with results in the order in which they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sale.agents.arguments import as_task
from sale.auction.breaks import describe_break
from sale.errors import InputError, SaleError
from sale.types import Result, Task

S = TypeVar("S")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskOutcome:
    """The outcome of one of many tasks: its result, or the error for which there is none."""

    task: Task
    """The task. Where what was given is not a task, its `repr` is the text."""
    result: Result | None = None
    error: SaleError | None = None
    """An error of another kind is its `__cause__`."""


async def run_side_by_side(
    source: AsyncIterable[S] | Iterable[S], work: Callable[[S], Awaitable[R]], width: int
) -> AsyncGenerator[R]:
    """Work on what a source gives, and yield results as they come.

    The source is asked for more only when there is room. Where the iteration is left early, what is under way is
    cancelled. An error of one piece of work is raised, and ends the others. An error of the source is raised when what
    is under way is done.

    Args:
        source: What to work on.
        work: Does one of them.
        width: How many at one time.

    Raises:
        InputError: The width is below 1.
    """
    if width < 1:
        raise InputError(f"concurrency must be at least 1, got {width!r}")
    running: set[asyncio.Task[R]] = set()
    rows = _Source(source)
    try:
        while True:
            while len(running) < width and (taken := await rows.take()) is not None:
                running.add(asyncio.ensure_future(work(*taken)))
            if not running:
                if rows.fault is not None:
                    raise rows.fault
                return
            finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for one in finished:
                yield one.result()
    finally:
        for one in running:
            one.cancel()
        if running:
            await asyncio.wait(running)


class _Source(Generic[S]):
    """A source that is asked for one thing after another, until it ends or raises an error, which is kept."""

    def __init__(self, source: AsyncIterable[S] | Iterable[S]) -> None:
        self._items = aiter(source if isinstance(source, AsyncIterable) else _each(source))
        self._more = True
        self.fault: Exception | None = None

    async def take(self) -> tuple[S] | None:
        """The next thing; `None` at the end."""
        if not self._more:
            return None
        try:
            return (await anext(self._items),)
        except StopAsyncIteration:
            self._more = False
        except Exception as error:  # noqa: BLE001  a source may be anybody's
            self._more, self.fault = False, error
        return None


async def _each(source: Iterable[S]) -> AsyncGenerator[S]:
    for item in source:
        yield item


async def outcome_of(row: object, work: Callable[[Task], Awaitable[Result]]) -> TaskOutcome:
    """Await the result of a task; an error that it ended with, of whatever kind, is part of the outcome.

    Args:
        row: The task, or its text.
        work: Does it.
    """
    try:
        task = as_task(row)
    except InputError as error:
        return TaskOutcome(task=Task(text=repr(row)), error=error)
    try:
        return TaskOutcome(task=task, result=await work(task))
    except SaleError as error:
        return TaskOutcome(task=task, error=error)
    except Exception as error:  # noqa: BLE001  a verifier or a scoring rule may be anybody's
        failure = SaleError(describe_break(error))
        failure.__cause__ = error
        return TaskOutcome(task=task, error=failure)
