"""What is kept is for its owner alone, whatever the mask says, and whatever an earlier version left open."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest

from sale import config
from sale.bench.recording.log import RecordWriter, pack
from sale.errors import StoreError
from sale.memory.open import open_memory
from sale.memory.store import AuctionMemory
from sale.server.store.store import ServerStore
from tests.memory.builders import HashEmbedder, remember


@pytest.fixture(autouse=True)
def open_mask() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


def open_to_others(folder: Path) -> list[str]:
    """What in a folder others may look at, itself included."""
    return [str(path) for path in (folder, *folder.rglob("*")) if stat.S_IMODE(path.stat().st_mode) & 0o077]


async def test_a_memory_its_logs_its_locks_and_its_exports(tmp_path: Path) -> None:
    place = tmp_path / "new" / "deep" / "memory.sqlite3"
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        await remember(memory, "x", "sort")
        await memory.export(place.with_name("all.jsonl"))
        assert place.with_name("memory.sqlite3-wal").exists()
        assert open_to_others(tmp_path / "new") == []


async def test_a_store_and_its_logs(tmp_path: Path) -> None:
    place = tmp_path / "new" / "deep" / "server.sqlite3"
    async with await ServerStore.open(place) as store:
        await store.create_key("ada")
        assert place.with_name("server.sqlite3-wal").exists()
        assert open_to_others(tmp_path / "new") == []


async def test_what_was_left_open_is_tightened_when_it_is_opened(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir(mode=0o755)
    for round_ in range(2):
        async with (
            await AuctionMemory.open(place / "memory.sqlite3", embedder=HashEmbedder()) as memory,
            await ServerStore.open(place / "server.sqlite3"),
        ):
            await remember(memory, f"x{round_}", "sort")
            if round_:
                assert open_to_others(place) == [str(place)], "the directory may be anybody's"
            for path in place.rglob("*"):
                path.chmod(0o777 if path.is_dir() else 0o666)
    assert stat.S_IMODE(place.stat().st_mode) == 0o755


async def test_the_programs_own_directory_is_tightened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SALE_MEMORY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    own = platformdirs.user_data_path(config.APP)
    own.mkdir(parents=True, mode=0o755)
    memory = await open_memory(config.parse(config.shipped_text()))()
    await memory.aclose()
    assert (own / "memory.sqlite3").exists()
    assert open_to_others(own) == []


async def test_a_file_of_something_else_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("not a database" * 100)
    (tmp_path / "notes").chmod(0o644)
    with pytest.raises(StoreError):
        await AuctionMemory.open(tmp_path / "notes", embedder=HashEmbedder())
    assert stat.S_IMODE((tmp_path / "notes").stat().st_mode) == 0o644


def test_recordings_hold_prompts_and_answers(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "new" / "run.jsonl") as record:
        record.append({"kind": "run"})
    pack(tmp_path / "new" / "run.jsonl")
    assert [path for path in open_to_others(tmp_path / "new") if not Path(path).is_dir()] == []
