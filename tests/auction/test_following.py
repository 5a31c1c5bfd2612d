"""From one attempt to the next: when the last answer stands, and who follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sale.auction.failure_cost import with_failure_cost
from sale.auction.following import following
from sale.types import (
    Attempt,
    Auction,
    AuctionRules,
    Bid,
    CheckErrors,
    Execution,
    Outcome,
    Settlement,
    Strategy,
    SuccessModel,
    Task,
    Verdict,
    Weights,
)

MODEL = SuccessModel(
    worth=100.0,
    intercepts={},
    newcomer=0.0,
    rates={},
    newcomer_rate=0.5,
    coefficients={},
    means={},
    work={},
    newcomer_tokens=1.0,
)


def bid(agent: str, chance: float, cost: float) -> Bid:
    plan = Strategy(agent=agent, text="", tokens=0, entropy=None)
    return Bid(strategy=plan, price=1.0, cost=cost, value=100.0 * chance, scores=(), chance=chance)


def auction(*more: Bid) -> Auction:
    bids = (bid("first", 0.9, 10.0), bid("second", 0.6, 40.0), *more)
    return Auction(
        id="1",
        task=Task(text="Do it."),
        bids=bids,
        provisional="first",
        refinements=(),
        winner=bids[0],
        dropouts=(),
        weights=Weights(cost=1.0, entropy=0.0, jurors={}, model=MODEL),
        jury="panel",
        settlement=Settlement(calls=()),
        seconds=0.0,
    )


def tried(verdict: Verdict, judged_by: str = "tests", agent: str = "first") -> list[Attempt]:
    work = Execution(agent=agent, answer="x", mode="direct", followed_strategy=False)
    return [Attempt(execution=work, outcome=Outcome(verdict=verdict, judged_by=judged_by))]


@pytest.mark.parametrize("verdict", ["success", "unknown"])
def test_only_a_failure_is_followed(verdict: Verdict) -> None:
    assert following(auction(), tried(verdict), AuctionRules(attempts=2), CheckErrors()) is None


def test_a_failure_is_followed_as_often_as_the_rules_allow() -> None:
    after = following(auction(), tried("failure"), AuctionRules(attempts=2), CheckErrors())
    assert after is not None
    assert after.agent == "second"
    assert following(auction(), tried("failure"), AuctionRules(attempts=1), CheckErrors()) is None


def test_work_that_a_strict_check_fails_stands_but_work_that_broke_off_does_not() -> None:
    strict = CheckErrors(false_fail=0.5)
    assert following(auction(), tried("failure"), AuctionRules(attempts=2), strict) is None
    assert following(auction(), tried("failure", "execution"), AuctionRules(attempts=2), strict) is not None


def test_an_answer_that_was_refused_stays_at_stake_when_the_next_agent_breaks_off() -> None:
    strict, third = CheckErrors(false_fail=0.4), bid("third", 0.3, 1.0)
    both = [*tried("failure"), *tried("failure", "execution", "second")]
    assert following(auction(third), both[1:], AuctionRules(attempts=3), strict) is not None
    assert following(auction(third), both, AuctionRules(attempts=3), strict) is None, (
        "the refused answer is right in 0.36 of 0.46"
    )


def test_work_that_broke_off_says_nothing_of_how_hard_the_task_is() -> None:
    hard = replace(auction(), weights=Weights(cost=1.0, entropy=0.0, jurors={}, model=replace(MODEL, difficulty=3.0)))
    assert following(hard, tried("failure"), AuctionRules(attempts=2), CheckErrors()) is None, (
        "0.6 is 0.1 after that failure: a cost of 40"
    )
    after = following(hard, tried("failure", "execution"), AuctionRules(attempts=2), CheckErrors())
    assert after is not None
    assert after.chance == pytest.approx(0.6)


@pytest.mark.parametrize(("failure", "follows"), [(0.0, True), (39e-6, True), (41e-6, False)])
def test_where_there_is_nothing_to_hand_in_another_attempt_has_to_be_worth_the_risk(
    failure: float, follows: bool
) -> None:
    """0.6 × 100 − 0.4 × failure − 44: the model counts 0.6 × (100 + failure) − 44."""
    rules = AuctionRules(attempts=2, failure_dollars=failure)
    dear = bid("second", 0.6, 44.0)
    held = replace(auction(), bids=(auction().winner, dear))
    held = replace(held, weights=with_failure_cost(held.weights, failure))
    assert (following(held, tried("failure", "execution"), rules, CheckErrors()) is not None) == follows


def test_while_the_allowance_is_overdrawn_no_dearer_agent_follows_an_answer_but_one_follows_where_there_is_none() -> (
    None
):
    held, rules = auction(), AuctionRules(attempts=2)
    able = [held.winner]
    assert following(held, tried("failure"), rules, CheckErrors(), held.bids) is not None
    assert following(held, tried("failure"), rules, CheckErrors(), able) is None
    assert following(held, tried("failure", "execution"), rules, CheckErrors(), able) is not None
