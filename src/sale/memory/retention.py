"""Bounds of the memory: how much stays, where what goes is archived, and compaction when a bound is passed."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from sale.errors import InputError, SaleError, StoreError
from sale.files.writing import explain_output, writing_text
from sale.memory import compaction
from sale.memory.database import MemoryDatabase
from sale.memory.export import read_ids, write_records
from sale.memory.index_sync import TextEncoder
from sale.memory.records import CompactionReport
from sale.wording import quantity

log = logging.getLogger("sale.memory")

ROOM: Final = 0.8
"""Of a bound that was passed: so much is left, and it is some time before it is passed again."""
SHARE: Final = 0.1
"""Of a block's auctions that stay, unless fewer have to."""
CHECKED_EVERY: Final = 200
"""Records that are settled or imported, before the bounds are looked at again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """The bounds of what stays on record."""

    max_auctions: int | None = None
    """Finished auctions; `None`: any number."""
    max_bytes: int | None = None
    """On disk; `None`: any number."""
    half_life_days: float | None = 365.0
    """After how many days an execution that was compacted counts half; `None`: it always counts in full."""
    archive: Path | None = None
    """The folder for records that go; needed where there is a bound."""

    def __post_init__(self) -> None:
        if self.archive is None and (self.max_auctions or self.max_bytes):
            raise InputError("a memory with a bound needs a folder for what goes", hint="Give `archive`.")


class RetentionQueries:
    """The part of `AuctionMemory` that keeps it within its bounds."""

    _database: MemoryDatabase
    _encoder: TextEncoder
    _retention: Retention
    _unchecked = CHECKED_EVERY
    """Records since the bounds were looked at last; at the first one they are."""

    async def compact(
        self, keep: int, *, half_life_days: float | None = None, archive: Path | None = None, shrink: bool = True
    ) -> CompactionReport:
        """Replace the oldest auctions by what their agents' work came to, until so many are left.

        A tenth of the auctions looked at stay whole, as exemplars; fewer where `keep` asks for it. See
        `sale.memory.compaction`. Unfinished auctions neither count nor go.

        Args:
            keep: How many finished auctions are to stay.
            half_life_days: After how many days an execution that goes counts half; `None`: it counts in full.
            archive: The folder for the records that go, in the format of `export`; `None`: they are gone.
            shrink: Whether to give the room on the disk back, during which others wait.

        Raises:
            InputError: Fewer than one are to stay.
            OutputError: The archive cannot be written. What was not archived did not go.
            StoreError: The memory cannot be written.
        """
        if keep < 1:
            raise InputError(f"cannot keep {keep:,} auctions", hint="Keep one at least.")
        if half_life_days is not None and not half_life_days > 0:
            raise InputError(f"a half-life of {half_life_days:g} days", hint="Give more than 0, or none.")
        if archive is not None:
            await asyncio.to_thread(_make_folder, archive)
        before = left = await self._database.read(compaction.count_finished)
        share = min(SHARE, keep / max(before, 1))
        after: compaction.Cursor | None = None
        files: list[str] = []
        lines = unjudged = 0
        faded = 0.0
        while left > keep:
            now = datetime.now(UTC)

            def one(
                connection: Connection, now: datetime = now, after: compaction.Cursor | None = after
            ) -> tuple[compaction.BlockPlan | None, Path | None, int]:
                excess = compaction.count_finished(connection) - keep  # others may compact, too
                plan = compaction.plan_block(
                    connection, self._encoder, after, share=share, most=excess, half_life_days=half_life_days, now=now
                )
                if plan is None or not plan.doomed:
                    return plan, None, excess + keep
                written = _archived(connection, self._encoder, archive, plan, now)
                compaction.carry_out(connection, plan, now)
                return plan, written, excess + keep - len(plan.doomed)

            plan, written, left = await self._database.write(one)
            if plan is None:
                break
            after = plan.last
            lines += len(plan.rows) - len(plan.merged)
            unjudged += plan.unjudged
            faded += plan.faded
            files += [str(written)] if written else []
        if shrink and left < before:
            await self._database.shrink()
        return CompactionReport(
            before=before,
            after=left,
            bound=keep,
            lines=lines,
            unjudged=unjudged,
            faded=faded,
            archive=tuple(files),
        )

    async def keep_bounds(self) -> CompactionReport | None:
        """Compact where a bound of `Retention` is passed; `None` where none is.

        Raises:
            OutputError: The archive cannot be written.
            StoreError: The memory cannot be written.
        """
        bounds, size = self._retention, self._database.backend.size
        count = await self._database.read(compaction.count_finished)
        keep = count
        if bounds.max_auctions is not None and count > bounds.max_auctions:
            keep = min(keep, int(ROOM * bounds.max_auctions))
        if bounds.max_bytes is not None:
            used = await self._database.read(size)
            if used > bounds.max_bytes:  # what is no longer used is given back first, or too much would have to go
                await self._database.shrink()
                used = await self._database.read(size)
            if used > bounds.max_bytes:
                keep = min(keep, int(ROOM * count * bounds.max_bytes / used))
        if keep >= count:
            return None
        report = await self.compact(
            max(keep, 1),
            half_life_days=bounds.half_life_days,
            archive=bounds.archive,
            shrink=bounds.max_bytes is not None,
        )
        log.warning("%s: %s", self._database.backend.where, describe(report))
        return report

    def _note_records(self, count: int = 1) -> None:
        """Have the bounds looked at in the background, if it is time. Faults are told to the log."""
        bounds = self._retention
        self._unchecked += count
        bounded = bool(bounds.max_auctions or bounds.max_bytes)
        running = self._compacting is not None and not self._compacting.done()
        if bounded and not running and self._unchecked >= CHECKED_EVERY:
            self._unchecked = 0
            with suppress(StoreError):  # it was closed meanwhile; the next to open it looks
                self._compacting = self._database.start(self._keep_bounds_quietly())

    _compacting: asyncio.Task[None] | None = None

    async def _keep_bounds_quietly(self) -> None:
        try:
            await self.keep_bounds()
        except SaleError as error:
            log.warning("%s: it could not be compacted: %s", self._database.backend.where, error)
        except Exception:  # awaited by no caller, it would be lost
            log.exception("%s: it could not be compacted", self._database.backend.where)

    async def _finish_compaction(self) -> None:
        """Wait until the block under way is done; the rest waits for the next time."""
        if self._compacting is not None and not self._compacting.done():
            self._compacting.cancel()
            await asyncio.wait([self._compacting])


def _make_folder(folder: Path) -> None:
    """Make the folder of the archive, for its owner alone.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise explain_output(error, folder) from error


def _archived(
    connection: Connection, encoder: TextEncoder, folder: Path | None, plan: compaction.BlockPlan, now: datetime
) -> Path | None:
    """Write the records that go into a file of their own, on the disk before anything is deleted."""
    if folder is None:
        return None
    first = read_ids(connection, plan.doomed[:1])[0]
    name = "".join(sign if sign.isalnum() else "-" for sign in first[:12])
    target = folder / f"memory-{now:%Y%m%dT%H%M%S%f}-{name}.jsonl"
    with writing_text(target, private=True) as stream:
        write_records(connection, encoder, stream, sorted(plan.doomed))
    return target


def describe(report: CompactionReport) -> str:
    """Say what compaction did, in a few sentences."""
    gone = report.before - report.after
    said = [f"{quantity(report.before, 'auction')} on record, {report.after:,} after compaction."]
    if gone:
        said.append(f"Of the {gone:,} that went, track records still count what agents' work came to.")
    if report.unjudged:
        said.append(f"{quantity(report.unjudged, 'execution')} without a verdict count nowhere any more.")
    if report.faded >= 1:
        said.append(f"As much as {quantity(round(report.faded), 'execution')} was forgotten because of age.")
    if gone:
        where = f"{quantity(len(report.archive), 'file')}, the first {report.archive[0]}" if report.archive else None
        said.append(f"The whole records are in {where}." if where else "Their whole records were not archived.")
    if report.after > report.bound:
        said.append(
            f"{report.bound:,} were to stay: of each tenant and source one does at least, "
            "and every task that has no vector yet."
        )
    return " ".join(said)
