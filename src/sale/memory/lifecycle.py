"""The steps of an auction's life on record. Each runs inside one writing transaction of its caller.

open -> awarded -> settled        and from open or awarded -> abandoned
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, delete, select, update

from sale.errors import InputError
from sale.memory import writing
from sale.memory.records import Judgement
from sale.memory.schema import auctions, calls, executions, outcomes, tasks
from sale.memory.writing import Fields, Rows
from sale.types import Attempt, Auction, Baseline, Call, Outcome, Task

Head = Row[*tuple[Any, ...]]

# Statements are made once: to build one anew takes several times as long as to run it.
_KNOWN: Final = select(
    select(auctions.c.key).where(auctions.c.id == bindparam("auction_id")).scalar_subquery().label("taken"),
    select(tasks.c.key).where(tasks.c.digest == bindparam("digest")).scalar_subquery().label("task"),
)
_HEADS: Final = select(
    auctions.c.key,
    auctions.c.id,
    auctions.c.status,
    auctions.c.awarded_at,
    auctions.c.settled_at,
    tasks.c.id.label("task_id"),
    tasks.c.text,
    tasks.c.domain,
).join_from(auctions, tasks, tasks.c.key == auctions.c.task)
_HEAD: Final = _HEADS.where(auctions.c.id == bindparam("auction_id"))
_HEAD_BY_KEY: Final = _HEADS.where(auctions.c.key == bindparam("of"))
_PUT: Final = update(auctions).where(auctions.c.key == bindparam("of"))
"""Which columns it sets is said by the values it is given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordOwner:
    """The owner of a record."""

    tenant: str
    """For good."""
    owner: str
    """The token of the memory that holds the auction, while it is unfinished."""
    withheld: bool = False
    """True where no agent is to be shown its texts again."""


def begin(
    connection: Connection, auction_id: str, task: Task, whose: RecordOwner, embedding: tuple[str, bytes]
) -> None:
    """A new record, `open`.

    Args:
        connection: Writing.
        auction_id: Its id.
        task: What is auctioned.
        whose: Its tenant and its owner.
        embedding: The embedder's name, and its vector of the task.

    Raises:
        InputError: The id is taken.
    """
    digest = writing.task_digest(task)
    taken, known = connection.execute(_KNOWN, {"auction_id": auction_id, "digest": digest}).one()
    if taken is not None:
        raise InputError(f"there is already an auction {auction_id!r}", hint="Give each auction its own id.")
    revision = writing.next_revision(connection)
    rows = Rows()
    if known is None:  # one that was there is embedded, or will be when it is looked for
        writing.add_task(rows, revision, task, *embedding)
    row = {
        "key": revision,
        "id": auction_id,
        "task": revision if known is None else known,
        "revision": revision,
        "status": "open",
        "owner": whose.owner,
        "tenant": whose.tenant,
        "withheld": whose.withheld,
        "source": "",
        "started_at": _now(),
    }
    rows.add(auctions, row)
    rows.insert(connection)


def award(connection: Connection, auction: Auction, owner: str | None) -> None:
    """From `open` to `awarded`. From `abandoned` too: if the auction was taken for dead, what it paid for is kept.

    Args:
        connection: Writing.
        auction: What it came to.
        owner: Holds it until its work is settled; `None` where none will be done, as after `release`.

    Raises:
        InputError: It was not begun, or for another task, or has its award; or the winner is none of the bids.
    """
    head = _head(connection, _HEAD, auction.id, auction_id=auction.id)
    _expect(head, head.status in {"open", "abandoned"} and head.awarded_at is None, "awarded")
    if (head.task_id, head.text, head.domain) != (auction.task.id, auction.task.text, auction.task.domain):
        raise InputError(f"the auction {auction.id!r} was begun for another task", hint="Begin a new auction.")
    rows = Rows()
    writing.add_award(rows, head.key, auction)
    lines = writing.call_rows("auction", auction.settlement.calls)
    if head.status == "open":
        rows.number(calls, head.key, lines)
    else:
        writing.add_calls(connection, rows, head.key, lines)
    now: Fields = {"status": "awarded", "owner": owner, "awarded_at": _now(), "abandoned_at": None, "reason": None}
    revision = writing.next_revision(connection)
    award = writing.award_fields(rows, auction)
    rows.insert(connection)  # the head refers to some of it
    _put(connection, head.key, revision, **now, **award)


def settle(connection: Connection, auction_id: str, attempts: Sequence[Attempt], baseline: Baseline | None) -> None:
    """From `awarded` to `settled`. From `abandoned` too, after an award.

    Args:
        connection: Writing.
        auction_id: Which.
        attempts: At least one; the last is the one that counts.
        baseline: What it is compared with.

    Raises:
        InputError: It has no award yet, or is settled already.
    """
    head = _head(connection, _HEAD, auction_id, auction_id=auction_id)
    _expect(head, head.awarded_at is not None and head.settled_at is None, "settled")
    now = _now()
    settled: Fields = {"status": "settled", "owner": None, "settled_at": now, "abandoned_at": None, "reason": None}
    _change(connection, head.key, **settled)
    rows = Rows()
    writing.add_work(rows, head.key, [attempt.execution for attempt in attempts], baseline)
    first = writing.next_position(connection, outcomes, head.key)
    lines: list[Fields] = []
    for place, attempt in enumerate(attempts):
        judged = Judgement(outcome=attempt.outcome, at=now, execution=place)
        writing.add_outcome(rows, head.key, judged, first + place)
        lines += writing.call_rows("execution", attempt.execution.calls, execution=place)
        lines += writing.call_rows("outcome", attempt.outcome.calls, outcome=first + place)
    writing.add_calls(connection, rows, head.key, lines)
    rows.insert(connection)


def abandon(connection: Connection, auction_id: str, reason: str, made: Sequence[Call]) -> None:
    """From `open` or `awarded` to `abandoned`.

    Raises:
        InputError: There is no such auction, or it is settled.
    """
    head = _head(connection, _HEAD, auction_id, auction_id=auction_id)
    _expect(head, head.settled_at is None, "abandoned")
    _change(connection, head.key, owner=None, status="abandoned", abandoned_at=_now(), reason=reason)
    rows = Rows()
    writing.add_calls(connection, rows, head.key, writing.call_rows("stray", made))
    rows.insert(connection)


def take_up(connection: Connection, auction_id: str, owner: str) -> None:
    """From wherever an auction was left to `open`, or `awarded` where it has its award; a settled one stays as it is.

    Args:
        connection: Writing.
        auction_id: Which.
        owner: Holds it from now on. Its stray calls go: the new owner accounts for them anew.

    Raises:
        InputError: There is no such auction.
    """
    head = _head(connection, _HEAD, auction_id, auction_id=auction_id)
    if head.settled_at is None:
        status = "open" if head.awarded_at is None else "awarded"
        _change(connection, head.key, owner=owner, status=status, abandoned_at=None, reason=None)
        connection.execute(delete(calls).where(calls.c.auction == head.key, calls.c.part == "stray"))


def release(connection: Connection, auction_id: str) -> None:
    """`awarded` for good: its work will not be done.

    Raises:
        InputError: There is no such auction, or it is not `awarded`.
    """
    head = _head(connection, _HEAD, auction_id, auction_id=auction_id)
    _expect(head, head.status == "awarded", "closed")
    _change(connection, head.key, owner=None)


def judge(connection: Connection, key: int, outcome: Outcome) -> None:
    """One more judgement, of the last execution if there is any.

    Raises:
        InputError: There is no award to judge.
    """
    head = _head(connection, _HEAD_BY_KEY, str(key), of=key)
    _expect(head, head.awarded_at is not None, "judged")
    _change(connection, key)
    rows = Rows()
    number = writing.next_position(connection, outcomes, key)
    done = writing.next_position(connection, executions, key)
    writing.add_outcome(rows, key, Judgement(outcome=outcome, at=_now(), execution=done - 1 if done else None), number)
    writing.add_calls(connection, rows, key, writing.call_rows("outcome", outcome.calls, outcome=number))
    rows.insert(connection)


def unfinished_owners(connection: Connection) -> list[str]:
    """The tokens that unfinished auctions name."""
    owners = select(auctions.c.owner).where(auctions.c.owner.is_not(None)).distinct()
    return [row.owner for row in connection.execute(owners).all()]


def abandon_all_of(connection: Connection, owners: Sequence[str]) -> int:
    """To `abandoned`, whatever these owners left unfinished; gives back how many auctions."""
    left = select(auctions.c.key, auctions.c.status).where(auctions.c.owner.in_(owners))
    rows = connection.execute(left).all()
    for row in rows:
        reason = f"its process ended before the {'award' if row.status == 'open' else 'work was settled'}"
        _change(connection, row.key, owner=None, status="abandoned", abandoned_at=_now(), reason=reason)
    return len(rows)


def _head(connection: Connection, query: Select[*tuple[Any, ...]], name: str, **given: object) -> Head:
    found = connection.execute(query, given).one_or_none()
    if found is None:
        raise InputError(f"there is no auction {name!r} in the memory", hint="Begin it first.")
    return found


def _expect(head: Head, possible: bool, what: str) -> None:
    if not possible:
        raise InputError(
            f"the auction {head.id!r} is {head.status} and cannot be {what}",
            hint="An outcome can be given by feedback, once there is an award."
            if what != "judged"
            else "It has no award.",
        )


def _change(connection: Connection, key: int, **values: Any) -> None:  # noqa: ANN401  columns of any type
    """Change the head, under a new revision, so that every index notices."""
    _put(connection, key, writing.next_revision(connection), **values)


def _put(connection: Connection, key: int, revision: int, **values: Any) -> None:  # noqa: ANN401
    connection.execute(_PUT, {"of": key, "revision": revision, **values})


def _now() -> datetime:
    return datetime.now(UTC)
