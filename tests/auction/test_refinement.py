"""Cheaper agents that learn from the auction memory: who may, what it takes, and when the task changes hands."""

from __future__ import annotations

import pytest

from sale.auction.events import LeaderFound
from sale.errors import CallTimeoutError, RejectedError, StoreError
from sale.models.scripted import Line
from sale.types import AuctionRules, Caps, JuryMode
from tests.support.builders import pair
from tests.support.juror_fixtures import BETTER, BOTH, GOOD, OPINION, POOR, pool
from tests.support.scripted import Opinion, Remembered, acts, contractor, hold


@pytest.mark.parametrize("mode", BOTH)
class TestRefinement:
    async def test_a_cheaper_agent_that_learns_takes_the_task(self, mode: JuryMode) -> None:
        memory = Remembered({"cheap": (pair(POOR, GOOD),)})
        held = await hold(pool(refined=BETTER), rules=AuctionRules(jury=mode), memory=memory)
        auction = held.auction
        assert (auction.provisional, auction.winner.agent) == ("dear", "cheap")
        assert auction.flipped
        assert auction.winner is auction.refinements[0].bid
        assert auction.winner.strategy.text == BETTER
        assert auction.winner.net_cost < next(bid for bid in auction.bids if bid.agent == "dear").net_cost
        assert auction.refinements[0].pairs == (pair(POOR, GOOD),)
        assert auction.refinements[0].note is None
        assert len(auction.contenders) == 3
        assert memory.asked == [("cheap", 8)]
        stages = [call.stage for call in auction.settlement.calls]
        assert stages.count("refine") == 1
        assert stages.count("rejudge") == 2

    async def test_one_that_learns_nothing_leaves_the_leader(self, mode: JuryMode) -> None:
        held = await hold(pool(refined=POOR), rules=AuctionRules(jury=mode), memory=Remembered({"cheap": (pair(),)}))
        assert held.auction.winner.agent == "dear"
        assert held.auction.refinements[0].bid is not None

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            (RejectedError("too long"), "too long"),
            ("", "the strategy is empty"),
            (Line(text=BETTER, seconds=30), "no answer within 0.1 s"),
        ],
    )
    async def test_a_failed_refinement_leaves_the_leader(self, mode: JuryMode, said: Line | str, reason: str) -> None:
        agents = [
            contractor("cheap", acts(bid=POOR, refine=said, judge=OPINION), price=0.1),
            contractor("dear", acts(bid=GOOD, judge=OPINION)),
        ]
        rules = AuctionRules(jury=mode, bid_seconds=0.1)
        held = await hold(agents, rules=rules, memory=Remembered({"cheap": (pair(),)}))
        assert held.auction.winner.agent == "dear"
        (refinement,) = held.auction.refinements
        assert (refinement.bid, refinement.note) == (None, reason)
        assert [(d.agent, d.stage) for d in held.auction.dropouts] == [("cheap", "refine")]
        assert [bid.agent for bid in held.auction.bids] == ["cheap", "dear"]  # its first bid stands
        assert "rejudge" not in [call.stage for call in held.auction.settlement.calls]

    async def test_a_refined_bid_that_nobody_judged_cannot_win(self, mode: JuryMode) -> None:
        """The jury has first said that the leader is poor, too: the middle of the scale would beat it."""
        agents = [
            contractor("cheap", acts(bid=POOR, refine=BETTER, judge=_asleep_at(BETTER)), price=0.1),
            contractor("dear", acts(bid=GOOD), price=1.1, judge=False),
        ]
        rules = AuctionRules(jury=mode)
        held = await hold(agents, rules=rules, memory=Remembered({"cheap": (pair(),)}))
        (refinement,) = held.auction.refinements
        assert refinement.bid is not None
        assert refinement.bid.net_cost < next(b for b in held.auction.bids if b.agent == "dear").net_cost
        assert held.auction.winner.agent == "dear"
        assert refinement.note == "no juror scored it, so it cannot win"

    async def test_where_the_cheapest_leads_nothing_more_is_asked(self, mode: JuryMode) -> None:
        memory = Remembered({"cheap": (pair(),), "dear": (pair(),)})
        held = await hold(pool(cheap=GOOD, dear=POOR), rules=AuctionRules(jury=mode), memory=memory)
        assert held.auction.winner.agent == "cheap"
        assert held.auction.refinements == ()
        assert memory.asked == []
        assert {call.stage for call in held.auction.settlement.calls} == {"bid", "judge"}

    async def test_an_empty_memory_costs_nothing(self, mode: JuryMode) -> None:
        memory = Remembered({})
        held = await hold(pool(), rules=AuctionRules(jury=mode), memory=memory)
        assert memory.asked == [("cheap", 8)]
        assert [(r.agent, r.pairs, r.bid, r.note) for r in held.auction.refinements] == [
            ("cheap", (), None, "nothing in memory")
        ]
        assert {call.stage for call in held.auction.settlement.calls} == {"bid", "judge"}
        assert held.watch.of(LeaderFound)[0].refining == ()

    async def test_switched_off_nobody_is_asked(self, mode: JuryMode) -> None:
        memory = Remembered({"cheap": (pair(),)})
        held = await hold(pool(refined=BETTER), rules=AuctionRules(jury=mode, refine=False), memory=memory)
        assert memory.asked == []
        assert held.auction.refinements == ()
        assert held.auction.winner.agent == "dear"

    async def test_no_more_examples_than_the_rules_say(self, mode: JuryMode) -> None:
        memory = Remembered({"cheap": (pair(),) * 9})
        held = await hold(pool(), rules=AuctionRules(jury=mode, examples=3), memory=memory)
        assert memory.asked == [("cheap", 3)]
        assert len(held.auction.refinements[0].pairs) == 3

    async def test_a_memory_that_fails_costs_refinement_only(self, mode: JuryMode) -> None:
        broken = Remembered({}, error=StoreError("the disk is gone"))
        held = await hold(pool(refined=BETTER), rules=AuctionRules(jury=mode), memory=broken)
        assert held.auction.winner.agent == "dear"
        assert held.auction.refinements[0].note == "store: the disk is gone"

    async def test_a_memory_that_hangs_ends_with_the_auctions_time(self, mode: JuryMode) -> None:
        slow = Remembered({"cheap": (pair(),)}, seconds=30)
        rules = AuctionRules(jury=mode, caps=Caps(seconds=0.5))
        held = await hold(pool(refined=BETTER), rules=rules, memory=slow)
        assert held.auction.winner.agent == "dear"
        assert held.auction.refinements[0].note == "the auction's time was up"
        assert held.auction.seconds == pytest.approx(0.5)

    async def test_all_cheaper_agents_may_learn_and_the_best_of_them_wins(self, mode: JuryMode) -> None:
        agents = [
            contractor("a", acts(bid=POOR, refine=POOR, judge=OPINION), price=0.1),
            contractor("b", acts(bid=POOR, refine=BETTER, judge=OPINION), price=0.2),
            contractor("c", acts(bid=POOR, judge=OPINION), price=0.3),
            contractor("lead", acts(bid=GOOD, judge=OPINION), price=1.0),
        ]
        memory = Remembered({"a": (pair(),), "b": (pair(),)})
        held = await hold(agents, rules=AuctionRules(jury=mode), memory=memory)
        assert held.auction.winner.agent == "b"
        assert [(r.agent, r.note) for r in held.auction.refinements] == [
            ("a", None),
            ("b", None),
            ("c", "nothing in memory"),
        ]
        assert held.watch.of(LeaderFound)[0].refining == ("a", "b")


def _asleep_at(text: str) -> Opinion:
    """Little for anything, and no answer where this plan is among them."""

    def opinion(plan: str) -> int:
        if plan == text:
            raise CallTimeoutError("asleep")
        return 0 if plan == POOR else 1

    return opinion
