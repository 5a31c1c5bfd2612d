"""The auction memory, opened for one command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from sale import config
from sale.config import Settings
from sale.memory.open import open_memory
from sale.memory.store import AuctionMemory

T = TypeVar("T")


def with_memory(config_file: Path | None, act: Callable[[AuctionMemory], Awaitable[T]]) -> T:
    """Open the memory, do one thing, close it."""

    async def go() -> T:
        async with enter_memory(config.load(config_file)) as memory:
            return await act(memory)

    return asyncio.run(go())


@asynccontextmanager
async def enter_memory(settings: Settings) -> AsyncGenerator[AuctionMemory]:
    """Open the memory the settings name, and close it after."""
    memory = await open_memory(settings)()
    try:
        yield memory
    finally:
        await memory.aclose()
