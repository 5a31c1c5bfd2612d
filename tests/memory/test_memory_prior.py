"""Work known beforehand: it counts in track records beside the memory's own, and is nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from sale.memory.prior import PriorWork
from sale.memory.store import AuctionMemory
from sale.memory.track_records import TrackedWork
from sale.storage.columns import text_digest
from sale.types import Task, Verdict
from tests.memory.builders import HashEmbedder, Place, bid, only_sqlite, remember

SORT, POEM = "sort the list of names", "write a poem on rain"
pytestmark = only_sqlite


def worked(verdict: Verdict, dollars: float = 0.5) -> list[TrackedWork]:
    return [TrackedWork(agent="a", verdict=verdict, dollars=dollars)]


def prior(texts: Sequence[str], verdict: Verdict = "success", name: str = "hash") -> PriorWork:
    embedder = HashEmbedder(name)
    vectors = asyncio.run(embedder.embed(texts)) if texts else np.zeros((0, embedder.dimensions), np.float32)
    return PriorWork(
        embedder=name,
        digests=[text_digest(text) for text in texts],
        vectors=vectors,
        work=[worked(verdict) for _ in texts],
    )


KNOWN = prior([SORT, POEM])


def opened(place: Place, known: PriorWork | None):
    return AuctionMemory.open(place, embedder=HashEmbedder(), prior=known)


async def test_it_counts_before_anything_is_on_record(place: Place) -> None:
    async with await opened(place, KNOWN) as memory:
        record = (await memory.track_records(Task(text=SORT), ("a", "b")))["a"]
        assert record.successes >= 1.0
        assert (record.failures, record.spent / record.costed) == (0.0, pytest.approx(500_000.0))
        assert (await memory.track_records(Task(text=SORT), ("b",)))["b"].evidence == 0.0


async def test_what_is_on_record_counts_beside_it(place: Place) -> None:
    async with await opened(place, KNOWN) as memory:
        await remember(memory, "one", SORT, (bid("a", 1.0), bid("b", 2.0)), verdict="failure")
        record = (await memory.track_records(Task(text=SORT), ("a",)))["a"]
        assert record.successes == pytest.approx(record.failures, rel=0.2)
        assert record.failures == pytest.approx(1.0)


async def test_it_is_no_auction_no_example_and_no_spending(place: Place) -> None:
    async with await opened(place, KNOWN) as memory:
        assert await memory.recall(Task(text=SORT), "a", 3) == ()
        assert await memory.search(SORT) == ()
        assert await memory.list() == ()
        assert (await memory.stats()).dollars == 0.0


async def test_it_stays_when_auctions_are_forgotten(place: Place) -> None:
    async with await opened(place, KNOWN) as memory:
        before = await memory.track_records(Task(text=SORT), ("a",))
        for number in range(3):
            await remember(memory, f"n{number}", SORT, (bid("a", 1.0), bid("b", 2.0)), verdict="failure")
        assert await memory.track_records(Task(text=SORT), ("a",)) != before
        await memory.forget("n0", "n1", "n2")
        assert await memory.track_records(Task(text=SORT), ("a",)) == before


async def test_vectors_of_another_embedder_are_not_compared(place: Place) -> None:
    async with await opened(place, replace(KNOWN, embedder="another")) as memory:
        assert (await memory.track_records(Task(text=SORT), ("a",)))["a"].evidence == 0.0


async def test_nothing_known_is_like_no_knowledge(place: Place) -> None:
    async with await opened(place, prior([])) as memory:
        assert (await memory.track_records(Task(text=SORT), ("a",)))["a"].evidence == 0.0
