"""The file of results: JSON lines, each whole and each there once, whatever was killed while it was written.

The lines are on record in the memory before they are written here, so a file can always be completed: what is missing
is added when a batch is taken up, and at its end. A last line without its end is what a crash left of one; it is taken
off. Several processes of one machine may share a file: each writes while it holds the lock beside it, and first reads
what the others have added.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from filelock import FileLock

from sale.errors import InputError
from sale.files.private import FILE_MODE
from sale.files.writing import explain_output

Entry = tuple[str, int, str]
"""A task's id, the attempt, and its line."""
_ANYBODY: Final = 0o666
"""The mode of a new file, less what the user's mask takes away."""


class ResultFile:
    """The results of one batch, open in one process."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened yet."""
        self._path = path
        self._lock = FileLock(path.with_name(path.name + ".lock"), mode=FILE_MODE, thread_local=False)
        self._present: set[tuple[str, int]] = set()
        self._read = 0
        """Bytes of the file that have been read: whole lines."""
        self._pending: list[Entry] = []
        self._writing = asyncio.Lock()

    async def present(self) -> frozenset[tuple[str, int]]:
        """Return the task and attempt of every line that is there.

        Raises:
            InputError: A line is none of a batch's results.
            OutputError: The file cannot be read or written.
        """
        await self.add(())
        return frozenset(self._present)

    async def add(self, entries: Iterable[Entry]) -> None:
        """Write those lines that are not there yet; they are on disk when this returns.

        Raises:
            InputError: A line is none of a batch's results.
            OutputError: The file cannot be written.
        """
        self._pending.extend(entries)
        async with self._writing:
            entries, self._pending = self._pending, []
            await asyncio.to_thread(self._add, entries)

    def _add(self, entries: Sequence[Entry]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock, os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, _ANYBODY), "r+b") as file:
                self._catch_up(file.fileno())
                new = [entry for entry in entries if entry[:2] not in self._present]
                if new:
                    text = "".join(line + "\n" for _, _, line in new).encode()
                    file.seek(self._read)
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                    self._read += len(text)
                    self._present.update((task, attempt) for task, attempt, _ in new)
        except OSError as error:
            raise explain_output(error, self._path) from error

    def _catch_up(self, file: int) -> None:
        """Read what others have added, and take off what a crash left of a line."""
        size = os.fstat(file).st_size
        if size < self._read:  # somebody has emptied it: what is missing is written again
            self._read = 0
            self._present.clear()
        added = os.pread(file, size - self._read, self._read)
        whole = added.rfind(b"\n") + 1
        lines = added[:whole].split(b"\n")[:-1]
        found = [_key(line, f"{self._path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]
        if whole < len(added):
            os.ftruncate(file, self._read + whole)
        self._present.update(found)
        self._read += whole


def _key(line: bytes, where: str) -> tuple[str, int]:
    hint = "Name another file by --out: nothing was spent or changed."
    try:
        found: object = json.loads(line)
    except ValueError as error:
        raise InputError(f"this is not a result of a batch: {error}", where=where, hint=hint) from error
    fields = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    if not isinstance(fields.get("id"), str) or not isinstance(fields.get("attempt"), int):
        raise InputError("this is not a result of a batch: it has no `id` and `attempt`", where=where, hint=hint)
    return fields["id"], fields["attempt"]
