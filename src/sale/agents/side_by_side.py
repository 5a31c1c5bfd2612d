"""Doing many things side by side, a bounded number at a time, with results in the order in which they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from sale.errors import InputError, SaleError
from sale.types import Result, Task

S = TypeVar("S")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskOutcome:
    """The outcome of one of many tasks: its result, or the error for which there is none."""

    task: Task
    result: Result | None = None
    error: SaleError | None = None


async def run_side_by_side(
    source: AsyncIterable[S] | Iterable[S], work: Callable[[S], Awaitable[R]], width: int
) -> AsyncGenerator[R]:
    """Work on what a source gives, and yield results as they come.

    The source is asked for more only when there is room. Where the iteration is left early, what is under way is
    cancelled. An error of one piece of work is raised, and ends the others.

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
    items = aiter(source if isinstance(source, AsyncIterable) else _each(source))
    more = True
    try:
        while True:
            while more and len(running) < width:
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    more = False
                else:
                    running.add(asyncio.ensure_future(work(item)))
            if not running:
                return
            finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for one in finished:
                yield one.result()
    finally:
        for one in running:
            one.cancel()
        if running:
            await asyncio.wait(running)


async def _each(source: Iterable[S]) -> AsyncGenerator[S]:
    for item in source:
        yield item


async def outcome_of(task: Task, work: Awaitable[Result]) -> TaskOutcome:
    """Await a result; an error that the task ended with is part of the outcome."""
    try:
        return TaskOutcome(task=task, result=await work)
    except SaleError as error:
        return TaskOutcome(task=task, error=error)
