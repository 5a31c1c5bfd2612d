"""The auction memory, opened for one command."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sale.config import Settings
from sale.memory.open import open_memory
from sale.memory.store import AuctionMemory


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[AuctionMemory]:
    """Open the memory the settings name, and close it after."""
    memory = await open_memory(settings)()
    try:
        yield memory
    finally:
        await memory.aclose()
