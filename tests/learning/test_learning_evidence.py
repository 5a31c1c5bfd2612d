"""Fits on auctions in which nobody planned: jurors read what agents found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from sale.auction.scoring import with_leads
from sale.auction.value_of_information import pays, standing_bids
from sale.learning.dataset import tabulate
from sale.learning.fit import fit
from sale.learning.utility import STRENGTHS, success_models
from sale.types import NOTHING_TO_READ, Bid, Evidence, Example, Price, Score, Strategy, SuccessModel, Worked
from tests.learning.pools import auctions

LIBRARIANS = ("east", "north", "south", "west")
CLOSED = "closed book"
PRICE = 0.09


def found(seed: int, count: int, *, jurors: Sequence[str] = ("match", "noise"), dollars: float = 0.0) -> list[Example]:
    """Tasks that one librarian in four can do, who is not known beforehand; an agent without books can do none."""
    rng = np.random.default_rng(seed)
    made: list[Example] = []
    for number in range(count):
        holder = LIBRARIANS[int(rng.integers(4))]
        scores = [
            Score(juror=juror, bidder=agent, value=float(np.clip(rng.normal(mean, 0.7), 0.0, 5.0)))
            for agent in LIBRARIANS
            for juror, mean in (("match", 3.3 if agent == holder else 1.8), ("noise", 2.7))
            if juror in jurors
        ]
        scores += [Score(juror=juror, bidder=CLOSED, value=2.5, imputed=True, note=NOTHING_TO_READ) for juror in jurors]
        led = with_leads(scores)
        bids = tuple(
            Bid(
                strategy=Strategy(agent=agent, text="", tokens=0, entropy=None, evidence=quoted(agent)),
                price=PRICE,
                cost=0.0,
                value=0.0,
                scores=tuple(score for score in led if score.bidder == agent),
            )
            for agent in (*LIBRARIANS, CLOSED)
        )
        work = {
            agent: Worked(success=bool(agent == holder and rng.random() < 0.9), dollars=3e-5) for agent in LIBRARIANS
        }
        work[CLOSED] = Worked(success=False, dollars=1e-6)
        made.append(
            Example(
                auction_id=f"a{number}", task=f"task {number}", bids=bids, winner=holder, work=work, overhead=dollars
            )
        )
    return made


def quoted(agent: str) -> tuple[Evidence, ...]:
    return () if agent == CLOSED else (Evidence(tool="search", source="page", quote="what it says"),)


def models(examples: Sequence[Example]) -> list[SuccessModel]:
    return success_models(tabulate(examples), STRENGTHS)


def test_jurors_of_evidence_are_known_by_what_they_read() -> None:
    assert tabulate(found(0, 10)).finders == ("match", "noise")
    assert tabulate(auctions(10)).finders == ()


def test_a_juror_of_evidence_abstains_on_a_plan_without_it() -> None:
    (one,) = found(0, 1, jurors=("match",))
    planned = tuple(replace(bid, strategy=replace(bid.strategy, text="a plan", tokens=2)) for bid in one.bids)
    assert tabulate([replace(one, bids=planned)]).finders == ("match",)


def test_it_is_believed_from_the_first_outcomes_on() -> None:
    for seed in range(6):
        for model in models(found(seed, 20, jurors=("match",))):
            assert model.coefficients["juror:match"] > 0.4


def test_one_that_tells_nothing_is_not_asked_again() -> None:
    kept = 0
    for seed in range(12):
        weighed = [set(model.coefficients) for model in models(found(seed, 60))]
        assert all("juror:match" in names for names in weighed)
        kept += any("juror:noise" in names or "lead:noise" in names for names in weighed)
    assert kept <= 5  # one in six by chance, if its coefficient is as often above 0 as below


def test_what_bids_tell_and_cost_is_known_though_nobody_planned() -> None:
    model = models(found(1, 60, jurors=("match",), dollars=2e-6))[0]
    assert model.auction == pytest.approx(2.0)
    assert all(model.spread[agent] > 0.5 for agent in LIBRARIANS)
    assert model.spread[CLOSED] == 0.0


def test_after_a_fit_auctions_that_cost_nothing_are_held() -> None:
    weights = fit(found(2, 60, jurors=("match",)), "utility").weights
    assert weights.model is not None
    pool = [_Priced(agent) for agent in (*LIBRARIANS, CLOSED)]
    assert pays(standing_bids(pool, {}, weights), weights.model)


class _Priced:
    def __init__(self, name: str) -> None:
        self.name, self.price = name, Price(input=PRICE, output=PRICE, blended=PRICE)
