"""In the middle of a conversation, whoever is not the incumbent pays for reading it anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sale.auction import scoring
from sale.types import Price, Strategy, SuccessModel, Weights

PRICES = {"held": Price(input=2.0, output=4.0, blended=2.5), "new": Price(input=1.0, output=2.0, blended=1.25)}
LINE = Weights(cost=0.5, entropy=0.0, jurors={}, source="test")


def plan(agent: str) -> Strategy:
    return Strategy(agent=agent, text="1. Do it.", tokens=10, entropy=None)


def kept(tokens: int) -> scoring.CacheKept:
    return scoring.CacheKept(incumbent="held", prefix_tokens=tokens, prices=PRICES, rule=scoring.weigh)


def test_the_incumbent_pays_nothing_more() -> None:
    assert kept(1000)(plan("held"), 2.5, (), LINE, None) == scoring.weigh(plan("held"), 2.5, (), LINE)


def test_others_pay_nine_tenths_of_their_own_input_price_for_each_token_in_the_unit_of_c() -> None:
    before, after = scoring.weigh(plan("new"), 1.25, (), LINE), kept(1000)(plan("new"), 1.25, (), LINE, None)
    assert after.cost - before.cost == pytest.approx(0.5 * 1000 * 1.0 * 0.9)
    assert after.value == before.value
    assert "900" in after.notes[-1]


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
    assert after.cost - before.cost == pytest.approx(900.0)
