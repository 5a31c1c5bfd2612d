"""The transactions of a batch's jobs: calls that an endpoint's batch API is given together.

    a job   on record, owned -> its requests are there (`file`) -> it is there (`remote`), owned by none

Each step is on disk before the next is taken. So it is known how far a job can have come whose process was killed:
without a `file` the endpoint was never asked for it, with one it may have been, and with `remote` it was. Its calls
stay set aside meanwhile. Each of these functions is a part of a writing transaction, or of a reading one where it says
so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from sale.memory.batch_ledger import CallKey, CallPermit, CallRequest, charge, read_calls, reserve
from sale.memory.schema import batch_calls, batch_jobs


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """A job as it is on record."""

    id: str
    agent: str
    owner: str | None
    """The token of the memory that sends it; `None` once it is known to be there."""
    file: str | None
    remote: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedCall:
    """A call in a job, whose reply is not fetched yet."""

    key: CallKey
    job: str


def open_job(connection: Connection, batch: str, job: JobRecord) -> None:
    """Put a job on record, before anything is sent."""
    row = {"id": job.id, "batch": batch, "agent": job.agent, "owner": job.owner, "file": job.file, "remote": job.remote}
    connection.execute(insert(batch_jobs), row)


def fill_job(connection: Connection, wanted: Sequence[CallRequest], now: float) -> list[CallPermit]:
    """Set aside the most that each of a job's calls can cost, or say why not; see `reserve`."""
    return [reserve(connection, one, now) for one in wanted]


def note_file(connection: Connection, job: str, file: str) -> None:
    """The requests of a job are at the endpoint."""
    connection.execute(update(batch_jobs).where(batch_jobs.c.id == job).values(file=file))


def note_remote(connection: Connection, job: str, remote: str) -> None:
    """A job is at the endpoint."""
    connection.execute(update(batch_jobs).where(batch_jobs.c.id == job).values(remote=remote, owner=None))


def adopt(connection: Connection, job: str, dead: str, owner: str) -> bool:
    """Take over a job whose process was killed while it sent it; false where another process has."""
    left = and_(batch_jobs.c.id == job, batch_jobs.c.owner == dead)
    return bool(connection.execute(update(batch_jobs).where(left).values(owner=owner)).rowcount)


def drop_job(connection: Connection, batch: str, job: str) -> None:
    """A job was never begun: its calls cost nothing."""
    open_calls = and_(batch_calls.c.job == job, batch_calls.c.status == "open")
    total = connection.execute(select(func.coalesce(func.sum(batch_calls.c.dollars), 0)).where(open_calls)).scalar_one()
    connection.execute(delete(batch_calls).where(open_calls))
    charge(connection, batch, -int(total))
    connection.execute(delete(batch_jobs).where(batch_jobs.c.id == job))


def read_job(connection: Connection, job: str) -> JobRecord | None:
    """Return a job; `None` where it was dropped. Reading."""
    row = connection.execute(select(batch_jobs).where(batch_jobs.c.id == job)).one_or_none()
    return (
        None
        if row is None
        else JobRecord(id=row.id, agent=row.agent, owner=row.owner, file=row.file, remote=row.remote)
    )


def read_queued(connection: Connection, claimed: CallKey) -> list[QueuedCall]:
    """Every call of an attempt at a task that is in a job, in the order of their numbers. Reading.

    Args:
        connection: Reading.
        claimed: Any key of the attempt.
    """
    queued = read_calls(connection, claimed, "open", batch_calls.c.job)
    return [QueuedCall(key=key, job=row.job) for key, row in queued]
