"""The allowance: auctions take no more than their share of the money, and take it where they bring most."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.auction import value_of_information
from sale.auction.allowance import (
    ANSWER_TOKENS,
    PRIOR_TASKS,
    USUAL_SHARE,
    Allowance,
    Outlook,
    incumbent_of,
    prior_tokens,
    work_ahead,
)
from sale.auction.auctioneer import Auctioneer
from sale.auction.ledger import Ledger
from sale.auction.terms import AuctionTerms
from sale.errors import CapError, NoBidsError
from sale.types import Auction, AuctionRules, Call, CheckErrors, Price, SuccessModel, Task, TrackRecord, Usage
from tests.learning.pools import bid
from tests.support.builders import weights
from tests.support.scripted import acts, auctioneer, contractor

SHARE = 0.05
LOOPING = AuctionTerms(looping=True)
PRICES = {"cheap": 0.1, "middle": 0.5, "dear": 1.0}


@dataclass(frozen=True)
class Request:
    """One of a stream: how long it is, whether it brings tools, and what work on it really takes."""

    words: int
    looping: bool
    tokens: int


def chat(random_: random.Random) -> Request:
    return Request(words=random_.randint(1, 8), looping=False, tokens=random_.randint(20, 400))


def long_work(random_: random.Random) -> Request:
    return Request(words=random_.randint(200, 900), looping=True, tokens=random_.randint(50_000, 500_000))


def traffic(seed: int, count: int, *, long: float) -> list[Request]:
    random_ = random.Random(seed)
    return [long_work(random_) if random_.random() < long else chat(random_) for _ in range(count)]


@dataclass
class Bill:
    """What a stream has cost, and what the incumbent alone would have."""

    auctions: float = 0.0
    work: float = 0.0
    incumbent: float = 0.0

    @property
    def over(self) -> float:
        """What the market has cost beyond the incumbent and the allowance."""
        return self.auctions + self.work - (1.0 + SHARE) * self.incumbent


async def through(made: Auctioneer, stream: Sequence[Request]) -> tuple[list[Auction], list[Bill]]:
    """The stream, one task after the other; the bill after each."""
    assert made.allowance is not None
    auctions: list[Auction] = []
    bills = [Bill()]
    price = incumbent_of(made.bidders, made.rules.incumbent).price
    for number, request in enumerate(stream):
        task = Task(text="word " * request.words, id=str(number))
        ledger = Ledger(caps=made.rules.caps)
        auction = await replace(made, terms=AuctionTerms(looping=request.looping)).hold(
            str(number), task, ledger, lambda _: None
        )
        usage = Usage(input_tokens=request.tokens, output_tokens=0)
        dollars = PRICES[auction.winner.agent] * request.tokens / 1e6
        made.allowance.record_work([call(auction.winner.agent, usage, dollars)], price)
        before = bills[-1]
        bills.append(
            Bill(
                auctions=before.auctions + auction.settlement.dollars,
                work=before.work + dollars,
                incumbent=before.incumbent + price.dollars(usage),
            )
        )
        auctions.append(auction)
    return auctions, bills


def call(agent: str, usage: Usage, dollars: float) -> Call:
    return Call(stage="execute", agent=agent, usage=usage, dollars=dollars, seconds=1.0)


def pool(*, share: float = SHARE, incumbent: str | None = None, best: str = "cheap") -> Auctioneer:
    def likes(plan: str) -> int:
        return 5 if best in plan else 1

    agents = [
        contractor(name, acts(bid=f"1. Do it as {name} does.", judge=likes), price=price)
        for name, price in PRICES.items()
    ]
    rules = AuctionRules(allowance=share, incumbent=incumbent, refine=False)
    return replace(auctioneer(agents, rules=rules), allowance=Allowance(share=share))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("long", [0.0, 0.05, 1.0])
async def test_adopting_the_market_never_costs_more_than_the_allowance_above_the_incumbent(
    seed: int, long: float
) -> None:
    _, bills = await through(pool(), traffic(seed, 60, long=long))
    assert max(bill.over for bill in bills) <= 1e-12


async def test_where_awards_may_go_to_a_dearer_agent_the_difference_comes_out_of_the_allowance() -> None:
    stream = traffic(5, 80, long=0.3)
    auctions, bills = await through(pool(incumbent="middle", best="dear"), stream)
    dearer = [place for place, auction in enumerate(auctions) if auction.winner.agent == "dear"]
    assert dearer
    # An award is made before anybody knows how long the work is: one task may overdraw, and then none may until it
    # is paid back.
    most = max(PRICES["dear"] * request.tokens / 1e6 for request in stream)
    assert max(bill.over for bill in bills) <= most
    for place in dearer:
        assert bills[place].over <= 1e-12


async def test_small_tasks_are_not_auctioned_and_long_ones_are() -> None:
    stream = traffic(7, 120, long=0.1)
    auctions, bills = await through(pool(), stream)
    held = [request.looping for auction, request in zip(auctions, stream, strict=True) if auction.held]
    assert sum(held) > 5
    assert all(held)
    last = bills[-1]
    assert last.auctions + last.work < last.incumbent  # the cheap agent does long tasks


async def test_without_an_auction_and_without_a_model_the_incumbent_works() -> None:
    made = pool()
    auctions, _ = await through(made, traffic(1, 3, long=0.0))
    assert {auction.winner.agent for auction in auctions} == {"dear"}
    assert not any(auction.held for auction in auctions)
    assert value_of_information.explain_not_held(auctions[0]) == (
        "neither the allowance nor the caps and budgets cover one for this task"
    )
    assert auctions[0].settlement.calls == ()
    assert len(auctions[0].bids) == 3  # the others can take over where its endpoint fails
    named, _ = await through(pool(incumbent="middle"), traffic(1, 3, long=0.0))
    assert {auction.winner.agent for auction in named} == {"middle"}


async def test_an_infinite_allowance_holds_every_auction() -> None:
    auctions, _ = await through(pool(share=math.inf), traffic(1, 4, long=0.0))
    assert all(auction.held for auction in auctions)
    assert {value_of_information.explain_not_held(auction) for auction in auctions} == {None}


async def test_what_an_auction_set_aside_is_free_again_when_it_fails() -> None:
    made = pool()
    assert made.allowance is not None
    made.allowance.count(100.0, 100.0)
    before = made.allowance.balance
    failing = replace(made, bidders=[contractor(name, acts(bid=""), price=1.0) for name in ("a", "b")], terms=LOOPING)
    with pytest.raises(NoBidsError):
        await failing.hold("test", Task(text="word " * 200), Ledger(caps=made.rules.caps), lambda _: None)
    spent = made.allowance.spent
    assert spent > 0.0
    assert made.allowance.balance == pytest.approx(before - spent)


async def test_a_task_over_the_caps_goes_to_the_incumbent_and_is_refused_without_an_allowance() -> None:
    made = pool()
    tight = replace(made, rules=replace(made.rules, caps=replace(made.rules.caps, tokens=10)))
    assert tight.allowance is not None
    tight.allowance.count(100.0, 100.0)  # it would cover any auction
    auction = await tight.hold("test", Task(text="word"), Ledger(caps=tight.rules.caps), lambda _: None)
    assert (auction.held, auction.winner.agent) == (False, "dear")
    assert value_of_information.explain_not_held(auction) is not None
    with pytest.raises(CapError):
        await replace(tight, allowance=None).hold(
            "test", Task(text="word"), Ledger(caps=tight.rules.caps), lambda _: None
        )


@pytest.mark.parametrize("allowed", [True, False])
async def test_who_cannot_pay_for_an_auction_gets_an_award_without_one(allowed: bool) -> None:
    made = pool()
    assert made.allowance is not None
    made.allowance.count(100.0, 100.0)
    held = replace(made if allowed else replace(made, allowance=None), terms=AuctionTerms(affordable=False))
    auction = await held.hold("test", Task(text="word " * 300), Ledger(caps=made.rules.caps), lambda _: None)
    assert (auction.held, auction.winner.agent, auction.settlement.dollars) == (False, "dear", 0.0)


amounts = st.floats(min_value=0.0, max_value=10.0)


@given(
    share=st.floats(min_value=0.0, max_value=1.0),
    tasks=st.lists(st.tuples(amounts, amounts, amounts, st.floats(min_value=0.0, max_value=1.0)), max_size=60),
)
def test_auctions_never_take_more_than_the_share_whatever_comes(
    share: float, tasks: list[tuple[float, float, float, float]]
) -> None:
    allowance = Allowance(share=share)
    open_: list[tuple[Outlook, float]] = []
    taken = incumbent = 0.0
    for most, gain, work, part in tasks:
        ahead = Outlook(most=most, gain=gain)
        if allowance.reserve(ahead):
            open_.append((ahead, most * part))  # several at once
        if len(open_) > 2:
            ahead, dollars = open_.pop(0)
            allowance.settle(ahead, dollars)
            taken += dollars
        assert taken + sum(one.most for one, _ in open_) <= share * incumbent + 1e-9
        allowance.count(work, work)
        incumbent += work


def test_auctions_go_to_the_tasks_on_which_they_bring_most_for_their_price() -> None:
    allowance = Allowance(share=0.1)
    held: dict[float, int] = {9.0: 0, 1.0: 0}
    for number in range(2000):
        gain = 9.0 if number % 4 == 0 else 1.0
        ahead = Outlook(most=1.0, gain=gain)
        if allowance.reserve(ahead):
            allowance.settle(ahead, 1.0)
            held[gain] += 1
        allowance.count(2.5, 2.5)  # earns a quarter of an auction
    assert held[9.0] > 450  # of 500
    assert held[1.0] < 50  # of 1,500
    assert allowance.balance < 30.0  # and nothing is left lying


def test_what_costs_nothing_is_always_held() -> None:
    assert Allowance(share=0.0).reserve(Outlook(most=0.0, gain=0.0))


def test_auctions_are_expected_to_cost_the_same_part_of_their_most_as_before() -> None:
    allowance = Allowance(share=0.5)
    allowance.count(100.0, 100.0)
    assert allowance._expected(4.0) == 4.0 * USUAL_SHARE
    first = Outlook(most=4.0, gain=9.0)
    assert allowance.reserve(first)
    allowance.settle(first, 1.0)
    assert allowance._expected(4.0) == 1.0
    free = Allowance(share=0.5)
    free.count(100.0, 100.0)
    assert free.reserve(first)
    free.settle(first, 0.0)  # an endpoint that was down
    assert free._expected(4.0) == pytest.approx(0.5)
    free.settle(first, 0.0, whole=False)
    assert free._expected(4.0) == pytest.approx(0.5)


async def test_calls_whose_bill_is_unknown_count_at_their_most() -> None:
    """They timed out, and may have been charged for."""
    made = pool()
    assert made.allowance is not None
    made.allowance.count(100.0, 100.0)
    slow = [contractor(name, acts(seconds={"bid": 1e6}), price=1.0) for name in ("one", "two")]
    task = Task(text="word " * 200)
    with pytest.raises(NoBidsError):
        await replace(made, bidders=slow, terms=LOOPING).hold(
            "test", task, Ledger(caps=made.rules.caps), lambda _: None
        )
    assert made.allowance.spent > 0.0


async def test_nobody_is_auctioned_to_himself() -> None:
    made = pool()
    assert made.allowance is not None
    made.allowance.count(100.0, 100.0)
    alone = replace(made, bidders=[contractor("dear", price=1.0)], terms=LOOPING)
    auction = await alone.hold("test", Task(text="word " * 200), Ledger(caps=made.rules.caps), lambda _: None)
    assert not auction.held


async def test_without_an_auction_a_conversation_stays_where_it_is() -> None:
    made = replace(pool(), terms=AuctionTerms(current="cheap"))
    exploring = replace(made, rules=replace(made.rules, explore=1.0))
    for number in range(20):
        auction = await exploring.hold(
            f"test {number}", Task(text="thanks"), Ledger(caps=made.rules.caps), lambda _: None
        )
        assert (auction.held, auction.winner.agent, auction.exploration) == (False, "cheap", None)


@pytest.mark.parametrize("attempts", [1, 2])
async def test_while_overdrawn_nobody_dearer_than_the_incumbent_is_awarded(attempts: int) -> None:
    """By its track record the dear one is best."""
    model = SuccessModel(
        worth=1e6,
        intercepts={"cheap": -2.0, "middle": 0.0, "dear": 3.0},
        newcomer=0.0,
        rates={},
        newcomer_rate=0.5,
        newcomer_tokens=1000.0,
        coefficients={},
        means={},
        work={"cheap": 100.0, "middle": 500.0, "dear": 1000.0},
        auction=1.0,
    )
    made = replace(pool(incumbent="middle"), weights=replace(weights(), model=model), attempts=attempts)
    made = replace(
        made, terms=AuctionTerms(check=CheckErrors(false_pass=0.9, false_fail=0.9))
    )  # too weak for another plan
    assert made.allowance is not None
    for owed, winner in ((0.0, "dear"), (1.0, "middle")):
        made.allowance.spent = owed
        auction = await made.hold("test", Task(text="hi"), Ledger(caps=made.rules.caps), lambda _: None)
        assert not auction.held
        assert auction.winner.agent == winner


async def test_while_overdrawn_no_award_explores_an_agent_dearer_than_the_incumbent() -> None:
    made = pool(incumbent="middle")
    made = replace(made, rules=replace(made.rules, explore=1.0))
    assert made.allowance is not None
    awarded: dict[float, set[str]] = {0.0: set(), 1.0: set()}
    for owed, winners in awarded.items():
        made.allowance.spent = owed
        for number in range(40):
            auction = await made.hold(f"test {number}", Task(text="hi"), Ledger(caps=made.rules.caps), lambda _: None)
            assert not auction.held
            winners.add(auction.winner.agent)
    assert awarded == {0.0: {"cheap", "middle", "dear"}, 1.0: {"cheap", "middle"}}


def test_work_that_was_done_once_more_earns_nothing_and_is_spent() -> None:
    price = Price(input=10.0, output=10.0, blended=10.0)
    work = call("cheap", Usage(input_tokens=1_000_000), 1.0)
    allowance = Allowance(share=0.1)
    allowance.record_work([work], price, end="done again")
    assert (allowance.earned, allowance.spent) == (0.0, 1.0)
    dear = replace(work, dollars=50.0)
    allowance.record_work([dear], price, own=True)
    assert (allowance.earned, allowance.spent) == (pytest.approx(5.0), 1.0)
    allowance.record_work([dear], price, own=True, end="broke off")
    assert (allowance.earned, allowance.spent) == (pytest.approx(10.0), 1.0), "without a market it breaks off, too"
    allowance.record_work([dear], price, own=True, end="done again")
    assert (allowance.earned, allowance.spent) == (pytest.approx(10.0), 51.0), "what follows stands for it"


def test_tools_count_as_tokens_of_nobody_and_cost_the_same_whoever_uses_them() -> None:
    allowance = Allowance(share=0.1)
    incumbent = Price(input=10.0, output=10.0, blended=10.0)
    work = call("cheap", Usage(input_tokens=1_000_000), 1.0)
    allowance.record_work([work, replace(work, usage=Usage(), dollars=0.5, tool="search")], incumbent)
    assert allowance.earned == pytest.approx(0.1 * 10.5)
    allowance.record_work([replace(work, dollars=0.25, tool="reader")], incumbent)
    assert allowance.earned == pytest.approx(0.1 * 10.75), "whatever tokens it names"
    assert allowance.spent == 0.0


def test_what_the_incumbent_would_have_read_from_its_cache_earns_what_that_costs() -> None:
    incumbent = Price(input=10.0, output=10.0, blended=10.0, cached=1.0)
    work = call("cheap", Usage(input_tokens=1_000_000), 1.0)
    allowance = Allowance(share=0.1)
    allowance.record_work([work], incumbent, cached=900_000)
    assert allowance.earned == pytest.approx(0.1 * (1.0 + 0.9))


def test_an_auction_that_broke_off_says_nothing_of_the_cost_of_others() -> None:
    one = Outlook(most=1.0, gain=0.3)
    for whole in (False, True):
        allowance = Allowance(share=1.0, earned=100.0)
        assert allowance.reserve(one)
        allowance.settle(one, 0.9, whole=whole)
        assert allowance.spent == 0.9
        assert allowance.reserve(one) == (not whole), "it is not expected to bring as much as that one has cost"


def test_of_agents_as_dear_as_each_other_the_incumbent_is_the_same_in_any_order() -> None:
    pool = [contractor("b", price=1.0), contractor("a", price=1.0), contractor("c", price=0.1)]
    assert incumbent_of(pool).name == incumbent_of(pool[::-1]).name == "b"


def test_work_is_expected_by_length_and_tools_until_like_work_is_known() -> None:
    short, long = Task(text="hi"), Task(text="x" * 4000)
    assert prior_tokens(short) == ANSWER_TOKENS
    assert prior_tokens(long) == ANSWER_TOKENS + 1000
    assert prior_tokens(long, looping=True) > 10 * prior_tokens(long)
    fresh = bid("small", 1.0)
    known = replace(fresh, track=TrackRecord(agent="small", successes=2.0, failures=3.0, spent=5_000.0, costed=1.0))
    linear = weights()
    assert work_ahead([fresh], linear, 1000)["small"] == pytest.approx(0.001)
    expected = (PRIOR_TASKS * 0.001 + 0.005) / (PRIOR_TASKS + 1.0)
    assert work_ahead([known], linear, 1000)["small"] == pytest.approx(expected)


def test_rules_refuse_an_allowance_below_nothing() -> None:
    for wrong in (-0.1, math.nan):
        with pytest.raises(ValueError, match="allowance"):
            AuctionRules(allowance=wrong)


def test_the_balance_of_other_processes_counts() -> None:
    """What they have earned may be spent here; what they have set aside or overdrawn may not."""
    allowance, dear = Allowance(share=0.5), Outlook(most=3.0, gain=100.0)
    allowance.count(4.0, 4.0)
    assert not allowance.reserve(dear)
    allowance.elsewhere = 1.5
    assert allowance.balance == 3.5
    assert allowance.reserve(dear)
    assert (allowance.reserved, allowance.balance) == (3.0, 0.5)
    allowance.settle(dear, 1.0)
    assert (allowance.reserved, allowance.balance) == (0.0, 2.5)
    allowance.elsewhere = -2.5
    assert not allowance.reserve(Outlook(most=0.1, gain=100.0))


def test_settings_that_are_read_again_go_on_with_the_balance_and_without_a_debt_of_unlimited_times() -> None:
    def spending(share: float) -> Allowance:
        allowance = Allowance(share=share)
        for _ in range(100):
            outlook = Outlook(most=0.01, gain=1.0)
            if allowance.reserve(outlook):
                allowance.settle(outlook, 0.01)
            allowance.count(0.1, 0.1)
        return allowance

    limited = spending(0.5)
    kept = limited.balance
    assert Allowance(share=0.1).follow(limited) is limited
    assert (limited.share, limited.balance) == (0.1, kept)
    after = Allowance(share=0.05).follow(spending(math.inf))
    assert (after.share, after.balance) == (0.05, 0.0)
    assert after.begun, "nor is the last day counted, which was without a limit"
    assert math.isinf(Allowance(share=math.inf).follow(limited).balance)
