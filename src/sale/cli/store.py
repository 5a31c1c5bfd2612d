"""The auction memory, opened for one command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from sale import config
from sale.config import Settings
from sale.errors import ConfigError
from sale.memory.open import open_memory
from sale.memory.store import AuctionMemory

T = TypeVar("T")


def with_memory(config_file: Path | None, act: Callable[[AuctionMemory], Awaitable[T]], *, to_read: bool = False) -> T:
    """Open the memory, do one thing, close it; see `enter_memory`."""

    async def go() -> T:
        async with enter_memory(config.load(config_file), to_read=to_read) as memory:
            return await act(memory)

    return asyncio.run(go())


@asynccontextmanager
async def enter_memory(settings: Settings, *, to_read: bool = False) -> AsyncGenerator[AuctionMemory]:
    """Open the memory the settings name, and close it after.

    Args:
        settings: Name it.
        to_read: Nothing will be put on record; see `AuctionMemory.open`.

    Raises:
        ConfigError: The settings have it off; then none is made.
        StoreError: It cannot be opened.
    """
    refuse_memory_off(settings)
    memory = await open_memory(settings, to_read=to_read)()
    try:
        yield memory
    finally:
        await memory.aclose()


def refuse_memory_off(settings: Settings) -> None:
    """Refuse to go on where the settings have the memory off.

    Raises:
        ConfigError: They have.
    """
    if not settings.memory.enabled:
        raise ConfigError(
            "the auction memory is off (memory.enabled)",
            where=settings.origin,
            hint="Set memory.enabled = true, or name other settings with --config.",
        )
