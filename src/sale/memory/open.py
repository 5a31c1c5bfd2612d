"""The auction memory the settings name, opened on first use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sale.config import MemorySettings, Settings, memory_archive, memory_place, secure_data_directory
from sale.memory.prior import PriorWork
from sale.memory.retention import Retention
from sale.memory.store import AuctionMemory
from sale.memory.tenants import Sharing
from sale.models.embedding import MiniLMEmbedder


def open_memory(
    settings: Settings, prior: PriorWork | None = None, *, to_read: bool = False
) -> Callable[[], Awaitable[AuctionMemory]]:
    """An opener for the memory that the settings, or the environment, name.

    Args:
        settings: Name it.
        prior: Work that counts in track records beside what is on record.
        to_read: Nothing will be put on record; see `AuctionMemory.open`.
    """

    async def opener() -> AuctionMemory:
        secure_data_directory()
        return await AuctionMemory.open(
            memory_place(settings),
            embedder=MiniLMEmbedder(),
            prior=prior,
            sharing=sharing_of(settings.memory),
            retention=retention_of(settings),
            to_read=to_read,
        )

    return opener


def sharing_of(settings: MemorySettings) -> Sharing:
    """Return what the settings share between tenants."""
    texts = settings.share if isinstance(settings.share, bool) else frozenset(settings.share)
    return Sharing(texts=texts, statistics=settings.share_statistics)


def retention_of(settings: Settings) -> Retention:
    """Return the bounds of the memory that the settings name."""
    bounds = settings.memory
    return Retention(
        max_auctions=bounds.max_auctions,
        max_bytes=None if bounds.max_megabytes is None else bounds.max_megabytes * 10**6,
        half_life_days=bounds.half_life_days or None,
        archive=memory_archive(settings),
    )
