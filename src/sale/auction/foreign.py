"""Waiting for code of anybody's: an agent, a tool, a verifier.

A `CancelledError` ends whatever it comes through, so one that is of the making of such code would end the market.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from sale.errors import CallError

T = TypeVar("T")


async def await_foreign(work: Awaitable[T], what: str = "agent", *, where: str = "") -> T:
    """Wait for it; a cancellation that it raises, of a task of its own say, is a failure like any other.

    One that it asks for by cancelling the task it runs in cannot be told from one of the caller's, and goes through.

    Args:
        work: What it does.
        what: Names its kind in the error.
        where: Names it there.

    Raises:
        CallError: It raised a cancellation of its own.
        asyncio.CancelledError: The running task is cancelled, by whomever.
    """
    try:
        return await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise CallError(f"the {what} itself cancelled the call", where=where) from None


def expect_kind(given: T, kind: type[T], method: str) -> T:
    """Return what code of anybody's gave back, if it is of the kind that its protocol says.

    Args:
        given: What it is.
        kind: What it should be.
        method: The method that gave it, for the error.

    Raises:
        TypeError: It is of another kind.
    """
    if not isinstance(given, kind):
        raise TypeError(f"{method} must return an object of sale's {kind.__name__}, got {type(given).__name__}")
    return given
