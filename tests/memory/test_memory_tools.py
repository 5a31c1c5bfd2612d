"""Calls of tools on record."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from sale.memory.store import AuctionMemory
from sale.types import Baseline, Call, Execution, Outcome, Task, Usage
from tests.memory.builders import HashEmbedder, auction, bid, call

SEARCH = Call(
    stage="execute", agent="a", usage=Usage(), dollars=0.005, seconds=0.4, tool="search", key="SEARCH_KEY", error=None
)
MODEL = replace(call("execute"), prompt="work@1")


async def test_they_come_back_and_are_exported(tmp_path: Path) -> None:
    done = Execution(agent="a", answer="x", mode="tools", followed_strategy=True, calls=(MODEL, SEARCH))
    held = auction("one", Task(text="sort"), [bid("a", 1.0)])
    async with await AuctionMemory.open(tmp_path / "m", embedder=HashEmbedder()) as memory:
        await memory.begin("one", held.task)
        await memory.award(held)
        largest = Baseline(agent="a", dollars=1.0, basis="b")
        await memory.settle("one", done, Outcome(verdict="success", judged_by="user"), largest)
        record = await memory.load("one")
        assert record.execution is not None
        assert record.execution.calls == (MODEL, SEARCH)
        stream = io.StringIO()
        await memory.export(stream)
    (tmp_path / "lines").write_text(stream.getvalue(), encoding="utf-8")
    async with await AuctionMemory.open(tmp_path / "other", embedder=HashEmbedder()) as other:
        await other.import_(tmp_path / "lines")
        again = (await other.load("one")).execution
        assert again is not None
        assert again.calls == (MODEL, SEARCH)
