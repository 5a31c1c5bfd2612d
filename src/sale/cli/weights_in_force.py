"""The weights that decide now, unless the settings give others, and the records that came after them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sale.config import Settings
from sale.errors import SaleError
from sale.memory.store import AuctionMemory
from sale.shipped import knowledge_of
from sale.types import Example, Weights, WeightSet


async def in_force(memory: AuctionMemory, settings: Settings) -> tuple[WeightSet | None, Sequence[Example]]:
    """Return the weights in use by the memory, else those that ship with this pool, with the records since; or `None`.

    Args:
        memory: Of the market.
        settings: Its pool.

    Returns:
        The weights, and the auctions begun since they were made; for the shipped ones all, as none made them.
    """
    known = knowledge_of(settings)
    used = await memory.weights_in_use() or (known.weight_set if known else None)
    if used is None:
        return None, ()
    return used, await memory.examples(datetime.fromisoformat(used.made_at) if used.made_at else None)


def prior_of(settings: Settings) -> Weights | None:
    """Return the default weights of a pool, or `None` where it cannot be made here: a key is not set, say."""
    from sale.agents.jury_seats import seat_jurors
    from sale.agents.pool import build_agents
    from sale.market import Market

    try:
        agents = build_agents(settings)
        return Market(agents, seats=seat_jurors(settings, agents), rules=settings.auction).prior
    except SaleError:
        return None


def explain_given(settings: Settings) -> str:
    """Say that the settings have weights, which come before those of the memory; empty where they have none."""
    if settings.weights is None:
        return ""
    return f"{settings.origin} has weights of its own, in [weights]: they decide, and not these."
