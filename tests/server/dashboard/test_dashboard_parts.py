"""The parts that need no server: words, differences, periods, sums, charts, what events make of an auction."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.auction.events import (
    AgentDropped,
    AuctionOpened,
    Awarded,
    AwardedAgain,
    BiddingOpened,
    CallSettled,
    Event,
    Judged,
    LeaderFound,
    StrategyArrived,
    VoteArrived,
    WorkFinished,
    WorkStarted,
)
from sale.memory.figures import AuctionFigures
from sale.server.dashboard.charts.scale import ticks
from sale.server.dashboard.charts.scatter import ScatterPoint, frontier, scatter
from sale.server.dashboard.charts.series import Series, lines, stacked_bars
from sale.server.dashboard.formatting import clip, message, money, percent, plain, round_money, seconds, size, wilson
from sale.server.dashboard.headline import headline
from sale.server.dashboard.live_auctions import LiveAuction
from sale.server.dashboard.palette import COLOURS, AgentPalette
from sale.server.dashboard.periods import choice, periods
from sale.server.dashboard.worddiff import changes
from sale.types import Dropout, Outcome, Task
from tests.memory.builders import auction, bid, call, execution
from tests.support.builders import strategy, vote

NOW = datetime.now(UTC)
HOSTILE = "<script>&\"'"


@pytest.mark.parametrize(
    ("dollars", "said"),
    [
        (0.0, "$0"),
        (1234.5, "$1,234.50"),
        (0.5, "$0.500"),
        (0.0123456, "$0.0123"),
        (0.00000123, "$0.00000123"),
        (-0.02, "−\u2060$0.0200"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_money(dollars: float | None, said: str) -> None:
    assert money(dollars) == said


def test_round_sums_are_short() -> None:
    assert [round_money(value) for value in (0.0, 0.5, 0.02, 0.006, 2.0)] == ["$0", "$0.50", "$0.02", "$0.006", "$2.00"]


def test_words() -> None:
    assert percent(0.5) == "50\u00a0%"
    assert percent(None) == "–"
    assert seconds(7.25) == "7.2\u00a0s"
    assert seconds(75.2) == "1\u00a0min 15\u00a0s"
    assert seconds(3_725) == "1\u00a0h 02\u00a0min"
    assert size(1_234_567) == "1\u00a0MB"
    assert clip("a\n  b " * 3, 5) == "a b a …"
    assert plain("a\u202eb\x1b[2J\n") == "a�b�[2J\n"


def test_messages_of_a_trace_lose_nothing() -> None:
    assert message({"role": "user", "content": "hi"}) == ("user", "hi", "")
    role, text, rest = message({"role": "assistant", "content": "hi", "tool": {"name": "search"}})
    assert (role, text) == ("assistant", "hi")
    assert "search" in rest
    assert message({"kind": "request", "parts": [{"part_kind": "user", "content": "x"}]}) == ("request", "[user] x", "")
    assert "null" in message({"role": "user", "parts": ["x", 1, None]})[2]


def test_wilson_is_the_textbook_one() -> None:
    low, high = wilson(8, 10) or (0, 0)
    assert (low, high) == (pytest.approx(0.4901625), pytest.approx(0.9433178))
    assert wilson(0, 0) is None
    assert wilson(5, 5) == (pytest.approx(0.5655175), 1.0)


@given(st.text("ab c.\n", max_size=60), st.text("ab c.\n", max_size=60))
def test_a_difference_holds_both_texts(before: str, after: str) -> None:
    pieces = changes(before, after)
    assert "".join(piece.text for piece in pieces if piece.kind != "new") == before
    assert "".join(piece.text for piece in pieces if piece.kind != "gone") == after
    assert all(one.kind != two.kind or one.kind == "same" for one, two in pairwise(pieces))


def test_a_difference_is_told_in_phrases() -> None:
    pieces = changes("Search for each entity on its own.", "Check the result against each source on the day.")
    assert [piece.kind for piece in pieces] == ["gone", "new", "same"]


@given(st.floats(0, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_and_cover(low: float, more: float) -> None:
    marks = ticks(low, low + more)
    assert marks[0] <= low + 1e-9
    assert marks[-1] >= (low + more) * (1 - 1e-9)
    assert 2 <= len(marks) <= 8


def figures(day: int, *, verdict: str | None = "success", largest: float | None = 3.0) -> AuctionFigures:
    return AuctionFigures(
        id=str(day),
        at=NOW - timedelta(days=day),
        status="settled",
        imported=False,
        domain=None,
        winner="a",
        refined=False,
        verdict=verdict,  # pyright: ignore[reportArgumentType]
        answered=True,
        auction_dollars=0.25,
        work_dollars=1.0,
        largest=None if largest is None else "big",
        largest_dollars=largest,
        estimated=largest is not None,
    )


def test_sums_count_auctions_against_the_market_and_leave_out_what_is_not_known() -> None:
    total = headline([figures(0), figures(1, verdict="failure"), figures(2, verdict="unknown", largest=None)])
    assert (total.auctions, total.judged, total.successes, total.compared, total.estimated) == (3, 2, 1, 2, 2)
    assert total.dollars == pytest.approx(3.75)
    assert total.saved == pytest.approx(6.0 - 2.5)
    assert total.saved_range == (pytest.approx(3.5), pytest.approx(3.5))
    assert headline([]).success is None


def test_periods_have_no_gaps_and_hold_everything() -> None:
    for span, cut in ((3, "day"), (100, "week"), (900, "month")):
        things = [figures(day) for day in range(0, span, 2)]
        found = periods([one.at for one in things])
        assert found.cut == cut
        assert sum(len(group) for group in found.group(things, lambda one: one.at)) == len(things)
        assert len(set(found.starts)) == len(found.starts)
    assert periods([figures(day).at for day in range(30)], least=5).cut == "week"
    assert len(periods([]).starts) == 1


def test_a_choice_that_is_none_is_the_usual_one() -> None:
    assert choice("'; drop", "x").days == "30"
    assert choice("all", "1").span.since is None
    assert choice("7", "1").span.held_here


def test_agents_keep_their_colours_and_no_two_look_alike() -> None:
    names = [f"agent-{number:02}" for number in range(2 * COLOURS)]
    palette = AgentPalette(names[:3], names)
    looks = {(palette.colour(name), palette.mark(name)) for name in names}
    assert len(looks) == len(names)
    assert palette.colour("agent-00") == AgentPalette(names[:3]).colour("agent-00")


def test_charts_are_escaped_and_say_everything_twice() -> None:
    series = [
        Series(name=HOSTILE, colour="c0", values=(0.5, None, 1.0)),
        Series(name="b", colour="c1", values=(0, 0, 0)),
    ]
    for chart in (
        lines("T", "S", [HOSTILE, "y", "z"], series, percent, top=1.0),
        stacked_bars("T", "S", [HOSTILE, "y", "z"], series, money),
    ):
        for _, drawing in chart.drawings:
            assert "<script" not in drawing
            assert drawing.count('class="slot"') == 3
        assert chart.rows[0][0] == HOSTILE
        assert [name for name, _ in chart.legend] == [HOSTILE, "b"]
    assert "NaN" not in lines("T", "S", [], [], percent).drawings[0][1]


def point(name: str, dollars: float, success: float) -> ScatterPoint:
    return ScatterPoint(
        name=name,
        colour="c0",
        mark="triangle",
        dollars=dollars,
        dollars_range=None,
        success=success,
        success_range=(max(0, success - 0.1), min(1, success + 0.1)),
        tasks=9,
    )


@pytest.mark.parametrize("dollars", [0.00008, 0.5, 1234567.0])
def test_the_labels_of_an_axis_have_room(dollars: float) -> None:
    """The least digit of this font at this size is some 6.9 pixels wide."""
    chart = stacked_bars("t", "s", ["d"], [Series(name="a", colour="work", values=(dollars,))], money, round_money)
    for _, drawing in chart.drawings:
        labels = re.findall(r'<text x="([\d.]+)"[^>]*text-anchor="end"[^>]*>([^<]+)<', str(drawing))
        assert labels
        for x, label in labels:
            assert float(x) >= 6.9 * len(label)


def test_the_frontier_is_those_nobody_beats() -> None:
    points = [point("dear", 3, 0.6), point("good", 2, 0.7), point("cheap", 1, 0.5), point("worse", 1, 0.4)]
    assert [one.name for one in frontier(points)] == ["cheap", "good"]
    assert scatter("T", "S", points).drawings[0][1].count("<polygon") == 4


def test_the_line_of_random_mixtures_is_of_single_agents() -> None:
    """From nothing to each corner, then flat; the market is compared with it and is no part of it."""
    agents = [point("cheap", 1, 0.4), point("between", 2, 0.5), point("dear", 3, 0.8)]
    market = replace(point("the market", 1, 0.9), agent=False)
    drawn = [str(scatter("T", "S", some).drawings[0][1]) for some in (agents, [*agents, market])]
    paths = [re.findall(r'<path[^>]*class="mixtures"', svg) for svg in drawn]
    steps = [re.findall(r'd="M([^"]+)"', svg)[0] for svg in drawn]
    assert [len(found) for found in paths] == [1, 1]
    assert steps[0] == steps[1]
    assert steps[0].count("L") == 3


def told(live: LiveAuction, *events: Event) -> LiveAuction:
    for event in events:
        live.take(event)
    return live


def test_events_make_a_live_auction() -> None:
    task = Task(text="Add.", domain="sums")
    held = auction("x", task, [bid("b", 1.0), bid("a", 2.0)])
    live = told(
        LiveAuction(id="x"),
        AuctionOpened(auction_id="x", task=task, agents=("a", "b", "c")),
        BiddingOpened(agents=("a", "b", "c")),
        StrategyArrived(strategy=strategy("a", tokens=40)),
        StrategyArrived(strategy=strategy("b", tokens=30)),
        AgentDropped(dropout=Dropout(agent="c", stage="bid", code="x", reason="no answer")),
        VoteArrived(vote=vote("a", "b", 4), refined=False),
        VoteArrived(vote=vote("b", "b", 2), refined=False),
        VoteArrived(vote=vote("b", "a", None), refined=False),
        CallSettled(call=call(dollars=0.5)),
    )
    assert live.phase == "bidding"
    assert (live.bids["b"].score, live.bids["a"].score, live.bids["c"].dropped) == (3.0, None, True)
    assert (live.dollars, live.calls, live.domain) == (0.5, 1, "sums")
    told(live, LeaderFound(leader=bid("b", 1.0), bids=held.bids, refining=("a",)))
    assert (live.phase, live.leader, live.bids["a"].net_cost) == ("refining", "b", 2.0)
    told(live, StrategyArrived(strategy=strategy("a", tokens=9, refined=True)), Awarded(auction=held))
    assert (live.phase, live.winner) == ("awarded", "b")
    told(live, WorkStarted(agent="b"), WorkFinished(execution=execution("b")))
    failed = Outcome(verdict="failure", judged_by="tests")
    told(live, Judged(outcome=failed), AwardedAgain(failed=failed, bid=bid("a", 2.0)), WorkStarted(agent="a"))
    assert (live.phase, live.winner, live.bids["b"].state) == ("working", "a", "tried and failed")
    assert told(live, Judged(outcome=Outcome(verdict="success", judged_by="tests"))).verdict == "success"


def test_an_award_without_an_auction_is_told_live_as_one() -> None:
    task = Task(text="Add.")
    opened = AuctionOpened(auction_id="x", task=task, agents=("a", "b"))
    leads = LeaderFound(leader=bid("b", 1.0), bids=(), refining=(), standing="allowance")
    live = told(LiveAuction(id="x"), opened, leads)
    assert live.said == "No agent is asked for a bid."
    assert {one.state for one in live.bids.values()} == {"was not asked for a bid"}
    live = told(LiveAuction(id="y"), opened, BiddingOpened(agents=("a", "b")), replace(leads, standing="no-bids"))
    assert live.said == "No agent made a bid."
