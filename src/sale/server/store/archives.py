"""Old lines of the ledger in Parquet files, out of the database's way; `sale spend` reads both.

A file counts once the transaction that puts it on record has deleted its lines from the database. So whatever is
killed, each line counts once: a file that is not on record is left over from an archive that was broken off.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import pyarrow as untyped_pyarrow
import pyarrow.compute as untyped_compute
import pyarrow.parquet as untyped_parquet
from sqlalchemy import Connection, delete, select

from sale.errors import InputError, StoreError
from sale.files.private import make_directory
from sale.files.writing import explain_output
from sale.server.store.database import StoreDatabase
from sale.server.store.ledger import GROUPS, SUMMED, Sums
from sale.server.store.schema import archives, requests
from sale.server.store.types import Grouping
from sale.wording import quantity

pyarrow: Final = cast("Any", untyped_pyarrow)
compute: Final = cast("Any", untyped_compute)
parquet: Final = cast("Any", untyped_parquet)
"""Their interfaces have no types."""
ROWS: Final = 20_000
"""Lines that are read and written at one time."""
_KINDS: Final = {"at": pyarrow.timestamp("us", tz="UTC"), "streamed": pyarrow.bool_(), "status": pyarrow.int64()}
SCHEMA: Final = pyarrow.schema(
    [
        pyarrow.field(
            column.name,
            _KINDS.get(column.name)
            or (
                pyarrow.float64()
                if column.name.endswith(("dollars", "seconds"))
                else pyarrow.int64()
                if column.name.endswith("tokens")
                else pyarrow.string()
            ),
            nullable=bool(column.nullable),
        )
        for column in requests.columns
    ]
)
"""The columns of the ledger, as the database has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """Lines of the ledger that were moved to a file."""

    place: str
    """The file's absolute path."""
    requests: int
    first_at: datetime
    last_at: datetime
    digest: str
    """SHA-256 of the file, in hex."""


async def archive(database: StoreDatabase, before: datetime, directory: Path) -> Archive | None:
    """Move the lines from before a time to a new file in a directory; `None` where there are none.

    Args:
        database: Of the store.
        before: With a time zone.
        directory: Made where it is not there. All machines that sum the ledger must see it under the same path.

    Raises:
        OutputError: The file cannot be written; nothing was moved.
        InputError: Lines were added meanwhile; nothing was moved.
        StoreError: The database cannot be read or written. Where it cannot be seen whether lines were moved, the file
            is kept: it counts if it is on record.
    """
    folder = await asyncio.to_thread(lambda: directory.expanduser().resolve())
    path = folder / f"ledger-before-{before:%Y-%m-%d}-{uuid.uuid4().hex[:8]}.parquet"
    writing = asyncio.ensure_future(database.read(lambda connection: _write(connection, before, path)))
    try:
        written = await asyncio.shield(writing)
    except BaseException:
        await asyncio.wait((writing,))
        await asyncio.to_thread(path.unlink, missing_ok=True)
        raise
    if written is None:
        return None
    # What the database has begun it finishes, whoever leaves: the lines may be in the file alone.
    moving = asyncio.ensure_future(database.write(lambda connection: _move(connection, before, written)))
    try:
        await asyncio.shield(moving)
    except asyncio.CancelledError:
        await asyncio.wait((moving,))
        raise
    except StoreError as error:
        if not await _is_on_record(database, before, written, error):
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise
    finally:
        if moving.done() and not moving.cancelled() and isinstance(moving.exception(), InputError):
            await asyncio.to_thread(path.unlink, missing_ok=True)
    return written


async def _is_on_record(database: StoreDatabase, before: datetime, written: Archive, failed: StoreError) -> bool:
    """See whether lines were moved to a file, where the database could not say so.

    Raises:
        StoreError: It still cannot.
    """

    def ask(connection: Connection) -> bool:
        # A transaction that was cut off from here, and may yet be committed, has these lines locked.
        connection.execute(select(requests.c.id).where(requests.c.at < before).limit(1).with_for_update())
        return connection.execute(select(archives.c.place).where(archives.c.place == written.place)).first() is not None

    try:
        return await database.write(ask)
    except StoreError:
        raise StoreError(
            f"{failed.message}; the lines may have been moved to {written.place}, so that file is kept",
            where=failed.where,
            hint="`sale ledger archives` lists it if they were; else delete it.",
        ) from failed


def _write(connection: Connection, before: datetime, path: Path) -> Archive | None:
    """Write the file; on disk when this returns."""
    asked = select(requests).where(requests.c.at < before).order_by(requests.c.at, requests.c.id)
    count, first, last = 0, before, before
    try:
        make_directory(path.parent)
        writer = None
        for rows in connection.execution_options(yield_per=ROWS).execute(asked).mappings().partitions():
            if writer is None:
                writer, first = parquet.ParquetWriter(path, SCHEMA, compression="zstd"), rows[0]["at"]
            writer.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA))
            count, last = count + len(rows), rows[-1]["at"]
        if writer is None:
            return None
        writer.close()
        with path.open("rb+") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
    except OSError as error:
        raise explain_output(error, path) from error
    return Archive(place=str(path), requests=count, first_at=first, last_at=last, digest=digest)


def _move(connection: Connection, before: datetime, written: Archive) -> None:
    gone = connection.execute(delete(requests).where(requests.c.at < before)).rowcount
    if gone != written.requests:
        raise InputError(
            f"the ledger had {quantity(written.requests, 'line')} from before {before:%Y-%m-%d}, and now has {gone}",
            hint="Another archive is being made, or old lines were added. Nothing was moved: try again.",
        )
    row = {
        "place": written.place,
        "made_at": datetime.now(UTC),
        "first_at": written.first_at,
        "last_at": written.last_at,
        "requests": written.requests,
        "digest": written.digest,
    }
    connection.execute(archives.insert(), row)


def archived_sums(places: Mapping[str, str], since: datetime | None, by: Grouping) -> Iterator[Sums]:
    """Sum the lines of files, by group, as `ledger.sums` does those of the database.

    Args:
        places: The files, and the SHA-256 of each, in hex.
        since: From then on.
        by: What to sum by.

    Raises:
        StoreError: A file is not there, or is not the one that was written.
    """
    group = [column.name for column in GROUPS[by]]
    for place, digest in places.items():
        table = _read(place, digest, [*group, "at", "status", *SUMMED])
        if since is not None:
            table = table.filter(compute.field("at") >= pyarrow.scalar(since, SCHEMA.field("at").type))
        failed = compute.cast(compute.greater_equal(table["status"], 400), pyarrow.int64())
        sums = table.append_column("failures", failed).group_by(group)
        found = sums.aggregate([(name, "sum") for name in (*SUMMED, "failures")] + [(group[0], "count", _ALL)])
        for row in found.to_pylist():
            counted = {name: row[f"{name}_sum"] for name in (*SUMMED, "failures")}
            label = tuple(row[name] for name in group)
            yield {"label": label, "requests": row[f"{group[0]}_count"], **counted}


_ALL: Final = compute.CountOptions(mode="all")


def _read(place: str, digest: str, columns: Sequence[str]) -> Any:  # noqa: ANN401
    hint = "Put the file back, as it was; `sale ledger archives` lists what there should be."
    try:
        with Path(place).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != digest:
                raise StoreError(
                    f"a file of the ledger's archive is not the one that was written: its SHA-256 is {found}, and was"
                    f" {digest}",
                    where=place,
                    hint=hint,
                )
            file.seek(0)
            return parquet.read_table(file, columns=list(dict.fromkeys(columns)))
    except (OSError, pyarrow.ArrowInvalid) as error:
        said = str(error).partition("\n")[0]
        raise StoreError(f"a file of the ledger's archive cannot be read ({said})", where=place, hint=hint) from error


def list_archives(connection: Connection) -> tuple[Archive, ...]:
    """The files on record, the oldest lines first."""
    rows = connection.execute(select(archives).order_by(archives.c.first_at)).all()
    return tuple(
        Archive(place=row.place, requests=row.requests, first_at=row.first_at, last_at=row.last_at, digest=row.digest)
        for row in rows
    )
