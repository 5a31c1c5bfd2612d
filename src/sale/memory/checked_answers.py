"""Answers on record with the verdicts of checks, and the later verdicts of users."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, exists, select

from sale.memory.records import IMPORTED
from sale.memory.schema import auctions, executions, outcomes
from sale.types import PATCH, UNVERIFIED, USER, CheckedAnswer

LATEST = 2_000
"""Auctions that are read, the latest: a check may have been mended since."""
CERTAIN = UNVERIFIED | {PATCH}
"""Values of `judged_by` that are no check which could be wrong: a patch that does not apply is none."""
JUDGED = ("success", "failure")


def read_checked_answers(connection: Connection, tenants: Collection[str] | None = None) -> tuple[CheckedAnswer, ...]:
    """The answers that a check has passed or failed, of the latest auctions.

    Past work that was imported does not count: its judge is not a check of this market. Nor does a patch that does not
    apply: that is certain.

    Args:
        connection: Reading.
        tenants: Of their auctions; `None`: of all.
    """
    past = exists(
        select(1).where(executions.c.auction == auctions.c.key, executions.c.mode == IMPORTED).correlate(auctions)
    )
    chosen = select(auctions.c.key).where(auctions.c.status == "settled", ~past)
    if tenants is not None:
        chosen = chosen.where(auctions.c.tenant.in_(sorted(tenants)))
    keys = chosen.order_by(auctions.c.key.desc()).limit(LATEST).subquery()
    said = select(outcomes.c.auction, outcomes.c.execution, outcomes.c.verdict, outcomes.c.judged_by)
    rows = connection.execute(
        said.join(keys, keys.c.key == outcomes.c.auction).order_by(outcomes.c.auction, outcomes.c.position)
    )
    found: dict[tuple[int, int | None], CheckedAnswer] = {}
    for auction, execution, verdict, judged_by in rows.all():
        at = (auction, execution)
        if judged_by == USER:
            if at in found:
                before = found[at]
                right = verdict == JUDGED[0] if verdict in JUDGED else None
                found[at] = CheckedAnswer(check=before.check, passed=before.passed, right=right)
        elif judged_by not in CERTAIN and verdict in JUDGED:
            found[at] = CheckedAnswer(check=judged_by, passed=verdict == JUDGED[0])
    return tuple(found.values())
