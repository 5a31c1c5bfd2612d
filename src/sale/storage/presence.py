"""Marks of open databases by locked files: the operating system drops the lock when a process ends, however it ends."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from sale.errors import StoreError
from sale.files.private import FILE_MODE, make_own_directory, tighten

POLL_SECONDS = 0.01


class LockFiles:
    """One open database in a file, as other processes see it; see `backend.Presence`."""

    def __init__(self, database: Path, where: str) -> None:
        """Nothing is locked yet; `where` is for messages."""
        self._where = where
        self._directory = database.with_name(database.name + "-locks")
        self.token = uuid.uuid4().hex
        self._held: FileLock | None = None

    @asynccontextmanager
    async def gate(self, seconds: float) -> AsyncGenerator[None]:
        """Only one process at a time: for opening, migrating and sweeping.

        Raises:
            StoreError: Others kept it for longer than `seconds`.
            OSError: The directory cannot be written.
        """
        make_own_directory(self._directory)
        tighten(self._directory / "open.lock")
        lock = FileLock(self._directory / "open.lock", mode=FILE_MODE, thread_local=False)
        deadline = time.monotonic() + seconds
        while True:
            try:
                lock.acquire(blocking=False)
                break
            except Timeout:
                if time.monotonic() > deadline:
                    raise StoreError(
                        f"another process is still opening it after {seconds:g} s",
                        where=self._where,
                        hint="Look for a `sale` process that hangs.",
                    ) from None
            await asyncio.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            lock.release()

    def announce(self) -> None:
        """Hold the token from now on. To be called inside the gate."""
        self._held = FileLock(self._path(self.token), mode=FILE_MODE, thread_local=False)
        self._held.acquire(blocking=False)

    def leave(self) -> None:
        """Let go of the token."""
        if self._held is not None:
            self._held.release()
            self._held = None
            self._remove(self.token)

    def find_dead(self, tokens: Sequence[str]) -> list[str]:
        """Those of these tokens that no process holds. To be called inside the gate."""
        return [token for token in tokens if not self._is_alive(token)]

    def _is_alive(self, token: str) -> bool:
        if not self._path(token).exists():
            return False
        lock = FileLock(self._path(token), mode=FILE_MODE, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return True
        lock.release()
        return False

    def tidy(self) -> None:
        """Remove what dead processes left behind. To be called inside the gate."""
        for path in self._directory.glob("*.lock"):
            if path.stem not in {"open", self.token} and not self._is_alive(path.stem):
                self._remove(path.stem)

    def _path(self, token: str) -> Path:
        return self._directory / f"{token}.lock"

    def _remove(self, token: str) -> None:
        with suppress(OSError):
            self._path(token).unlink()
