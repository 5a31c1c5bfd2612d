"""Awards with a success model: on track records alone, or to whom it pays to let try first."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

from sale import CommandAgent, FixedPlan, Terms
from sale.auction import scoring, value_of_information
from sale.auction.auctioneer import Auctioneer
from sale.auction.baseline import always_largest, result_of
from sale.auction.events import Awarded, BiddingOpened, LeaderFound
from sale.auction.ledger import Ledger
from sale.auction.terms import AuctionTerms
from sale.batch.models import batch_agent
from sale.errors import SaleError, StoreError
from sale.types import (
    Attempt,
    Auction,
    AuctionRules,
    Call,
    Caps,
    Execution,
    Outcome,
    Price,
    Refinement,
    SuccessModel,
    Task,
    TrackRecord,
    Usage,
)
from tests.memory.builders import auction, bid
from tests.support.builders import TASK, weights
from tests.support.scripted import Watch, acts, auctioneer, contractor

MODEL = SuccessModel(
    worth=1000.0,
    intercepts={"cheap": 0.0, "dear": math.log(9.0)},
    newcomer=0.0,
    rates={"cheap": 0.5, "dear": 0.9},
    newcomer_rate=0.5,
    newcomer_tokens=10.0,
    coefficients={},
    means={},
    work={"cheap": 10.0, "dear": 300.0},
    auction=1.0,
)
TRACKED = replace(MODEL, coefficients={"track": 1.0}, means={"track": 0.0})
GOOD = {
    "cheap": TrackRecord(agent="cheap", successes=40.0, failures=0.0),
    "dear": TrackRecord(agent="dear", successes=0.0, failures=40.0),
}


@dataclass
class Past:
    """What the memory knows of agents, or why it cannot tell."""

    tracks: Mapping[str, TrackRecord]
    error: SaleError | None = None
    hangs: bool = False

    async def track_records(self, task: Task, agents: Sequence[str]) -> Mapping[str, TrackRecord]:
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return self.tracks


def market(model: SuccessModel, past: Past | None = None, *, attempts: int = 1, hold: bool = True) -> Auctioneer:
    agents = [contractor("cheap", price=0.1), contractor("dear", price=1.0)]
    rules = AuctionRules(hold="worthwhile" if hold else "always")
    made = auctioneer(agents, rules=rules, weights=replace(weights(), model=model))
    return replace(made, experience=past, attempts=attempts)


async def held(of: Auctioneer, *, seconds: float = 60.0) -> tuple[Auction, Watch]:
    watch = Watch()
    ledger = Ledger(caps=Caps(seconds=seconds), observe=watch)
    return await of.hold("test", TASK, ledger, watch), watch


class TestWithoutAnAuction:
    async def test_a_task_goes_to_the_best_track_record_where_bids_cannot_tell_more(self) -> None:
        auction, watch = await held(market(TRACKED, Past(GOOD)))
        assert auction.winner.agent == auction.provisional == "cheap"
        assert not auction.held
        assert not auction.winner.planned
        assert auction.settlement.calls == ()
        assert watch.of(BiddingOpened) == []
        assert [event.leader.agent for event in watch.of(LeaderFound)] == ["cheap"]
        assert watch.of(Awarded)[0].auction == auction
        assert auction.winner.track == GOOD["cheap"]

    async def test_an_auction_is_held_where_bids_may_change_the_choice(self) -> None:
        telling = replace(TRACKED, spread={"cheap": 2.0, "dear": 2.0}, auction=0.001)
        auction, watch = await held(market(telling))
        assert auction.held
        assert len(watch.of(BiddingOpened)) == 1

    async def test_an_auction_is_held_where_the_rules_want_one(self) -> None:
        assert (await held(market(TRACKED, Past(GOOD), hold=False)))[0].held

    @pytest.mark.parametrize("past", [Past({}, error=StoreError("the disk is gone")), Past({}, hangs=True)])
    async def test_a_memory_that_fails_costs_the_knowledge_and_no_more(self, past: Past) -> None:
        known, _ = await held(market(TRACKED, Past({})))
        found, _ = await held(market(TRACKED, past), seconds=0.05 if past.hangs else 60.0)
        assert found.winner == known.winner
        assert found.winner.agent == "dear"
        assert found.winner.track is None


class TestSeveralAttempts:
    async def test_a_cheap_agent_tries_first_where_only_its_failures_are_paid_for_twice(self) -> None:
        once, _ = await held(market(MODEL, hold=False))
        twice, _ = await held(market(MODEL, attempts=2, hold=False))
        assert (once.winner.agent, twice.winner.agent) == ("dear", "cheap")
        assert twice.provisional == "dear"

    async def test_where_no_juror_scored_anything_the_best_bid_stays(self) -> None:
        agents = [contractor("cheap", acts(judge="?"), price=0.1), contractor("dear", acts(judge="?"), price=1.0)]
        made = auctioneer(agents, weights=replace(weights({"cheap": 1.0}), model=None), weigh=scoring.weigh)
        auction, _ = await held(replace(made, attempts=2))
        assert auction.winner.agent == auction.provisional


class TestBaseline:
    PRICE = Price(input=1.0, output=2.0, blended=1.5)

    @staticmethod
    def execution(agent: str, tokens: int) -> Execution:
        usage = Usage(input_tokens=tokens, output_tokens=tokens)
        calls = (
            Call(stage="execute", agent=agent, usage=usage, dollars=9.0, seconds=1.0),
            Call(stage="execute", agent=agent, usage=Usage(), dollars=0.5, seconds=1.0, tool="search"),
        )
        return Execution(agent=agent, answer="55", calls=calls, seconds=1.0, mode="direct", followed_strategy=False)

    def test_the_largest_agents_own_work_is_what_it_cost(self) -> None:
        found = always_largest("large", self.PRICE, [self.execution("large", 10), self.execution("small", 99)])
        assert found.dollars == pytest.approx(9.5)
        assert found.basis == "its own execution"

    def test_an_agent_with_a_price_for_a_task_would_have_asked_that(self) -> None:
        program = CommandAgent(
            ["true"], Terms(name="large", price=self.PRICE, price_per_task=0.02), plans=FixedPlan("1. Go.")
        )
        tries = [Attempt(execution=self.execution("small", 10), outcome=Outcome(verdict="success", judged_by="tests"))]
        found = result_of(auction("1", TASK, [bid("small", 1.0)]), tries, program, seconds=3.0).always_largest
        assert found.dollars == pytest.approx(0.02 + 0.5)
        assert found.basis == "its price for a task"
        assert getattr(batch_agent(program, "0" * 64, 0.02), "price_per_task", None) == 0.02

    def test_without_it_the_last_executions_tokens_are_priced_anew(self) -> None:
        found = always_largest("large", self.PRICE, [self.execution("small", 10), self.execution("middle", 20)])
        assert found.dollars == pytest.approx(60 / 1e6 + 0.5)
        assert found.basis == "the tokens middle took, at large's price"

    def test_a_result_adds_up_the_auction_and_every_attempt(self) -> None:
        held = auction("1", TASK, [bid("small", 1.0)])
        tries = [
            Attempt(execution=self.execution("small", 10), outcome=Outcome(verdict="failure", judged_by="tests")),
            Attempt(execution=self.execution("large", 10), outcome=Outcome(verdict="success", judged_by="tests")),
        ]
        largest = contractor("large", acts(), price=2.0)
        found = result_of(held, tries, largest, seconds=3.0)
        assert (found.execution, found.outcome.verdict) == (tries[1].execution, "success")
        assert found.attempts == (tries[0],)
        assert len(found.settlement.calls) == len(held.settlement.calls) + sum(
            len(one.execution.calls) for one in tries
        )
        assert found.always_largest.basis == "its own execution"


class TestWhatAnAuctionBrought:
    async def test_nothing_is_known_without_a_model_or_an_auction(self) -> None:
        plain = auctioneer([contractor("cheap", price=0.1), contractor("dear", price=1.0)])
        assert value_of_information.measure_benefit((await held(plain))[0]) is None
        assert value_of_information.measure_benefit((await held(market(TRACKED, Past(GOOD))))[0]) is None

    async def test_why_there_was_none_is_said(self) -> None:
        auction, _ = await held(market(TRACKED, Past(GOOD)))
        assert value_of_information.explain_not_held(auction) == "it would not have paid"
        auction, _ = await held(market(MODEL, hold=False))
        assert value_of_information.explain_not_held(auction) is None

    async def test_it_may_confirm_who_was_best_before(self) -> None:
        auction, _ = await held(market(replace(MODEL, spread={"cheap": 1.0, "dear": 1.0}), hold=False))
        told = value_of_information.measure_benefit(auction)
        assert told is not None
        assert told.before == told.after == "dear"
        assert told.gain == 0.0
        assert told.expected > 0.0
        assert told.cost == auction.settlement.dollars > 0.0
        assert "without it dear would have had the task, too" in told.describe("${:.1e}".format)

    async def test_it_may_move_the_task(self) -> None:
        """A plan of the cheap one that the jury likes best: its odds rise, those of the other one fall."""

        def likes(plan: str) -> int:
            return 5 if "cheaply" in plan else 0

        agents = [
            contractor("cheap", acts(bid="1. Do it cheaply.", judge=likes), price=0.1),
            contractor("dear", acts(bid="1. Do it dearly.", judge=likes), price=1.0),
        ]
        telling = replace(MODEL, coefficients={"juror:dear": 2.0}, means={"juror:dear": 2.5})
        auction, _ = await held(auctioneer(agents, weights=replace(weights(), model=telling)))
        told = value_of_information.measure_benefit(auction)
        assert told is not None
        assert (told.before, told.after) == ("dear", "cheap")
        by_agent = {bid.agent: bid.net_cost for bid in auction.bids}
        assert told.gain == pytest.approx((by_agent["dear"] - by_agent["cheap"]) / 1e6)
        assert "it moved the task from dear to cheap" in told.describe(str)
        assert "less" in replace(told, gain=-1.0).describe(str)

    async def test_an_agents_better_bid_counts(self) -> None:
        auction, _ = await held(market(replace(MODEL, spread={"cheap": 1.0, "dear": 1.0}), hold=False))
        (cheap, dear), winner = auction.bids, replace(auction.bids[0], cost=0.0, value=2000.0)
        worse = replace(dear, value=dear.value - 500.0)
        refinements = (Refinement(agent="dear", pairs=(), bid=worse), Refinement(agent="cheap", pairs=(), bid=winner))
        moved = replace(auction, bids=(cheap, dear), refinements=refinements, winner=winner)
        told = value_of_information.measure_benefit(moved)
        assert told is not None
        assert (told.before, told.after) == ("dear", "cheap")
        assert told.gain == pytest.approx((dear.net_cost - winner.net_cost) / 1e6)

    @pytest.mark.parametrize(("tokens", "before"), [(0, "dear"), (200, "cheap"), (2000, "cheap")])
    async def test_whoever_has_the_conversation_would_have_kept_it(self, tokens: int, before: str) -> None:
        """Before plans the dear one looks better by 110: less than reading 200 tokens anew would cost it."""
        made = market(replace(MODEL, spread={"cheap": 1.0, "dear": 1.0}), hold=False)
        prices = {bidder.name: replace(bidder.price, cached=0.0) for bidder in made.bidders}
        rule = scoring.CacheKept(incumbent="cheap", prefix_tokens=tokens, prices=prices, rule=scoring.weigh)
        auction, _ = await held(replace(made, weigh=rule))
        told = value_of_information.measure_benefit(auction)
        assert told is not None
        assert told.before == before
        standing = value_of_information.standing_bids(made.bidders, {}, made.weights, rule)
        model = made.weights.model
        assert model is not None
        assert told.expected == pytest.approx(value_of_information.worth_of_bids(standing, model) / 1e6)


def test_each_auction_has_an_id_of_its_own_and_everybody_may_bid() -> None:
    one, other = AuctionTerms(), AuctionTerms()
    assert one.auction_id != other.auction_id
    assert replace(one, auction_id="") == replace(other, auction_id="")
    assert (one.among, one.current, one.tenant, one.checked, one.looping) == (None, None, None, False, False)
