"""A memory on a file system that is mounted read-only: it is read, and why it is not written is said."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sale.agents.tools.bubblewrap import find_bwrap
from sale.memory.store import AuctionMemory
from tests.memory.builders import HashEmbedder, remember
from tests.support.hang import HANG

SETTINGS = """
[[agents]]
name = "a"
endpoint = "http://127.0.0.1:1/v1"
model = "m"
price = 1.0

[memory]
path = "memory.sqlite3"
"""
COMMAND = "from sale.cli.main import main; main()"
WRITE = """
import asyncio, sys
from pathlib import Path
from sale.errors import StoreError
from sale.memory.store import AuctionMemory
from sale.models.embedding import MiniLMEmbedder

async def write():
    async with await AuctionMemory.open(Path(sys.argv[1]), embedder=MiniLMEmbedder(), to_read=True) as memory:
        for act in (lambda: memory.feedback("x000", "failure", judged_by="me"), lambda: memory.forget("x000")):
            try:
                await act()
            except StoreError as error:
                print(error)
        await memory.sweep()
        print(len(await memory.list()))

asyncio.run(write())
"""

pytestmark = pytest.mark.skipif(find_bwrap() is None, reason="bubblewrap is not installed")


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "a %2F b?#"
    folder.mkdir()
    (folder / "sale.toml").write_text(SETTINGS, encoding="utf-8")
    async with await AuctionMemory.open(folder / "memory.sqlite3", embedder=HashEmbedder()) as memory:
        for number in range(3):
            await remember(memory, f"x{number:03}", f"sort the list {number}")
    return folder


@pytest.fixture
async def in_use(folder: Path) -> AsyncIterator[AuctionMemory]:
    """A program elsewhere that writes to it: the latest record is in the log."""
    async with await AuctionMemory.open(folder / "memory.sqlite3", embedder=HashEmbedder()) as memory:
        await remember(memory, "late", "sort the last list")
        yield memory


def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program where the folder is mounted read-only."""
    sealed = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", str(folder), str(folder)]
    return subprocess.run(
        [*sealed, sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=HANG, check=False
    )


def sale(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, COMMAND, *arguments, "--config", str(folder / "sale.toml"))


def ids(folder: Path) -> list[str]:
    done = sale(folder, "memory", "list", "--json")
    assert done.returncode == 0, done.stderr
    return [one["id"] for one in json.loads(done.stdout)["summaries"]]


def test_it_is_read_and_nothing_is_left_beside_it(folder: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert ids(folder) == ["x002", "x001", "x000"]
    for arguments in (("stats",), ("show", "x001"), ("export", str(tmp_path / "out.jsonl"))):
        done = sale(folder, "memory", *arguments)
        assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 3
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_while_a_program_elsewhere_writes_to_it_the_latest_is_read(folder: Path, in_use: AuctionMemory) -> None:
    assert ids(folder) == ["late", "x002", "x001", "x000"]
    assert in_use.path == folder / "memory.sqlite3"


def test_a_log_without_its_index_is_not_passed_over(folder: Path, in_use: AuctionMemory, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    for name in ("sale.toml", "memory.sqlite3", "memory.sqlite3-wal"):
        shutil.copy(folder / name, copied)
    assert in_use.path is not None
    done = sale(copied, "memory", "list")
    assert done.returncode == 1
    assert "its latest records are in its log" in done.stderr


def test_tables_of_another_version_are_not_upgraded(folder: Path) -> None:
    with sqlite3.connect(folder / "memory.sqlite3") as connection:
        (table,) = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%version%' AND sql LIKE '%num%'")
        connection.execute(f"UPDATE {table[0]} SET version_num = '0001'")
    connection.close()
    done = sale(folder, "memory", "list")
    assert done.returncode == 1
    assert "it has the tables of another version of sale (revision 0001" in done.stderr


def test_commands_that_write_say_that_the_file_system_is_read_only(folder: Path) -> None:
    done = sale(folder, "feedback", "x000", "success")
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr


def test_what_was_opened_to_be_read_says_why_it_is_not_written(folder: Path) -> None:
    done = run(folder, WRITE, str(folder / "memory.sqlite3"))
    assert done.returncode == 0, done.stderr
    *refused, count = done.stdout.splitlines()
    assert ["it can be read only, as its file system is mounted read-only" in one for one in refused] == [True, True]
    assert count == "3"
