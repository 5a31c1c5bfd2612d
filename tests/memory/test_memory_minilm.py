"""With the real embedder."""

from __future__ import annotations

from pathlib import Path

import pytest

from sale.memory.store import AuctionMemory
from sale.models.embedding import MiniLMEmbedder
from sale.types import Task
from tests.memory.builders import remember

TASKS = {
    "sort": "Write a function that sorts a list of names alphabetically.",
    "reverse": "Write a function that reverses a list.",
    "cake": "What temperature is best for baking a sponge cake?",
    "capital": "What is the capital city of France?",
}


async def test_what_means_the_same_comes_first(tmp_path: Path):
    async with await AuctionMemory.open(tmp_path / "m", embedder=MiniLMEmbedder()) as memory:
        for name, text in TASKS.items():
            await remember(memory, name, text)
        for text, nearest in {
            "Order these people's names from A to Z in Python.": "sort",
            "How hot must the oven be for a Victoria sponge?": "cake",
            "Name the French capital.": "capital",
        }.items():
            pairs = await memory.recall(Task(text=text), "a", 8)
            assert pairs[0].auction_id == nearest
            assert len(pairs) == 4
            assert (await memory.search(text, 1))[0].summary.id == nearest
        (first, *_) = await memory.recall(Task(text=TASKS["cake"]), "a", 8)
        assert (first.auction_id, first.similarity) == ("cake", pytest.approx(1.0, abs=1e-3))


async def test_vectors_survive_a_restart_and_an_export(tmp_path: Path):
    async with await AuctionMemory.open(tmp_path / "m", embedder=MiniLMEmbedder()) as memory:
        for name, text in TASKS.items():
            await remember(memory, name, text)
        now = Task(text="Bake a cake")
        before = await memory.recall(now, "a", 8)
        await memory.export(tmp_path / "all.jsonl")
    async with await AuctionMemory.open(tmp_path / "m", embedder=MiniLMEmbedder()) as memory:
        assert await memory.recall(now, "a", 8) == before
    async with await AuctionMemory.open(tmp_path / "n", embedder=MiniLMEmbedder()) as memory:
        await memory.import_(tmp_path / "all.jsonl")
        assert await memory.recall(now, "a", 8) == before


async def test_half_a_character_can_be_embedded(tmp_path: Path):
    async with await AuctionMemory.open(tmp_path / "m", embedder=MiniLMEmbedder()) as memory:
        await memory.begin("x", Task(id="x", text="sort \ud83d these"))
        assert (await memory.load("x")).task.text == "sort \ud83d these"
