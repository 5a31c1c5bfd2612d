"""The transactions of a batch: its tasks, and every call by its idempotency key. Each is a part of a writing one.

    a task   waiting -> running -> done | failed         running -> waiting, where its process ended or gave it back
    a call   open -> paid | unknown                      open -> gone, where the endpoint refused it: it costs nothing

A call is `open`, with the most it can cost, before it is sent. It is `paid` once its reply is on record: then the key
is settled, and whoever asks again is given that reply. Where it cannot be known whether it was billed (the process was
killed, the connection broke) it is `unknown`, and stays charged with the most it can cost. One in a job of an
endpoint's batch API has no owner: it stays `open` whoever is killed, since its reply can still be fetched. The charge
of a batch is the sum over all its calls; no call is admitted that could bring it above the cap. None of these functions
raises for what it finds, so that several can share a transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, func, insert, select, update

from sale.memory.batch_rates import RateLimit, count_request, rate_wait
from sale.memory.schema import batch_calls, batch_tasks, batches
from sale.types import Verdict

NANO: Final = 10**9
"""Nano-dollars in a dollar."""
OTHER: Final = "other"
"""The phase of dollars that could not be set aside before: of tools, and of jurors that are not models."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallKey:
    """The idempotency key of a call."""

    batch: str
    task: str
    attempt: int
    """Of the task, from 1."""
    phase: str
    """The part of the task's life: `bid`, `judge`, `work`, …"""
    agent: str
    request: str
    """SHA-256 of what is asked, in hex."""
    number: int
    """Counts the same call asked again, from 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallRequest:
    """A call that is to be made."""

    key: CallKey
    """With any number: the next free one is taken."""
    owner: str
    """The token of the memory that makes it; it must be the one that works on the task."""
    most: int
    """Nano-dollars it can cost."""
    tokens: int
    """Tokens it can take."""
    limit: RateLimit | None
    cap: int
    """Nano-dollars of the whole batch."""
    job: str | None = None
    """The job that it goes with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallPermit:
    """The answer to a request: a number, or why there is none."""

    number: int | None = None
    second: int = 0
    """The second its tokens are counted in."""
    wait: float = 0.0
    """Seconds after which to ask again: the endpoint's limit, or calls under way whose money may come free."""
    capped: bool = False
    """True where it can never be made within the cap."""
    taken_over: bool = False
    """True where another process works on the task."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PaidCall:
    """A call that is settled, with its reply."""

    key: CallKey
    dollars: int
    reply: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A task, taken by a process."""

    task: str
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskEnd:
    """The end of a task."""

    status: Literal["done", "failed"]
    """`failed` where there is no work: the auction could not be held, say."""
    verdict: Verdict
    line: str
    """Its line of the results."""
    other: int = 0
    """Nano-dollars it cost beside the calls on record."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSpending:
    """Nano-dollars of one task."""

    paid: int
    """In all its attempts."""
    attempt: int
    """Of `paid`, in the present one."""
    unknown: int
    """Of calls whose bill is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchTotals:
    """The state of a batch."""

    waiting: int
    running: int
    done: int
    failed: int
    success: int
    """Of those done, with this verdict."""
    failure: int
    paid: int
    """Nano-dollars of calls whose reply is on record, and of tools."""
    set_aside: int
    """Nano-dollars of calls under way."""
    unknown: int
    """Nano-dollars that calls may have cost whose bill is not known."""


_CAP_WAIT: Final = 0.2
"""Seconds after which a call asks again whether calls under way have cost less than was set aside."""

# Statements are made once: to build one anew takes several times as long as to run it.
_OF_KEY: Final = {name: batch_calls.c[name] == bindparam(f"k_{name}") for name in CallKey.__slots__}
_CALL: Final = and_(*_OF_KEY.values())
_TASK: Final = and_(batch_tasks.c.batch == bindparam("k_batch"), batch_tasks.c.task == bindparam("k_task"))
_BATCH: Final = batches.c.id == bindparam("k_batch")
_SAME: Final = and_(*(condition for name, condition in _OF_KEY.items() if name != "number"))
_STANDING: Final = select(
    select(batch_tasks.c.owner).where(_TASK).scalar_subquery().label("owner"),
    select(batches.c.charged).where(_BATCH).scalar_subquery().label("charged"),
    select(func.max(batch_calls.c.number)).where(_SAME).scalar_subquery().label("last"),
)
"""The owner of a task, the charge of its batch, and the number of the last call with the same key."""
_MAKE: Final = insert(batch_calls)
_DOLLARS: Final = select(batch_calls.c.dollars).where(_CALL)
_SETTLE: Final = (
    update(batch_calls)
    .where(_CALL)
    .values(status="paid", owner=None, dollars=bindparam("paid_dollars"), reply=bindparam("paid_reply"))
)
_CHARGE: Final = update(batches).where(_BATCH).values(charged=batches.c.charged + bindparam("more"))


def reserve(connection: Connection, wanted: CallRequest, now: float) -> CallPermit:
    """Set aside the most a call can cost, or say why not.

    Args:
        connection: Writing.
        wanted: The call.
        now: Seconds since 1970.
    """
    key = wanted.key
    owner, charged, last = connection.execute(_STANDING, _bound(key)).one()
    if owner != wanted.owner:
        return CallPermit(taken_over=True)
    if charged + wanted.most > wanted.cap:
        running = _sum(connection, key.batch, "open")
        if running and charged - running + wanted.most <= wanted.cap:
            return CallPermit(wait=_CAP_WAIT)
        return CallPermit(capped=True)
    if wanted.limit is not None:
        wait = rate_wait(connection, wanted.limit, wanted.tokens, now)
        if wait > 0:
            return CallPermit(wait=wait)
        count_request(connection, wanted.limit.endpoint, int(now), 1, wanted.tokens)
    number = 0 if last is None else last + 1
    under = {"owner": wanted.owner if wanted.job is None else None, "job": wanted.job}
    connection.execute(_MAKE, {**_fields(key), "number": number, "status": "open", "dollars": wanted.most, **under})
    charge(connection, key.batch, wanted.most)
    return CallPermit(number=number, second=int(now))


def pay(connection: Connection, key: CallKey, dollars: int, reply: bytes) -> None:
    """Settle a call, also one that was taken for unknown meanwhile."""
    before = connection.execute(_DOLLARS, _bound(key)).scalar()
    if before is None:
        return
    connection.execute(_SETTLE, {**_bound(key), "paid_dollars": dollars, "paid_reply": reply})
    charge(connection, key.batch, dollars - before)


def lose(connection: Connection, key: CallKey) -> None:
    """The bill of a call is not known: it stays charged."""
    unsettled = and_(_CALL, batch_calls.c.status == "open")
    connection.execute(update(batch_calls).where(unsettled).values(status="unknown", owner=None), _bound(key))


def free(connection: Connection, key: CallKey) -> None:
    """A call was refused, or never sent: it costs nothing."""
    before = connection.execute(_DOLLARS, _bound(key)).scalar()
    if before is not None:
        connection.execute(delete(batch_calls).where(_CALL), _bound(key))
        charge(connection, key.batch, -before)


def claim(connection: Connection, batch: str, owner: str) -> Claim | None:
    """Take the next task that waits, in the order of the task file; `None` where none does."""
    first = (
        select(batch_tasks.c.task, batch_tasks.c.attempt)
        .where(batch_tasks.c.batch == batch, batch_tasks.c.status == "waiting")
        .order_by(batch_tasks.c.position)
        .limit(1)
    )
    found = connection.execute(first).one_or_none()
    if found is None:
        return None
    values = {"k_batch": batch, "k_task": found.task}
    connection.execute(update(batch_tasks).where(_TASK).values(status="running", owner=owner), values)
    return Claim(task=found.task, attempt=found.attempt)


def release(connection: Connection, batch: str, task: str, owner: str) -> None:
    """Give a task back that is not done."""
    own = and_(_TASK, batch_tasks.c.owner == owner, batch_tasks.c.status == "running")
    values = {"k_batch": batch, "k_task": task}
    connection.execute(update(batch_tasks).where(own).values(status="waiting", owner=None), values)


def finish(connection: Connection, key: CallKey, owner: str, end: TaskEnd) -> bool:
    """Put a task's line on record. The replies of its calls are not needed any more, and go.

    Args:
        connection: Writing.
        key: Of the row for dollars that could not be set aside.
        owner: Who did it.
        end: How it ended.

    Returns:
        False where another process has taken the task over.
    """
    own = and_(_TASK, batch_tasks.c.owner == owner, batch_tasks.c.status == "running")
    values = {"status": end.status, "owner": None, "verdict": end.verdict, "line": end.line}
    if not connection.execute(update(batch_tasks).where(own).values(values), _bound(key)).rowcount:
        return False
    made = and_(batch_calls.c.batch == key.batch, batch_calls.c.task == key.task)
    connection.execute(update(batch_calls).where(made).values(reply=None))
    # Nobody asks any more for what is still in a job: where the settings have changed, say.
    left = and_(made, batch_calls.c.status == "open", batch_calls.c.job.is_not(None))
    connection.execute(update(batch_calls).where(left).values(status="unknown"))
    if end.other > 0:
        row = {**_fields(key), "status": "paid", "owner": None, "dollars": end.other, "job": None}
        connection.execute(_MAKE, row)
        charge(connection, key.batch, end.other)
    return True


def recover(connection: Connection, batch: str, dead: Sequence[str]) -> None:
    """Give back what processes that are no more worked on. What their calls under way cost is not known."""
    left = and_(batch_tasks.c.batch == batch, batch_tasks.c.owner.in_(dead))
    connection.execute(update(batch_tasks).where(left).values(status="waiting", owner=None))
    cut = and_(batch_calls.c.batch == batch, batch_calls.c.owner.in_(dead))
    connection.execute(update(batch_calls).where(cut).values(status="unknown", owner=None))


def retry(connection: Connection, batch: str) -> None:
    """Have tasks that failed done once more."""
    failed = and_(batch_tasks.c.batch == batch, batch_tasks.c.status == "failed")
    again = {"status": "waiting", "attempt": batch_tasks.c.attempt + 1, "line": None, "verdict": None}
    connection.execute(update(batch_tasks).where(failed).values(again))


def read_owners(connection: Connection, batch: str) -> list[str]:
    """The tokens that tasks and calls under way name."""
    found: set[str] = set()
    for table in (batch_tasks, batch_calls):
        named = select(table.c.owner).where(table.c.batch == batch, table.c.owner.is_not(None)).distinct()
        found.update(connection.execute(named).scalars())
    return sorted(found)


def read_calls(
    connection: Connection, claimed: CallKey, status: str, told: ColumnElement[Any]
) -> list[tuple[CallKey, Row[Any]]]:
    """The calls of an attempt at a task, each with its row, in the order of their numbers.

    Args:
        connection: Reading.
        claimed: Any key of the attempt.
        status: That they have.
        told: A column that has a value in their rows.
    """
    rows = connection.execute(
        select(batch_calls)
        .where(
            batch_calls.c.batch == claimed.batch,
            batch_calls.c.task == claimed.task,
            batch_calls.c.attempt == claimed.attempt,
            batch_calls.c.status == status,
            told.is_not(None),
        )
        .order_by(batch_calls.c.number)
    ).all()
    return [
        (replace(claimed, phase=row.phase, agent=row.agent, request=row.request, number=row.number), row)
        for row in rows
    ]


def read_paid(connection: Connection, claimed: CallKey) -> list[PaidCall]:
    """Every settled call of an attempt at a task, in the order of their numbers.

    Args:
        connection: Reading.
        claimed: Any key of the attempt.
    """
    paid = read_calls(connection, claimed, "paid", batch_calls.c.reply)
    return [PaidCall(key=key, dollars=row.dollars, reply=row.reply) for key, row in paid]


def read_spending(connection: Connection, claimed: CallKey) -> TaskSpending:
    """Return the cost of a task, as far as it is on record.

    Args:
        connection: Reading.
        claimed: Any key of its present attempt.
    """
    sums = select(batch_calls.c.status, batch_calls.c.attempt, func.sum(batch_calls.c.dollars)).where(
        batch_calls.c.batch == claimed.batch, batch_calls.c.task == claimed.task
    )
    rows = connection.execute(sums.group_by(batch_calls.c.status, batch_calls.c.attempt)).all()
    paid = {attempt: int(dollars) for status, attempt, dollars in rows if status == "paid"}
    unknown = sum(int(dollars) for status, _, dollars in rows if status == "unknown")
    return TaskSpending(paid=sum(paid.values()), attempt=paid.get(claimed.attempt, 0), unknown=unknown)


def read_totals(connection: Connection, batch: str) -> BatchTotals:
    """The state of a batch."""
    of = select(batch_tasks.c.status, batch_tasks.c.verdict, func.count()).where(batch_tasks.c.batch == batch)
    rows = connection.execute(of.group_by(batch_tasks.c.status, batch_tasks.c.verdict)).all()
    stages, verdicts = Counter[str](), Counter[str]()
    for status, verdict, count in rows:
        stages[status] += count
        if status == "done":
            verdicts[verdict] += count
    charged = connection.execute(select(batches.c.charged).where(batches.c.id == batch)).scalar_one()
    running, unknown = _sum(connection, batch, "open"), _sum(connection, batch, "unknown")
    return BatchTotals(
        waiting=stages["waiting"],
        running=stages["running"],
        done=stages["done"],
        failed=stages["failed"],
        success=verdicts["success"],
        failure=verdicts["failure"],
        paid=charged - running - unknown,
        set_aside=running,
        unknown=unknown,
    )


def _bound(key: CallKey) -> dict[str, object]:
    return {f"k_{name}": getattr(key, name) for name in CallKey.__slots__}


def _fields(key: CallKey) -> dict[str, object]:
    return {name: getattr(key, name) for name in CallKey.__slots__}


def _sum(connection: Connection, batch: str, status: str) -> int:
    sums = select(func.coalesce(func.sum(batch_calls.c.dollars), 0))
    return int(
        connection.execute(sums.where(batch_calls.c.batch == batch, batch_calls.c.status == status)).scalar_one()
    )


def charge(connection: Connection, batch: str, dollars: int) -> None:
    """Add nano-dollars to the charge of a batch."""
    connection.execute(_CHARGE, {"k_batch": batch, "more": dollars})
