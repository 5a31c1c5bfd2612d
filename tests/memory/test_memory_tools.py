"""Calls of tools on record, now and from before they had a column of their own."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from alembic import command
from sqlalchemy import create_engine

from sale.memory import migrate
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


def test_searches_of_an_older_memory_get_their_tool(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'm'}")
    prompts = ["work@1", "tool:search:brave", "tool:read_page", "tool: not one"]
    for revision in ("0005", "head"):
        with engine.begin() as connection:
            config = migrate.configuration()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        if revision == "0005":
            with closing(sqlite3.connect(tmp_path / "m")) as raw:
                for place, prompt in enumerate(prompts):
                    row = (1, place, "stray", "execute", "a", prompt, 1, 2, 0.5, 0.5)
                    raw.execute(
                        "INSERT INTO calls (auction, position, part, stage, agent, prompt, input_tokens, output_tokens,"
                        f" dollars, seconds) VALUES ({', '.join('?' * len(row))})",
                        row,
                    )
                raw.commit()
    engine.dispose()
    with closing(sqlite3.connect(tmp_path / "m")) as raw:
        found = raw.execute("SELECT prompt, tool FROM calls ORDER BY position").fetchall()
    assert found == [("work@1", None), ("", "search"), ("", "read_page"), ("tool: not one", None)]
