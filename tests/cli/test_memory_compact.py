"""`sale memory compact`, as a user runs it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sale.memory.store import AuctionMemory
from tests.memory.builders import HashEmbedder, remember
from tests.support.command import run_sale

SETTINGS = """
[[agents]]
name = "a"
endpoint = "http://127.0.0.1:1/v1"
model = "m"
price = 1.0

[memory]
path = "memory.sqlite3"
archive = "archive"
"""


async def export_some(target: Path, count: int) -> None:
    async with await AuctionMemory.open(target.with_suffix(".sqlite3"), embedder=HashEmbedder()) as memory:
        for number in range(count):
            await remember(memory, f"x{number:03}", f"sort the list {number % 3}")
        await memory.export(target)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sale.toml").write_text(SETTINGS, encoding="utf-8")
    asyncio.run(export_some(tmp_path / "records.jsonl", 12))
    assert run_sale(tmp_path, "memory", "import", "records.jsonl").code == 0
    return tmp_path


def test_it_says_what_it_did_and_where_the_records_are(folder: Path) -> None:
    done = run_sale(folder, "memory", "compact", "--keep", "3")
    assert done.code == 0, done.err
    said = " ".join(done.out.split())
    assert "12 auctions on record, 3 after compaction." in said
    assert "Of the 9 that went, track records still count what agents' work came to." in said
    (archived,) = (folder / "archive").iterdir()
    assert archived.name in said.replace(" ", "")
    assert len(archived.read_text(encoding="utf-8").splitlines()) == 9
    stats = run_sale(folder, "memory", "stats").out
    assert "Records: 3 settled" in stats
    assert "Compacted: 3 lines of what agents' work came to" in stats
    assert "Recall: exactly, in this process" in stats
    assert "3 records written" in run_sale(folder, "memory", "export", "left.jsonl").out
    (folder / "other.toml").write_text(SETTINGS.replace("memory.sqlite3", "other.sqlite3"), encoding="utf-8")
    moved = run_sale(folder, "memory", "import", "left.jsonl", "--config", "other.toml").out
    assert "3 records added" in moved
    assert "3 lines added of what is known of compacted auctions" in moved


def test_without_a_number_it_asks_for_one(folder: Path) -> None:
    done = run_sale(folder, "memory", "compact")
    assert done.code != 0
    assert "Give --keep, or set memory.max_auctions" in " ".join(done.err.split())
    bounded = SETTINGS.replace("[memory]", "[memory]\nmax_auctions = 5\nhalf_life_days = 0")
    (folder / "sale.toml").write_text(bounded, encoding="utf-8")
    report = json.loads(run_sale(folder, "memory", "compact", "--json").out)["compaction"]
    assert (report["before"], report["after"], report["bound"], report["faded"]) == (12, 5, 5, 0.0)


def test_without_an_archive_it_asks_first(folder: Path) -> None:
    asked = run_sale(folder, "memory", "compact", "--keep", "3", "--no-archive", stdin="n\n")
    assert asked.code != 0
    assert "12 settled" in run_sale(folder, "memory", "stats").out
    done = run_sale(folder, "memory", "compact", "--keep", "3", "--no-archive", "--yes")
    assert "were not archived" in " ".join(done.out.split())
    assert not (folder / "archive").exists()
