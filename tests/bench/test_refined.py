"""What refinement came to, by hand: which bids took a task, and what the others would have made of it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import AuctionRow, RecordedExecution, RecordedTasks
from sale.bench.report.refined import OutcomeFlip, refined_bids, refinement_table
from sale.types import Bid, Score, Strategy


def bid(agent: str, text: str, *scores: float) -> Bid:
    plan = Strategy(agent=agent, text=text, tokens=10, entropy=None)
    given = tuple(Score(juror=f"j{place}", bidder=agent, value=value) for place, value in enumerate(scores))
    return Bid(strategy=plan, price=1.0, cost=1.0, value=1.0, scores=given)


def work(agent: str, *, success: bool) -> RecordedExecution:
    return RecordedExecution(
        agent=agent, success=success, judged=True, dollars=1.0, tokens=1, seconds=1.0, answer="", error=None
    )


ROW = AuctionRow(
    task="t",
    position=0,
    bids=(bid("small", "first", 2, 4), bid("large", "lead", 5, 5)),
    refined=(bid("small", "better", 5, 4),),
    winner="small",
    strategy="better",
    provisional="large",
    dollars=1.0,
    first_dollars=0.5,
    tokens=10,
    first_tokens=5,
    dropouts=(),
)
WORKS = {
    ("t", "small", "better"): work("small", success=False),
    ("t", "small", "first"): work("small", success=False),
    ("t", "large", "lead"): work("large", success=True),
}


def recorded(*rows: AuctionRow) -> RecordedTasks:
    found = RecordedTasks(agents=("small", "large"), works=WORKS)
    found.auctions = {(f"order {place}", row.task): row for place, row in enumerate(rows)}
    found.auctions[FIRST_BIDS, "t"] = replace(ROW, refined=())
    return found


def test_a_refined_bid_that_took_the_task_is_held_against_what_it_took_it_from() -> None:
    (found,) = refined_bids(recorded(ROW))
    assert found.gained == pytest.approx(1.5)
    assert found.flip == OutcomeFlip(refined=False, own=False, leader=True)


def test_one_that_lost_says_only_what_the_jury_thought() -> None:
    (found,) = refined_bids(recorded(replace(ROW, winner="large", strategy="lead")))
    assert found.gained == pytest.approx(1.5)
    assert found.flip is None


def test_the_table_counts_both() -> None:
    kept = recorded(ROW, replace(ROW, winner="large", strategy="lead"))
    table = refinement_table(cast(Any, SimpleNamespace(recorded=kept)), "search")
    assert table is not None
    assert [row[1] for row in table.rows] == ["2", "1"]
    assert [cell.split()[0] for cell in table.rows[1][3:]] == ["0.0", "0.0", "100.0"]
    assert refinement_table(cast(Any, SimpleNamespace(recorded=recorded())), "search") is None
