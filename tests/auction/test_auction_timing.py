"""Time: who waits for whom, what happens at the deadline, and what is left after a cancellation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Mapping

import pytest

from sale.auction.events import StrategyArrived, VoteArrived
from sale.auction.ledger import Ledger
from sale.models.scripted import Line, Script, plans_in
from sale.types import AuctionRules, Bid, Caps, JuryMode, Prompt, Stage, Strategy
from tests.support.builders import TASK, pair
from tests.support.scripted import Remembered, Watch, acts, auctioneer, contractor, hold

BOTH: list[JuryMode] = ["panel", "per-bid"]


def paced(plan: str, seconds: float, *, judging: Mapping[str, float]) -> Script:
    """Bids after some time, and takes for each plan the time given for its word."""

    def script(prompt: Prompt, schema: Mapping[str, object] | None) -> Line:
        if schema is None:
            return Line(text=plan, seconds=seconds)
        plans = plans_in(prompt.user)
        wait = max(judging[word] for word in judging for text in plans.values() if word in text)
        return Line(text=json.dumps(dict.fromkeys(plans, 3)), seconds=wait)

    return script


async def time_of(work: Awaitable[object]) -> float:
    """How long it takes, by the loop's clock."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await work
    return loop.time() - began


class TestPace:
    async def test_bids_are_made_at_once(self) -> None:
        agents = [contractor(str(at), acts(seconds={"bid": 0.2}), judge=False) for at in range(6)]
        assert await time_of(hold(agents)) == pytest.approx(0.2)

    async def test_each_bid_is_judged_as_soon_as_it_is_in(self) -> None:
        """The early bid takes long to judge and the late one does not: together they take no longer than each."""
        judging = {"early": 0.3, "late": 0.05}

        async def run() -> None:
            agents = [
                contractor("a", paced("1. early", 0.05, judging=judging)),
                contractor("b", paced("1. late", 0.3, judging=judging)),
            ]
            held = await hold(agents, rules=AuctionRules(jury="per-bid"))
            assert len(held.watch.of(VoteArrived)) == 4

        assert await time_of(run()) == pytest.approx(0.35)  # 0.6 if judging waited for all bids

    async def test_votes_on_an_early_bid_come_before_the_late_bid(self) -> None:
        agents = [contractor("early"), contractor("late", acts(seconds={"bid": 0.2}))]
        held = await hold(agents, rules=AuctionRules(jury="per-bid"))
        events = held.watch.events
        late = next(at for at, e in enumerate(events) if isinstance(e, StrategyArrived) and e.strategy.agent == "late")
        votes = [at for at, e in enumerate(events) if isinstance(e, VoteArrived) and e.vote.bidder == "early"]
        assert len(votes) == 2
        assert max(votes) < late

    @pytest.mark.parametrize("mode", BOTH)
    async def test_takes_the_slowest_bid_and_the_slowest_judgement(self, mode: JuryMode) -> None:
        agents = [contractor(str(at), acts(seconds={"bid": 0.05 * at, "judge": 0.05 * at})) for at in range(1, 5)]
        assert await time_of(hold(agents, rules=AuctionRules(jury=mode))) == pytest.approx(0.2 + 0.2)

    async def test_auctions_do_not_wait_for_each_other(self) -> None:
        agents = [contractor(str(at), acts(seconds={"bid": 0.15, "judge": 0.15})) for at in range(3)]

        async def run() -> None:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(hold(agents)) for _ in range(10)]
            winners = {task.result().auction.winner for task in tasks}
            assert len(winners) == 1

        assert await time_of(run()) == pytest.approx(0.3)


class TestDeadline:
    async def test_bids_that_are_not_in_are_dropped_and_the_rest_is_awarded(self) -> None:
        agents = [contractor("fast", price=2.0), contractor("slow", acts(seconds={"bid": 30}), price=0.1)]
        rules = AuctionRules(jury="per-bid", caps=Caps(seconds=0.3))
        held = await hold(agents, rules=rules)
        assert held.auction.winner.agent == "fast"
        (dropout,) = held.auction.dropouts
        assert (dropout.agent, dropout.code) == ("slow", "call.timeout")
        assert not any(score.imputed for score in held.auction.winner.scores)  # it was judged in the meantime
        assert held.auction.seconds == pytest.approx(0.15)  # half of the time is the bids', the rest the jury's

    async def test_votes_that_are_not_in_are_imputed(self) -> None:
        agents = [contractor("a", acts(judge=5)), contractor("slow", acts(seconds={"judge": 30}))]
        held = await hold(agents, rules=AuctionRules(jury="panel", caps=Caps(seconds=0.3)))
        late = [score for bid in held.auction.bids for score in bid.scores if score.juror == "slow"]
        assert all(score.imputed and score.value == 5 for score in late)
        assert all((score.note or "").startswith("call.timeout: ") for score in late)
        assert held.auction.seconds == pytest.approx(0.3)

    async def test_a_panel_has_time_to_sit_although_a_bid_never_comes(self) -> None:
        agents = [
            contractor("dear", acts(judge=lambda plan: 5), price=2.0),
            contractor("cheap", price=1.0),
            contractor("slow", acts(seconds={"bid": 30}), price=0.1),
        ]
        held = await hold(agents, rules=AuctionRules(jury="panel", caps=Caps(seconds=0.2)))
        assert held.auction.dropouts[0].agent == "slow"
        assert not any(score.imputed for bid in held.auction.bids for score in bid.scores)

    @pytest.mark.parametrize("mode", BOTH)
    async def test_a_slow_refinement_leaves_the_leader(self, mode: JuryMode) -> None:
        agents = [
            contractor("cheap", acts(bid="1. poor", judge=0, seconds={"refine": 30}), price=0.1, judge=False),
            contractor("dear", acts(bid="1. good", judge=lambda plan: 5 if "good" in plan else 0)),
        ]
        rules = AuctionRules(jury=mode, caps=Caps(seconds=0.3))
        held = await hold(agents, rules=rules, memory=Remembered({"cheap": (pair(),)}))
        assert held.auction.winner.agent == "dear"
        assert [(d.agent, d.stage, d.code) for d in held.auction.dropouts] == [("cheap", "refine", "call.timeout")]
        assert held.auction.seconds == pytest.approx(0.15)  # half of what is left


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("stage", ["bid", "judge", "refine", "rejudge"])
async def test_a_cancelled_auction_leaves_nothing_running_and_its_calls_on_record(mode: JuryMode, stage: Stage) -> None:
    """Each agent hangs at the stage; the others are through."""

    def hanging(prompt: Prompt, schema: Mapping[str, object] | None) -> Line | str:
        at = prompt.template.partition("@")[0].removesuffix("_panel")
        wait = 60.0 if at == stage or (stage == "rejudge" and "1. refined" in prompt.user and schema) else 0.0
        if schema is None:
            return Line(text="1. refined" if at == "refine" else "1. first", seconds=wait)
        return Line(text=json.dumps(dict.fromkeys(plans_in(prompt.user), 3)), seconds=wait)

    agents = [contractor("a", hanging, price=2.0), contractor("b", hanging, price=1.0)]
    memory = Remembered({"b": (pair(),)})
    market = auctioneer(agents, rules=AuctionRules(jury=mode), memory=memory, weigh=favour_the_dear)
    watch = Watch()
    ledger = Ledger(caps=Caps(), observe=watch)
    before = asyncio.all_tasks()
    task = asyncio.create_task(market.hold("id", TASK, ledger, watch))
    await asyncio.sleep(0.1)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() <= before
    cut = [call for call in ledger.settlement.calls if call.error]
    assert cut
    assert {(call.stage, call.error) for call in cut} == {(stage, "call: cancelled")}
    assert "Awarded" not in watch.names


def favour_the_dear(plan: Strategy, price: float, scores: object, weights: object, track: object) -> Bid:
    """A scoring rule by which the dear agent leads, so that the other refines."""
    return Bid(strategy=plan, price=price, cost=0.0, value=price, scores=())
