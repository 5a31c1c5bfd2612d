"""Synthetic pools whose truth is known: what each feature says of success, and what a juror is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sale.types import Bid, Entropy, Example, Score, Strategy, TrackRecord, Worked

PRICES: Mapping[str, float] = {"small": 0.05, "middle": 0.12, "large": 0.4}


@dataclass(frozen=True, kw_only=True)
class Pool:
    """How bids and outcomes come about. Log-odds of success = skill + `signal`, and bids show the signal."""

    prices: Mapping[str, float] = field(default_factory=lambda: dict(PRICES))
    skill: float = 0.5
    """Log-odds of the middle agent; the others are `spread` below and above."""
    spread: float = 0.7
    entropy: float = -1.0
    """Slope of entropy on the signal, in standard deviations: negative where the sure succeed."""
    shared: float = 0.5
    """Share of the signal that a task's bids have in common: how hard it is."""
    noise: float = 0.6
    """Of the useful juror, in points."""
    price_scale: float = 1.0


def auctions(count: int, pool: Pool | None = None, *, seed: int = 0, repeats: int = 1) -> list[Example]:
    """Recorded auctions with everybody's outcome known; jurors `good`, `random` and `constant`."""
    truth = pool or Pool()
    rng = np.random.default_rng(seed)
    found: list[Example] = []
    for number in range(count):
        common = rng.normal()
        bids: list[Bid] = []
        work: dict[str, Worked] = {}
        for place, (agent, price) in enumerate(truth.prices.items()):
            own = np.sqrt(truth.shared) * common + np.sqrt(1 - truth.shared) * rng.normal()
            odds = truth.skill + truth.spread * (place - (len(truth.prices) - 1) / 2) + 1.5 * own
            entropy = float(np.clip(0.5 + 0.1 * (truth.entropy * own + 0.5 * rng.normal()), 0.01, 0.99))
            points = {
                "good": float(np.clip(np.round(2.5 + 1.2 * own + truth.noise * rng.normal()), 0, 5)),
                "random": float(rng.integers(0, 6)),
                "constant": 4.0,
            }
            tokens = int(np.clip(np.exp(5 + 0.3 * rng.normal()), 20, 600))
            bids.append(bid(agent, price * truth.price_scale, tokens, entropy, points))
            spent = price * truth.price_scale * 3000 * np.exp(0.2 * rng.normal()) / 1e6
            work[agent] = Worked(success=bool(rng.random() < 1 / (1 + np.exp(-odds))), dollars=float(spent))
        winner = list(truth.prices)[int(rng.integers(len(truth.prices)))]
        found.append(
            Example(
                auction_id=f"auction {number}",
                task=f"task {number // repeats}",
                bids=tuple(bids),
                winner=winner,
                work=work,
                overhead=1e-6 * truth.price_scale,
            )
        )
    return found


def bid(
    agent: str,
    price: float = 1.0,
    tokens: int = 100,
    entropy: float | None = 0.5,
    points: Mapping[str, float] | None = None,
    track: TrackRecord | None = None,
) -> Bid:
    measured = None if entropy is None else Entropy(normalised=entropy, nats=3 * entropy, top_k=20, tokens=tokens)
    return Bid(
        strategy=Strategy(agent=agent, text="1. Do it.", tokens=tokens, entropy=measured),
        price=price,
        cost=0.0,
        value=0.0,
        scores=tuple(Score(juror=juror, bidder=agent, value=value) for juror, value in (points or {}).items()),
        track=track,
    )


def seen_by_market(examples: list[Example], *, propensity: float | None = None) -> list[Example]:
    """The same auctions as a market sees them: the winner's outcome alone; with propensities if given."""
    return [
        Example(
            auction_id=one.auction_id,
            task=one.task,
            bids=one.bids,
            winner=one.winner,
            work={one.winner: one.work[one.winner]},
            overhead=one.overhead,
            propensities={} if propensity is None else {bid.agent: propensity for bid in one.bids},
        )
        for one in examples
    ]
