"""In the middle of a conversation, whoever is not the incumbent pays for reading it anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from sale.auction import scoring
from sale.auction.ledger import Ledger
from sale.types import AuctionRules, Bid, Price, Score, Strategy, SuccessModel, TrackRecord, Usage, Weights
from tests.support.builders import TASK
from tests.support.scripted import asked, auctioneer, contractor

PRICES = {"held": Price(input=2.0, output=4.0, blended=2.5), "new": Price(input=1.0, output=2.0, blended=1.25)}
LINE = Weights(cost=0.5, entropy=0.0, jurors={}, source="test")


def plan(agent: str) -> Strategy:
    return Strategy(agent=agent, text="1. Do it.", tokens=10, entropy=None)


def kept(tokens: int) -> scoring.CacheKept:
    return scoring.CacheKept(incumbent="held", prefix_tokens=tokens, prices=PRICES, rule=scoring.weigh)


def test_the_incumbent_pays_nothing_more() -> None:
    assert kept(1000)(plan("held"), 2.5, (), LINE, None) == scoring.weigh(plan("held"), 2.5, (), LINE)


@pytest.mark.parametrize(("cached", "lost"), [(0.1, 900.0), (0.75, 250.0), (None, 500.0), (1.0, 0.0), (1.2, 0.0)])
def test_others_pay_what_their_own_cache_would_have_saved_in_the_unit_of_c(cached: float | None, lost: float) -> None:
    prices = PRICES | {"new": replace(PRICES["new"], cached=cached)}
    rule = replace(kept(1000), prices=prices)
    before, after = scoring.weigh(plan("new"), 1.25, (), LINE), rule(plan("new"), 1.25, (), LINE, None)
    assert after.cost - before.cost == pytest.approx(0.5 * lost)
    tokens = Usage(input_tokens=1000)
    saved = prices["new"].dollars(tokens) - prices["new"].dollars(tokens, cached=1000)
    assert lost == pytest.approx(max(0.0, saved) * 1e6), "as it is billed"
    assert after.value == before.value
    assert (f"{lost:.6g}" in after.notes[-1]) if lost else (after.notes == before.notes)


def test_a_long_conversation_keeps_a_dearer_incumbent_and_a_short_one_does_not() -> None:
    def winner(tokens: int) -> str:
        rule = kept(tokens)
        return scoring.provisional_winner([rule(plan(a), PRICES[a].blended, (), LINE, None) for a in PRICES]).agent

    assert (winner(0), winner(1000)) == ("new", "held")


def test_with_a_success_model_the_loss_is_in_micro_dollars_as_the_cost_is() -> None:
    model = SuccessModel(
        worth=1000.0,
        intercepts={},
        newcomer=0.0,
        rates={},
        newcomer_rate=0.5,
        newcomer_tokens=10.0,
        coefficients={},
        means={},
        work={},
        prior_evidence=1.0,
    )
    modelled = replace(LINE, model=model)
    before, after = scoring.weigh(plan("new"), 1.25, (), modelled), kept(1000)(plan("new"), 1.25, (), modelled, None)
    assert after.cost - before.cost == pytest.approx(500.0)


def own_rule(
    strategy: Strategy, price: float, scores: Sequence[Score], weights: Weights, track: TrackRecord | None, /
) -> Bid:
    return scoring.weigh(strategy, price, scores, weights, track)


@pytest.mark.parametrize(("rule", "heard"), [(scoring.weigh, False), (own_rule, True)])
async def test_in_a_conversation_too_jurors_without_weight_are_asked_only_for_a_rule_of_ones_own(
    rule: scoring.ScoringRule, heard: bool
) -> None:
    agents = [contractor(name, price=price) for name, price in PRICES.items()]
    made = auctioneer(agents, weights=LINE, weigh=replace(kept(1000), rule=rule))
    await made.hold("test", TASK, Ledger(caps=made.rules.caps), lambda _: None)
    stages = [prompt.template.partition("@")[0] for agent in agents for prompt in asked(agent)]
    assert any(stage.startswith("judge") for stage in stages) == heard


@pytest.mark.parametrize(("tokens", "held"), [(0, True), (1_000_000, False)])
async def test_no_auction_is_held_that_cannot_move_a_conversation_because_it_is_too_long(
    tokens: int, held: bool
) -> None:
    telling = SuccessModel(
        worth=1000.0,
        intercepts={"held": 0.0, "new": 0.0},
        newcomer=0.0,
        rates={},
        newcomer_rate=0.5,
        newcomer_tokens=10.0,
        coefficients={},
        means={},
        work={"held": 10.0, "new": 10.0},
        spread={"held": 2.0, "new": 2.0},
        auction=1.0,
    )
    agents = [contractor(name, price=price) for name, price in PRICES.items()]
    fitted, rules = replace(LINE, model=telling), AuctionRules(hold="worthwhile")
    made = auctioneer(agents, weights=fitted, rules=rules, weigh=kept(tokens))
    auction = await made.hold("test", TASK, Ledger(caps=made.rules.caps), lambda _: None)
    assert auction.held == held


@pytest.mark.parametrize(("tokens", "drawn"), [(1_000, True), (100_000, False)])
async def test_no_agent_is_drawn_that_would_read_a_long_conversation_anew_beyond_the_bound(
    tokens: int, drawn: bool
) -> None:
    """At a dollar for a million tokens, half of it from the cache: $0.0005, or $0.05."""
    agents = [contractor(name, price=price) for name, price in PRICES.items()]
    rules = AuctionRules(explore=1.0, explore_dollars=0.01)
    made = auctioneer(agents, weights=LINE, rules=rules, weigh=kept(tokens))
    auction = await made.hold("test", TASK, Ledger(caps=made.rules.caps), lambda _: None)
    assert auction.exploration is not None
    assert auction.exploration.best == "held"
    assert (auction.exploration.propensities["new"] > 0.0) == drawn
