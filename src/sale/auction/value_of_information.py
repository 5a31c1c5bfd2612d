"""Is an auction worth its price? Bids are information, and this says what it is worth: pure functions.

With a success model every agent has an expected worth before it bids, from its track record alone. A bid can change
which agent looks best only as far as the model lets bids speak. The expected improvement of the choice, in
micro-dollars, is compared with what an auction costs: below that the task is awarded at once.

The method's own auction is held for every task, and on long executions costs less than 1 % of them. On short ones it is
most of the money, so this is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

from sale.auction import scoring
from sale.auction.shortlist import make_unplanned
from sale.auction.success_model import bid_spread
from sale.types import Auction, Bid, Price, SuccessModel, TrackRecord, Weights

GAIN_REACH = 6.0
"""Standard deviations from its mean that a bid is followed to: what lies beyond is below 10⁻⁹ of one."""
GAIN_NODES = 48
"""Places at which the integral of a gain is taken."""
SILENT = 1e-9
"""Spread, as a share of what it is compared with, below which it counts as none."""


class PricedBidder(Protocol):
    """As much of a bidder as is needed here."""

    @property
    def name(self) -> str:
        """Unique in the pool."""
        ...

    @property
    def price(self) -> Price:
        """The price of its tokens."""
        ...


def standing_bids(
    bidders: Sequence[PricedBidder],
    tracks: Mapping[str, TrackRecord],
    weights: Weights,
    rule: scoring.ScoringRule = scoring.weigh,
) -> list[Bid]:
    """Return each agent's bid before it plans, with its value: bids without a plan, in the pool's order."""
    return [
        replace(
            rule(make_unplanned(bidder.name), bidder.price.blended, (), weights, tracks.get(bidder.name)),
            notes=(),  # on what a plan lacks
        )
        for bidder in bidders
    ]


def worth_of_bids(standing: Sequence[Bid], model: SuccessModel) -> float:
    """Estimate the gain of a choice among real bids over the best standing bid, in micro-dollars.

    A bid moves an agent's log-odds by a normal deviate of the spread seen in training, hence its expected worth by
    about worth · p · (1 − p) · spread. The gain is the expected best of all of them, each independent of the others,
    over the best that is expected without them. The sum of the gains of one challenger at a time over the leader, which
    bounds it from above, is 1.6 times as much with four agents alike and 3 times with ten.
    """
    ranked = scoring.rank(standing)
    deviations = [_deviation(bid, model) for bid in ranked]
    widest = max(deviations, default=0.0)
    if len(ranked) < 2 or widest <= 0.0:
        return 0.0
    behind = [bid.net_cost - ranked[0].net_cost for bid in ranked]
    pairs = (
        _improvement(far, math.hypot(deviations[0], other))
        for far, other in zip(behind[1:], deviations[1:], strict=True)
    )
    # One pair alone is a lower bound, and free of the integral's rounding.
    return max(_expected_best(behind, deviations, widest), *pairs)


def pays(standing: Sequence[Bid], model: SuccessModel) -> bool:
    """Return whether an auction is expected to be worth its cost."""
    return worth_of_bids(standing, model) > model.auction


@dataclass(frozen=True, kw_only=True, slots=True)
class AuctionBenefit:
    """The expected and the actual benefit of an auction, by the model that decided it, in dollars."""

    expected: float
    """Expected gain of a choice among bids over the best standing bid."""
    cost: float
    before: str
    """The agent that would have had the task without an auction."""
    after: str
    gain: float
    """Expected gain of the winning bid over the bid of the agent before; 0 where it is the same."""

    def describe(self, money: Callable[[float], str]) -> str:
        """In plain words, with dollars written as given."""
        expected = f"The auction was expected to bring {money(self.expected)}, and it has cost {money(self.cost)}"
        if self.before == self.after:
            return f"{expected}; without it {self.after} would have had the task, too."
        worth = f"{money(abs(self.gain))} {'more' if self.gain >= 0.0 else 'less'}"
        return (
            f"{expected}; it moved the task from {self.before} to {self.after}, which is expected to be worth {worth}."
        )


def measure_benefit(auction: Auction) -> AuctionBenefit | None:
    """The account of an auction that was held; `None` where nothing is known of it.

    That is without a success model, and where an exploring award went to another than the best bid. In the middle of a
    conversation the agent that has it would have kept it. An overdrawn allowance, which is not on record, may have
    left fewer to choose from.
    """
    model, drawn = auction.weights.model, auction.exploration
    if model is None or not auction.held or (drawn is not None and drawn.best != auction.winner.agent):
        return None
    standing = scoring.rank(_standing_before(bid, auction.weights) for bid in auction.bids)
    having = [bid.agent for bid in auction.bids if not scoring.counts_lost_cache(bid)]
    kept = len(having) == 1 and len(standing) > 1
    before, after = having[0] if kept else standing[0].agent, auction.winner.agent
    own = scoring.rank(bid for bid in auction.contenders if bid.agent == before)
    able = [bid for bid in own if scoring.is_judged(bid)] or own
    gain = able[0].net_cost - auction.winner.net_cost if before != after else 0.0
    return AuctionBenefit(
        expected=worth_of_bids(standing, model) / 1e6,
        cost=auction.settlement.auction_dollars,
        before=before,
        after=after,
        gain=gain / 1e6,
    )


def _standing_before(bid: Bid, weights: Weights) -> Bid:
    """An agent's bid before it planned, with what reading the conversation anew costs it."""
    found = scoring.weigh(make_unplanned(bid.agent), bid.price, (), weights, bid.track)
    return replace(found, cost=bid.cost) if scoring.counts_lost_cache(bid) else found  # no plan moves C


def explain_not_held(auction: Auction) -> str | None:
    """Why there was no auction: it would not have paid, or not be paid for, or had no bid; `None` if there was one."""
    if auction.held:
        return None
    if auction.dropouts:
        return "no agent made a bid"
    model = auction.weights.model
    if model is not None and not pays(auction.bids, model):
        return "it would not have paid"
    return "neither the allowance nor the caps and budgets cover one for this task"


def _deviation(bid: Bid, model: SuccessModel) -> float:
    p = bid.chance or 0.0
    return model.worth * p * (1.0 - p) * bid_spread(model, bid.agent)


def _improvement(behind: float, deviation: float) -> float:
    """E max(0, X) for X normal with mean −behind (at most 0) and this standard deviation."""
    if deviation <= SILENT * behind:
        return 0.0
    z = behind / deviation
    density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    return deviation * density - behind * 0.5 * math.erfc(z / math.sqrt(2.0))


@cache
def gain_nodes() -> tuple[tuple[float, float], ...]:
    """Places and weights in [−1, 1] of the integral of a gain (Gauss and Legendre)."""
    from numpy.polynomial.legendre import leggauss  # noqa: PLC0415  the help of a verb comes without NumPy

    places, weights = leggauss(GAIN_NODES)
    return tuple(zip(places.tolist(), weights.tolist(), strict=True))


def _expected_best(behind: Sequence[float], deviations: Sequence[float], widest: float) -> float:
    """E max X over independent normals: low + the integral of P(some X > x) from low up.

    Below `low` the best never is: a bid that tells nothing stays where it is, and the others stay above what a normal
    deviate reaches.

    Args:
        behind: How far each mean lies below 0.
        deviations: Of each.
        widest: The largest of them.
    """
    telling = [(far, own) for far, own in zip(behind, deviations, strict=True) if own > SILENT * widest]
    silent = (-far for far, own in zip(behind, deviations, strict=True) if own <= SILENT * widest)
    low = max(*(-far - GAIN_REACH * own for far, own in telling), *silent)
    high = max(low, *(GAIN_REACH * own - far for far, own in telling))
    half, middle = (high - low) / 2.0, (high + low) / 2.0
    above = (
        weight
        * (
            1.0
            - math.prod(0.5 * math.erfc(-(middle + half * x + far) / (own * math.sqrt(2.0))) for far, own in telling)
        )
        for x, weight in gain_nodes()
    )
    return low + half * math.fsum(above)
