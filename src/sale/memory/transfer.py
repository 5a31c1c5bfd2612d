"""Records that leave the memory and come into it: files of its own format, and past work of other programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sale.memory import export
from sale.memory.importers.into_memory import import_works
from sale.memory.records import ImportReport
from sale.memory.retention import RetentionQueries
from sale.types import Price

if TYPE_CHECKING:
    from sale.memory.importers.read import ReadFile


class TransferQueries(RetentionQueries):
    """The part of `AuctionMemory` that exports and imports."""

    async def export(self, target: Path | str | TextIO) -> int:
        """Write every finished record, and what compaction kept, as lines of JSON; see `sale.memory.export`.

        Args:
            target: A file, replaced only once the whole is written; or an open text stream.

        Returns:
            How many records.

        Raises:
            InputError: The target is the memory's own file.
            StoreError: The memory cannot be read.
            OutputError: The file cannot be written.
            OSError: The stream cannot be written.
        """
        return await export.export(self._database, self._encoder, target)

    async def import_(self, path: Path | str, *, source: str | None = None, skip_bad: bool = False) -> ImportReport:
        """Add the records of an exported file. Those whose id is present are left as they are.

        Args:
            path: The file.
            source: Where they come from, for `forget(source=…)`; `import:<file name>` unless given.
            skip_bad: Leave out lines that are wrong, instead of importing nothing.

        Raises:
            InputError: The file cannot be read, or a line is wrong (`<file>:<line>`); nothing is imported.
            StoreError: The memory cannot be written.
        """
        path = Path(path)
        report = await export.import_file(
            self._database, self._encoder, path, source or f"import:{path.name}", skip_bad=skip_bad
        )
        self._note_records(report.added)
        return report

    async def import_work(
        self,
        file: ReadFile,
        *,
        source: str | None = None,
        prices: Mapping[str, Price] | None = None,
        texts: bool = True,
    ) -> ImportReport:
        """Add past work that another program recorded; `read_past_work` reads it. What is present is left as it is.

        Args:
            file: What was read. Its malformed units are not looked at again.
            source: Where it comes from, for `forget(source=…)`; `import:<file name>` unless given.
            prices: By agent; they make dollars of tokens where the file names no dollars.
            texts: Whether texts of tasks and answers are kept; else their embeddings and outcomes alone.

        Raises:
            StoreError: The memory cannot be written. What was added before stays; to import again adds the rest.
        """
        origin = source or f"import:{Path(file.name).name}"
        report = await import_works(self._database, self._encoder, file, prices or {}, source=origin, texts=texts)
        self._note_records(report.added)
        return report
