"""The steps of an auction's life on record. Each runs inside one writing transaction of its caller.

open -> awarded -> settled        and from open or awarded -> abandoned
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from sale.errors import InputError
from sale.memory import writing
from sale.memory.records import Judgement
from sale.memory.schema import auctions, executions, outcomes, tasks
from sale.memory.writing import Fields, Rows
from sale.types import Attempt, Auction, Baseline, Call, Outcome, Task

Head = Row[*tuple[Any, ...]]


def begin(connection: Connection, auction_id: str, task: Task, owner: str, embedding: tuple[str, bytes]) -> None:
    """A new record, `open`.

    Args:
        connection: Writing.
        auction_id: Its id.
        task: What is auctioned.
        owner: The token of the memory that holds it.
        embedding: The embedder's name, and its vector of the task.

    Raises:
        InputError: The id is taken.
    """
    taken = select(auctions.c.key).where(auctions.c.id == auction_id)
    if connection.execute(taken).scalar() is not None:
        raise InputError(f"there is already an auction {auction_id!r}", hint="Give each auction its own id.")
    revision = writing.next_revision(connection)
    digest = writing.task_digest(task)
    known = writing.task_keys(connection, [digest]).get(digest)
    rows = Rows()
    if known is None:  # one that was there is embedded, or will be when it is looked for
        writing.add_task(rows, revision, task, *embedding)
    row = {
        "key": revision,
        "id": auction_id,
        "task": revision if known is None else known,
        "revision": revision,
        "status": "open",
        "owner": owner,
        "source": "",
        "started_at": _now(),
    }
    rows.add(auctions, row)
    rows.insert(connection)


def award(connection: Connection, auction: Auction, owner: str) -> None:
    """From `open` to `awarded`. From `abandoned` too: if the auction was taken for dead, what it paid for is kept.

    Raises:
        InputError: It was not begun, or for another task, or has its award; or the winner is none of the bids.
    """
    head = _head(connection, auctions.c.id == auction.id, auction.id)
    _expect(head, head.status in {"open", "abandoned"} and head.awarded_at is None, "awarded")
    if (head.task_id, head.text, head.domain) != (auction.task.id, auction.task.text, auction.task.domain):
        raise InputError(f"the auction {auction.id!r} was begun for another task", hint="Begin a new auction.")
    rows = Rows()
    writing.add_award(rows, head.key, auction)
    writing.add_calls(connection, rows, head.key, writing.call_rows("auction", auction.settlement.calls))
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
    head = _head(connection, auctions.c.id == auction_id, auction_id)
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


def abandon(connection: Connection, auction_id: str, reason: str, calls: Sequence[Call]) -> None:
    """From `open` or `awarded` to `abandoned`.

    Raises:
        InputError: There is no such auction, or it is settled.
    """
    head = _head(connection, auctions.c.id == auction_id, auction_id)
    _expect(head, head.settled_at is None, "abandoned")
    _change(connection, head.key, owner=None, status="abandoned", abandoned_at=_now(), reason=reason)
    rows = Rows()
    writing.add_calls(connection, rows, head.key, writing.call_rows("stray", calls))
    rows.insert(connection)


def release(connection: Connection, auction_id: str) -> None:
    """`awarded` for good: nobody works on it any more.

    Raises:
        InputError: There is no such auction, or it is not `awarded`.
    """
    head = _head(connection, auctions.c.id == auction_id, auction_id)
    _expect(head, head.status == "awarded", "closed")
    _change(connection, head.key, owner=None)


def judge(connection: Connection, key: int, outcome: Outcome) -> None:
    """One more judgement, of the last execution if there is any.

    Raises:
        InputError: There is no award to judge.
    """
    head = _head(connection, auctions.c.key == key, str(key))
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


def _head(connection: Connection, which: Any, name: str) -> Head:  # noqa: ANN401  a condition of any kind
    columns = (*auctions.c, tasks.c.id.label("task_id"), tasks.c.text, tasks.c.domain)
    found = connection.execute(select(*columns).join(tasks).where(which)).one_or_none()
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
    connection.execute(update(auctions).where(auctions.c.key == key).values(revision=revision, **values))


def _now() -> datetime:
    return datetime.now(UTC)
