"""The worst case, known before anything is spent."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import pytest

from sale.auction.allowance import Allowance
from sale.auction.events import VoteArrived
from sale.auction.fanout import check_fan_out, fan_out
from sale.auction.ledger import Ledger, worst_usage
from sale.auction.protocols import Answer, JudgeRequest, Question
from sale.auction.questions import Seat
from sale.errors import CapError, ConfigError, InputError
from sale.types import AuctionRules, Caps, JuryMode, Price, Reply, Task, ToolInfo, Usage
from tests.support.builders import TASK, pair, price
from tests.support.greedy import Greedy
from tests.support.scripted import Remembered, Watch, auctioneer, hold

RULES = AuctionRules(strategy_tokens=30, examples=2)


def pool(size: int, *, tools: tuple[ToolInfo, ...] = ()) -> list[Greedy]:
    dearest = f"agent{size - 1}"
    return [
        Greedy(f"agent{at}", price(float(at + 1)), filler="<plan A 3 ", favourite=dearest, tools=tools)
        for at in range(size)
    ]


class TestFigures:
    @pytest.mark.parametrize(
        ("mode", "size", "calls"),
        [
            ("panel", 1, 1 + 2),
            ("panel", 4, 4 + 3 + 4 * 2 + 4 * 2),
            ("per-bid", 1, 1 + 2),
            ("per-bid", 4, 4 + 3 + 4 * 4 * 2 + 4 * 3 * 2),
        ],
    )
    def test_calls(self, mode: JuryMode, size: int, calls: int) -> None:
        agents = pool(size)
        assert fan_out(agents, agents, TASK, replace(RULES, jury=mode)).calls == calls

    def test_without_refinement_or_jury(self) -> None:
        agents = pool(3)
        assert fan_out(agents, agents, TASK, replace(RULES, refine=False)).calls == 3 + 6
        assert fan_out(agents, [], TASK, RULES).calls == 3 + 2

    def test_more_of_anything_is_dearer(self) -> None:
        agents = pool(3)
        base = fan_out(agents, agents, TASK, RULES)
        more = [
            fan_out(agents, agents, Task(text=TASK.text * 2), RULES),
            fan_out(agents, agents, TASK, replace(RULES, strategy_tokens=31)),
            fan_out(agents, agents, TASK, replace(RULES, examples=3)),
            fan_out(pool(3, tools=(ToolInfo(name="t", description="d" * 99),)), agents, TASK, RULES),
        ]
        assert all(one.tokens > base.tokens and one.dollars > base.dollars for one in more)

    @pytest.mark.parametrize(("mode", "size"), [("panel", 6), ("per-bid", 5)])
    def test_the_default_caps_have_room_for_a_usual_pool(self, mode: JuryMode, size: int) -> None:
        agents = [Greedy(f"agent{at}", price(0.5)) for at in range(size)]
        check_fan_out(agents, agents, Task(text="x" * 4000), AuctionRules(jury=mode))


class TestRefusal:
    @pytest.mark.parametrize("text", ["", " \n\t "])
    def test_an_empty_task(self, text: str) -> None:
        with pytest.raises(InputError, match="the task is empty"):
            check_fan_out(pool(1), [], Task(text=text), RULES)

    def test_a_task_that_is_no_text(self) -> None:
        with pytest.raises(InputError, match="not valid text: surrogates not allowed at 4"):
            check_fan_out(pool(1), [], Task(text="bad \udcff"), RULES)

    def test_an_empty_pool(self) -> None:
        with pytest.raises(ConfigError, match="the pool has no agents"):
            check_fan_out([], [], TASK, RULES)

    def test_a_name_twice(self) -> None:
        agents = pool(3)
        with pytest.raises(ConfigError, match="agents share a name: agent1"):
            check_fan_out([*agents, agents[1], agents[1]], agents, TASK, RULES)
        with pytest.raises(ConfigError, match="agents share a name: agent2"):
            check_fan_out(agents, [*agents, agents[2]], TASK, RULES)

    @pytest.mark.parametrize("cap", ["calls", "tokens", "dollars"])
    def test_over_a_cap_by_the_least_amount(self, cap: str) -> None:
        agents = pool(3)
        worst = fan_out(agents, agents, TASK, RULES)
        exact = Caps(calls=worst.calls, tokens=worst.tokens, dollars=worst.dollars)
        check_fan_out(agents, agents, TASK, replace(RULES, caps=exact))
        wanted = getattr(worst, cap)
        tight = replace(exact, **{cap: wanted * 0.999 if cap == "dollars" else wanted - 1})
        with pytest.raises(CapError, match=f"3 agents with the panel jury could take .* {cap}, over the cap") as caught:
            check_fan_out(agents, agents, TASK, replace(RULES, caps=tight))
        assert f"auction.caps.{cap}" in caught.value.hint

    async def test_comes_before_any_call_and_any_event(self) -> None:
        agents = pool(2)
        market = auctioneer(agents, jurors=agents, rules=replace(RULES, caps=Caps(calls=3)))
        watch = Watch()
        ledger = Ledger(caps=market.rules.caps, observe=watch)
        with pytest.raises(CapError):
            await market.hold("id", TASK, ledger, watch)
        assert watch.events == []
        assert ledger.settlement.calls == ()

    async def test_refinement_counts_only_where_there_is_a_memory(self) -> None:
        agents = pool(3)
        caps = Caps(calls=fan_out(agents, agents, TASK, replace(RULES, refine=False)).calls)
        rules = replace(RULES, caps=caps)
        auctioneer(agents, jurors=agents, rules=rules).check(TASK)
        with pytest.raises(CapError):
            auctioneer(agents, jurors=agents, rules=rules, memory=Remembered({})).check(TASK)

    async def test_so_it_does_in_what_the_allowance_sets_aside(self) -> None:
        agents = pool(3)
        allowance, rules = Allowance(share=math.inf), replace(RULES, refine=True)
        reserved: set[float] = set()
        made = replace(auctioneer(agents, jurors=agents, rules=rules), allowance=allowance)
        await made.hold("id", TASK, Ledger(caps=Caps()), lambda _: reserved.add(allowance.reserved))
        plain = fan_out(agents, agents, TASK, replace(RULES, refine=False))
        assert max(reserved) == plain.dollars < fan_out(agents, agents, TASK, rules).dollars
        assert made.check(TASK) == plain


@dataclass
class Thrice(Greedy):
    """A juror that makes three calls for each judgement, and says so."""

    def usage_bound(self, request: JudgeRequest, /) -> Usage:
        once = worst_usage(request.prompt, request.max_tokens)
        return once + once + once

    async def judge(self, request: JudgeRequest, /) -> Reply:
        return replace(await super().judge(request), usage=self.usage_bound(request))


ONE = Price(input=1.0, output=1.0, blended=1.0)


@dataclass(frozen=True)
class Respondent:
    """Answers with what it says it takes at most."""

    bound: Callable[[Question], object]
    name: str = "own"
    price: Price = ONE

    def usage_bound(self, question: Question, /) -> Usage:
        return cast("Usage", self.bound(question))

    async def answer(self, question: Question, /) -> Answer:
        return Answer(probability=0.5, usage=self.usage_bound(question))


class TestJurorsThatKnowTheirOwnWorst:
    @pytest.mark.parametrize("mode", ["panel", "per-bid"])
    async def test_a_juror_is_reserved_for_as_it_says_and_held_to_no_less(self, mode: JuryMode) -> None:
        agents = pool(3)
        jurors = [Thrice(agent.name, agent.price, filler=agent.filler, favourite="agent2") for agent in agents]
        rules = replace(RULES, jury=mode, refine=False)
        plain, worst = fan_out(agents, agents, TASK, rules), fan_out(agents, jurors, TASK, rules)
        alone = fan_out(agents, [], TASK, rules)
        assert worst.tokens - alone.tokens == 3 * (plain.tokens - alone.tokens)
        rules = replace(rules, caps=Caps(calls=worst.calls, tokens=worst.tokens, dollars=worst.dollars))
        held = await hold(agents, jurors=jurors, rules=rules)
        assert not any(call.error for call in held.auction.settlement.calls)
        assert held.auction.settlement.usage.total > plain.tokens

    async def test_so_is_one_that_answers_a_question(self) -> None:
        agents = pool(2)
        seat = Seat(respondent=Respondent(lambda _: Usage(input_tokens=70_000, output_tokens=9)), reads="plan")
        rules = replace(RULES, refine=False)
        alone, worst = fan_out(agents, [], TASK, rules), fan_out(agents, [], TASK, rules, [seat])
        assert worst.tokens - alone.tokens == 2 * 70_009
        rules = replace(rules, caps=Caps(calls=worst.calls, tokens=worst.tokens, dollars=worst.dollars))
        held = await hold(agents, jurors=[], seats=[seat], rules=rules)
        assert [score.value for bid in held.auction.bids for score in bid.scores] == [2.5, 2.5]
        assert not any(call.error for call in held.auction.settlement.calls)

    @pytest.mark.parametrize(
        ("bound", "said"),
        [
            (3, "its usage_bound is 3"),
            (Usage(input_tokens=-1), "its usage_bound is Usage"),
            (ZeroDivisionError("by nothing"), "its usage_bound fails: ZeroDivisionError: by nothing"),
        ],
    )
    def test_what_can_be_no_bound_is_said_before_anything_is_spent(self, bound: object, said: str) -> None:
        def own(_: Question) -> object:
            if isinstance(bound, Exception):
                raise bound
            return bound

        with pytest.raises(ConfigError, match=said) as caught:
            check_fan_out(pool(2), [], TASK, RULES, [Seat(respondent=Respondent(own), reads="plan")])
        assert caught.value.where == "juror 'own'"

    async def test_one_that_fails_over_a_bid_casts_no_vote(self) -> None:
        def fails(question: Question) -> Usage:
            if "agent1!" in question.strategy.text:
                raise ValueError("not this one")
            return Usage(input_tokens=9)

        seat = Seat(respondent=Respondent(fails), reads="plan")
        held = await hold(pool(2), jurors=[], seats=[seat], rules=replace(RULES, refine=False))
        votes = [event.vote for event in held.watch.events if isinstance(event, VoteArrived)]
        assert [(vote.bidder, vote.value) for vote in votes if vote.value is not None] == [("agent0", 2.5)]
        (note,) = [vote.note for vote in votes if vote.value is None]
        assert "not this one" in (note or "")


@pytest.mark.parametrize("mode", ["panel", "per-bid"])
async def test_the_worst_auction_takes_exactly_what_was_reckoned_with(mode: JuryMode) -> None:
    """Nobody is cut off by a cap that allows just this, and every call it counts is really made."""
    agents = pool(4)
    rules = replace(RULES, jury=mode)
    worst = fan_out(agents, agents, TASK, rules)
    rules = replace(rules, caps=Caps(calls=worst.calls, tokens=worst.tokens, dollars=worst.dollars))
    long = pair("<plan " * 500, "</plan>" * 500, task="𝒜" * 500)
    memory = Remembered({agent.name: (long,) * 5 for agent in agents})
    held = await hold(agents, jurors=agents, rules=rules, memory=memory)
    settlement = held.auction.settlement
    assert len(settlement.calls) == worst.calls
    assert not any(call.error for call in settlement.calls)
    assert settlement.usage.total <= worst.tokens
    assert settlement.dollars <= worst.dollars
    assert settlement.usage.total > 0.9 * worst.tokens  # a bound that is far too high would refuse sound auctions
    assert held.auction.provisional == "agent3"
    assert [len(refinement.pairs) for refinement in held.auction.refinements] == [2, 2, 2]
