"""The published auction over a drawn world: first bids, then refinement from a memory that fills, in several orders.

Bids are weighed, ranked and awarded by `sale.auction.scoring`, the market's own rule; a test holds all of it to the
market itself. What refinement does to a plan is assumed: it lowers the deviate of the agent's work, by as much as the
pairs shown are like the task, and the jury reads the new plan anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.paper_simulation.world import AGENTS, PRICES, JurorQuality, PaperWorld, PlanDraw, as_bid, draw_plans
from sale.auction import scoring
from sale.bench.market_router import SaleRouter, ablations
from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import RecordedTasks, unpaid_auction
from sale.bench.routers.protocol import Floats, Ints
from sale.types import Bid, Price, Weights

K = 8
"""Past tasks that a refining agent is shown; published."""
SCALES = np.geomspace(0.05, 20.0, 16)
"""Factors on the value weights of the prior; the one that solves most of the dev tasks is taken, then the cheapest."""
ORDERS = 5
FIRST, REFINED = 1, 2
"""Parts of seeds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Award:
    """Who won one task, and what came of it."""

    agent: int
    success: float
    refined: bool
    refiners: tuple[str, ...]
    """Agents that were asked to refine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedMarket:
    """One world's auctions under jurors of one quality."""

    world: PaperWorld
    first: tuple[tuple[Bid, ...], ...]
    """First bids of each task."""
    weights: Weights
    quality: JurorQuality


def prior() -> Weights:
    """The published rule with the market's stated prior."""
    prices = {name: Price(input=price, output=price, blended=price) for name, price in zip(AGENTS, PRICES, strict=True)}
    return scoring.default_weights(prices, AGENTS, base_rates=False)


def scaled(weights: Weights, factor: float) -> Weights:
    """Weights whose values count so many times as much against cost."""
    jurors = {name: factor * weight for name, weight in weights.jurors.items()}
    return replace(weights, entropy=factor * weights.entropy, jurors=jurors)


def first_bids(world: PaperWorld, quality: JurorQuality, weights: Weights) -> tuple[tuple[Bid, ...], ...]:
    """Draw plans and votes, and weigh them."""
    plans = draw_plans(world.success, world.deviates, quality, np.random.default_rng([*world.seed, FIRST]))
    return tuple(
        tuple(
            scoring.weigh(strategy, PRICES[agent], scores, weights)
            for agent in range(len(AGENTS))
            for strategy, scores in (as_bid(plans, task, agent),)
        )
        for task in range(len(world.bins))
    )


def open_market(world: PaperWorld, dev: PaperWorld, quality: JurorQuality) -> SimulatedMarket:
    """Choose the weights on the dev tasks, and draw the first bids of the others."""
    tried = first_bids(dev, quality, prior())
    best: tuple[float, float] = (-1.0, 0.0)
    chosen = prior()
    for factor in SCALES:
        weights = scaled(prior(), float(factor))
        won = [AGENTS.index(scoring.provisional_winner(reweighed(bids, weights)).agent) for bids in tried]
        found = float(dev.success[np.arange(len(won)), won].mean()), -float(np.array(PRICES)[won].mean())
        if found > best:
            best, chosen = found, weights
    return SimulatedMarket(world=world, first=first_bids(world, quality, chosen), weights=chosen, quality=quality)


def reweighed(bids: Sequence[Bid], weights: Weights) -> list[Bid]:
    """The same bids under other weights."""
    return [scoring.weigh(bid.strategy, bid.price, bid.scores, weights) for bid in bids]


def without_memory(market: SimulatedMarket) -> list[Award]:
    """The provisional winner of each task does it."""
    winners = [AGENTS.index(scoring.provisional_winner(bids).agent) for bids in market.first]
    success = market.world.success
    return [
        Award(agent=agent, success=float(success[task, agent]), refined=False, refiners=())
        for task, agent in enumerate(winners)
    ]


def refined_plans(market: SimulatedMarket, order: Ints, gain: float) -> tuple[PlanDraw, Floats]:
    """Every agent's refined plan for each task, were it asked for one, and what comes of the work that follows it.

    Args:
        market: The auctions.
        order: (T,) rows of the world.
        gain: By how many deviations work goes better after pairs of the very same task were shown.
    """
    world = market.world
    similar = world.vectors @ world.vectors.T
    likeness = np.zeros(len(order))
    for place, task in enumerate(order):
        past = np.sort(similar[task, order[:place]])[-K:]
        likeness[task] = float(np.maximum(past, 0.0).mean()) if len(past) else 0.0
    deviates = world.deviates - gain * likeness[:, None]
    success = (deviates < world.threshold).astype(np.float64)
    rng = np.random.default_rng([*world.seed, REFINED, int(order[0])])
    return draw_plans(success, deviates, market.quality, rng), success


def with_memory(market: SimulatedMarket, order: Ints, gain: float) -> list[Award]:
    """The whole auction over the tasks in an order, starting with an empty memory; awards in that order."""
    plans, success = refined_plans(market, order, gain)
    found: list[Award] = []
    for place, task in enumerate(map(int, order)):
        bids = market.first[task]
        leader = scoring.provisional_winner(bids)
        asked = scoring.may_refine(bids, leader) if place else ()
        tried: list[Bid] = []
        for bid in asked:
            strategy, scores = as_bid(plans, task, AGENTS.index(bid.agent), refined=True)
            tried.append(scoring.weigh(strategy, bid.price, scores, market.weights))
        winner = scoring.award(leader, tried)
        agent, refined = AGENTS.index(winner.agent), winner.strategy.refined
        came = success if refined else market.world.success
        names = tuple(bid.agent for bid in asked)
        found.append(Award(agent=agent, success=float(came[task, agent]), refined=refined, refiners=names))
    return found


def ablated(market: SimulatedMarket) -> Mapping[str, float]:
    """Share solved without memory, whole and with one thing taken out, by the bench's own ablations."""
    rows = {(FIRST_BIDS, str(task)): unpaid_auction(str(task), bids) for task, bids in enumerate(market.first)}
    routers: list[SaleRouter] = ablations(RecordedTasks(auctions=rows), market.weights)
    success: Floats = market.world.success
    found: dict[str, float] = {}
    for router in routers:
        won = [AGENTS.index(router.winner(router.auctions[str(task)]) or AGENTS[0]) for task in range(len(success))]
        found[router.name] = float(success[np.arange(len(won)), won].mean())
    return found
