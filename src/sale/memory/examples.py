"""Past auctions as learning sees them, read a batch at a time: the bids, the costs, and how the work came out.

Answers, traces and prompts stay where they are; they are most of a record, and nothing is learnt from them here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, select

from sale.auction.scoring import is_judged
from sale.errors import InputError
from sale.memory.checked_answers import CERTAIN
from sale.memory.plausible import sum_of_dollars
from sale.memory.queries import latest_judge_of_work, latest_verdict_on_work, paid_for_execution
from sale.memory.reading import read_bid
from sale.memory.records import IMPORTED
from sale.memory.schema import auctions, calls, executions, outcomes, scores, strategies, tasks
from sale.types import AUCTION_STAGES, UNVERIFIED, Bid, Example, Score, Worked

BATCH: Final = 100
SUCCESS, FAILURE = "success", "failure"

Rows = Sequence[Row[*tuple[Any, ...]]]


def read_examples(connection: Connection, since: datetime | None) -> tuple[Example, ...]:
    """Settled auctions, the oldest record first; see `LearningQueries.examples`."""
    if since is not None and since.tzinfo is None:
        raise InputError(f"a time without a zone: {since!r}", hint="Use datetime(…, tzinfo=UTC).")
    settled = select(auctions.c.key).where(auctions.c.status == "settled").order_by(auctions.c.key)
    if since is not None:
        settled = settled.where(auctions.c.started_at >= since)
    keys = list(connection.execute(settled).scalars())
    found: list[Example] = []
    for start in range(0, len(keys), BATCH):
        found += _read(connection, keys[start : start + BATCH])
    return tuple(found)


def _read(connection: Connection, keys: Sequence[int]) -> list[Example]:
    def rows(query: Select[*tuple[Any, ...]]) -> Rows:
        return connection.execute(query).all()

    told = select(auctions.c.key, auctions.c.id, auctions.c.exploration, tasks.c.text, tasks.c.domain)
    heads = told.join(tasks, tasks.c.key == auctions.c.task)
    given = _scores(rows(select(scores).where(scores.c.auction.in_(keys)).order_by(*scores.primary_key)))
    plans = select(strategies).where(strategies.c.auction.in_(keys)).order_by(*strategies.primary_key)
    bids, winners = _bids(connection.execute(plans).mappings().all(), given)
    paid = select(calls.c.auction, sum_of_dollars(calls.c.dollars)).where(calls.c.stage.in_(AUCTION_STAGES))
    overheads = rows(paid.where(calls.c.auction.in_(keys)).group_by(calls.c.auction))
    overhead = {auction: dollars or 0.0 for auction, dollars in overheads}
    work = _work(connection, keys)
    checked = _checked(connection, keys)
    return [
        Example(
            auction_id=row.id,
            task=row.text,
            domain=row.domain,
            bids=tuple(bids[row.key].values()),
            winner=winners[row.key],
            work=work.get(row.key, {}),
            overhead=overhead.get(row.key, 0.0),
            checked=row.key in checked,
            propensities=row.exploration["propensities"] if row.exploration else {},
        )
        for row in rows(heads.where(auctions.c.key.in_(keys)).order_by(auctions.c.key))
    ]


def _scores(rows: Rows) -> dict[tuple[int, int], list[Score]]:
    """The scores of each strategy. There are many, with few names in them."""
    found: dict[tuple[int, int], list[Score]] = {}
    for auction, _, strategy, juror, bidder, value, imputed, expected, note, lead in rows:
        one = Score(
            juror=sys.intern(juror),
            bidder=sys.intern(bidder),
            value=value,
            imputed=imputed,
            expected=expected,
            note=note,
            lead=lead,
        )
        found.setdefault((auction, strategy), []).append(one)
    return found


def _bids(
    rows: Sequence[Any], given: dict[tuple[int, int], list[Score]]
) -> tuple[dict[int, dict[str, Bid]], dict[int, str]]:
    """The bids each award was made among, and who was awarded.

    One of each agent, in the order of the first ones: its refined bid if that could win, else its first.
    """
    standing: dict[int, dict[str, Bid]] = {}
    winners: dict[int, str] = {}
    for row in rows:
        auction: int = row["auction"]
        bid = read_bid(row, given.get((auction, row["position"]), ()))
        if row["refinement"] is None or row["won"] or is_judged(bid):
            standing.setdefault(auction, {})[bid.agent] = bid
        if row["won"]:
            winners[auction] = bid.agent
    return standing, winners


def _checked(connection: Connection, keys: Sequence[int]) -> frozenset[int]:
    """The auctions whose work a verifier judged: it would have found a failure out before anything was handed in."""
    judged = and_(outcomes.c.verdict.in_([SUCCESS, FAILURE]), outcomes.c.judged_by.not_in(sorted(UNVERIFIED)))
    found = select(outcomes.c.auction).where(outcomes.c.auction.in_(keys), judged).distinct()
    return frozenset(connection.execute(found).scalars())


def _work(connection: Connection, keys: Sequence[int]) -> dict[int, dict[str, Worked]]:
    """Return the known work by auction and agent. Attempts of one agent are joined: any success, total cost.

    Work without a call on record, as some that was imported, has a cost that is not known, as in track records.
    """
    place = (executions.c.auction, executions.c.position)
    judged = (latest_verdict_on_work(), latest_judge_of_work())
    done = select(*place, executions.c.agent, executions.c.mode, *judged, paid_for_execution())
    done = done.where(executions.c.auction.in_(keys))
    work: dict[int, dict[str, Worked]] = {}
    failed: dict[int, list[str]] = {}
    for auction, _, agent, mode, verdict, judge, cost in connection.execute(done.order_by(*place)).all():
        if verdict not in {SUCCESS, FAILURE}:
            continue
        own = work.setdefault(auction, {})
        refused = failed.setdefault(auction, [])
        before = own.get(agent, Worked(success=False, dollars=0.0, after=tuple(refused)))
        if verdict == FAILURE and agent not in refused:
            refused.append(agent)
        own[agent] = Worked(
            success=before.success or verdict == SUCCESS,
            dollars=None if cost is None or before.dollars is None else before.dollars + cost,
            after=before.after,
            check=before.check if before.success else None if mode == IMPORTED or judge in CERTAIN else judge,
        )
    return work
