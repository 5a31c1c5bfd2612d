"""`sale memory`: what it refuses, and what it asks before it deletes."""

from __future__ import annotations

import asyncio
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
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("memory", "list"),
        ("memory", "stats"),
        ("memory", "show", "x"),
        ("memory", "export", "out.jsonl"),
        ("memory", "forget", "--tenant", "default"),
        ("weights", "list"),
        ("feedback", "x", "success"),
    ],
    ids=" ".join,
)
def test_a_memory_that_is_off_is_not_made(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "sale.toml").write_text(f"{SETTINGS}enabled = false\n", encoding="utf-8")
    done = run_sale(tmp_path, *arguments)
    assert done.code == 2
    assert "sale.toml: the auction memory is off (memory.enabled)" in " ".join(done.err.split())
    assert not [*tmp_path.rglob("*.sqlite3"), *tmp_path.rglob("out.jsonl")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sale.toml").write_text(SETTINGS, encoding="utf-8")
    asyncio.run(_put_on_record(tmp_path / "memory.sqlite3"))
    return tmp_path


async def _put_on_record(path: Path) -> None:
    async with await AuctionMemory.open(path, embedder=HashEmbedder()) as memory:
        for number in range(3):
            await remember(memory, f"x{number:03}", f"sort the list {number}")


def test_before_it_forgets_it_says_how_many(folder: Path) -> None:
    asked = run_sale(folder, "memory", "forget", "--before", "2100-01-01", "--tenant", "default", stdin="n\n")
    assert asked.code == 1
    assert "Delete 3 auctions begun before 2100-01-01 and of the tenant default for good?" in asked.err
    assert "Records: 3 settled" in run_sale(folder, "memory", "stats").out
    named = run_sale(folder, "memory", "forget", "x001", "--source", "elsewhere", stdin="n\n")
    assert "Delete 1 auction named or from the source elsewhere for good?" in named.err
    agreed = run_sale(folder, "memory", "forget", "--before", "2100-01-01", stdin="y\n")
    assert "3 auctions forgotten" in agreed.out


def test_nothing_to_forget_is_no_question(folder: Path) -> None:
    done = run_sale(folder, "memory", "forget", "--tenant", "stranger", stdin="")
    assert (done.code, done.err) == (0, "")
    assert "0 auctions forgotten" in done.out


def test_a_file_of_something_else_is_called_so(folder: Path) -> None:
    (folder / "tasks.jsonl").write_text('{"id": "1", "text": "a"}\n', encoding="utf-8")
    done = run_sale(folder, "memory", "import", "tasks.jsonl")
    said = " ".join(done.err.split())
    assert done.code == 2
    assert "tasks.jsonl: it holds no records of `sale memory export`" in said
    assert run_sale(folder, "memory", "export", "good.jsonl").code == 0
    good = (folder / "good.jsonl").read_text(encoding="utf-8")
    (folder / "mixed.jsonl").write_text(good + "{}\n", encoding="utf-8")
    assert "--skip-bad leaves out bad lines" in " ".join(
        run_sale(folder, "memory", "import", "mixed.jsonl").err.split()
    )
