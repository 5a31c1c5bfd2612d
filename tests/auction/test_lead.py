"""The winner's lead over the next agent, and its parts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sale.auction.lead import measure_lead
from sale.auction.scoring import weigh
from sale.types import Auction, Bid, Settlement, TrackRecord, Weights
from tests.support.builders import TASK, score, strategy

WEIGHTS = Weights(cost=1.0, entropy=8.0, jurors={"x": 10.0}, track=40.0)
RECORD = TrackRecord(agent="small", successes=4.0, failures=0.0, spent=0.0, costed=0.0)
SMALL = weigh(strategy("small", tokens=10, entropy=0.5), 1.0, [score("x", "small", 4)], WEIGHTS, RECORD)
LARGE = weigh(strategy("large", tokens=20, entropy=0.25), 9.0, [score("x", "large", 5)], WEIGHTS)


def held(*bids: Bid) -> Auction:
    return Auction(
        id="0e6eda95",
        task=TASK,
        bids=bids,
        provisional=bids[0].agent,
        refinements=(),
        winner=bids[0],
        dropouts=(),
        weights=WEIGHTS,
        jury="panel",
        settlement=Settlement(calls=()),
        seconds=1.0,
    )


def shown(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def test_the_parts_add_up_to_the_lead() -> None:
    lead = measure_lead(held(SMALL, LARGE))
    assert lead is not None
    assert lead.parts == pytest.approx({"jury": -10.0, "entropy": 2.0, "past success": 10.0, "cost": 170.0}, rel=0.1)
    assert sum(lead.parts.values()) == pytest.approx(lead.net)
    said = lead.describe(shown)
    assert said.startswith(f"small is ahead of large by {shown(lead.net)}: jury −10.00, entropy +2.00, past success +")


def test_bids_of_one_net_are_level() -> None:
    twin = replace(SMALL, strategy=replace(SMALL.strategy, agent="twin"))
    lead = measure_lead(held(SMALL, twin))
    assert lead is not None
    assert lead.describe(shown) == "small and twin are level: the lower price wins, then the name that sorts first."


def test_a_part_that_looks_like_nothing_is_left_out_whatever_its_sign() -> None:
    lead = measure_lead(held(SMALL, LARGE))
    assert lead is not None
    tiny = replace(lead, parts={"jury": 10.0, "entropy": -0.001, "cost": 0.001})
    assert tiny.describe(shown).endswith(": jury +10.00.")


def test_there_is_no_lead_without_another_agent_or_where_nets_did_not_decide() -> None:
    assert measure_lead(held(SMALL)) is None
    assert measure_lead(held(LARGE, SMALL)) is None
    assert measure_lead(held(replace(SMALL, value=SMALL.value + 1.0), LARGE)) is None, "a value of another rule"
