"""Errors of tasks that nobody awaits: the event loop complains of them on stderr, with a traceback."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


@contextmanager
def complaints() -> Generator[list[dict[str, Any]]]:
    """What the running event loop complains of meanwhile, once what is not used any more is gone."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    heard: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: heard.append(context))
    try:
        yield heard
        gc.collect()
    finally:
        loop.set_exception_handler(before)


async def let_run() -> None:
    """Let everything that is ready to go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)
