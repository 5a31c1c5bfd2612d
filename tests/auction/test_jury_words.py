"""Who judged, in words: agents of the pool, jurors that settings name, or both."""

from __future__ import annotations

import pytest

from sale.auction.jury_words import describe_jury, list_jurors
from sale.types import Auction, Bid, Dropout, Settlement, Weights
from tests.support.builders import TASK, score, strategy


def auction(*jurors: str, dropped: str = "") -> Auction:
    bids = tuple(
        Bid(
            strategy=strategy(agent),
            price=1.0,
            cost=1.0,
            value=2.0,
            scores=tuple(score(one, agent, 3) for one in jurors),
        )
        for agent in ("a", "b")
    )
    dropouts = (Dropout(agent=dropped, stage="bid", code="call.timeout", reason="late"),) if dropped else ()
    return Auction(
        id="1",
        task=TASK,
        bids=bids,
        provisional="a",
        refinements=(),
        winner=bids[0],
        dropouts=dropouts,
        weights=Weights(cost=1.0, entropy=0.0, jurors={}),
        jury="panel",
        settlement=Settlement(calls=()),
        seconds=1.0,
    )


@pytest.mark.parametrize(
    ("jurors", "said"),
    [
        ((), "no jury"),
        (("a", "b"), "panel jury"),
        (("match",), "juror match"),
        (("match", "reader"), "jurors match, reader"),
        (("a", "match"), "panel jury and juror match"),
    ],
    ids=str,
)
def test_the_jury_is_called_by_who_sat(jurors: tuple[str, ...], said: str) -> None:
    assert describe_jury(auction(*jurors)) == said
    assert list_jurors(auction(*jurors)) == list(jurors)


def test_an_agent_that_made_no_bid_may_still_have_judged() -> None:
    assert describe_jury(auction("c", dropped="c")) == "panel jury"
