"""A task given up while the winner is at work is on record as abandoned, at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sale import FunctionAgent, Market, Price, Task
from sale.memory.store import AuctionMemory
from sale.models.embedding import MiniLMEmbedder


async def test_cancelled_work_is_abandoned(tmp_path: Path) -> None:
    at_work = asyncio.Event()

    async def plan(task: Task) -> str:
        return "1. Wait."

    async def work(task: Task, strategy: str | None) -> str:
        at_work.set()
        await asyncio.sleep(60)
        return "never"

    async def opener() -> AuctionMemory:
        return await AuctionMemory.open(tmp_path / "m.sqlite3", embedder=MiniLMEmbedder())

    agent = FunctionAgent("slow", price=Price(input=1.0, output=1.0, blended=1.0), bid=plan, execute=work)
    async with Market([agent], memory=opener) as market:
        running = asyncio.create_task(market.run("Wait for it."))
        await at_work.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        memory = await market.memory()
        assert memory is not None
        (summary,) = await memory.list()
        record = await memory.load(summary.id)
    assert record.status == "abandoned"
    assert record.reason == "cancelled at work"
    assert record.auction is not None, "the award stays on record"
