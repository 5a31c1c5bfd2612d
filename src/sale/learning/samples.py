"""The judged executions of past auctions as a design matrix, with the rates and the costs of every agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sale.auction.success_model import TRACK
from sale.learning.dataset import MICRO, Bools, Floats, Table, agent_prices
from sale.learning.decision import track_features
from sale.learning.verdicts import PRIOR_TASKS
from sale.types import SuccessModel


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedSample:
    """The judged executions of a table: n outcomes."""

    x: Floats
    """(n, 1 + F' + A): the constant, F' standardised features, one column an agent."""
    y: Floats
    names: tuple[str, ...]
    """(F',) features that vary."""
    means: Floats
    spreads: Floats
    agents: tuple[str, ...]
    rates: Floats
    """(A,) shrunk share of successes."""
    rate: float
    """The pool's."""
    told: Bools
    """(n,) executions whose agent's bid told anything, a plan or what a juror read: only they tell how bids differ."""
    held: Bools
    """(n,) executions after an auction in which some bid did."""

    @property
    def features(self) -> slice:
        """Where the features' columns are."""
        return slice(1, 1 + len(self.names))


def work_costs(table: Table) -> tuple[Floats, float]:
    """(A,) what the work of each agent costs on average, micro-dollars, and the pool's tokens per task.

    An agent's mean is drawn towards its price times the pool's tokens: those are its cost where nothing is known.
    """
    prices = agent_prices(table)
    seen = table.present & ~np.isnan(table.dollars)
    author, micro = table.author[seen], table.dollars[seen] * MICRO
    at = table.price[seen]
    tokens = float(np.mean(micro[at > 0] / at[at > 0])) if (at > 0).any() else 0.0
    total = np.bincount(author, weights=micro, minlength=len(prices))
    count = np.bincount(author, minlength=len(prices))
    return (total + PRIOR_TASKS * prices * tokens) / (count + PRIOR_TASKS), tokens


def rate_posteriors(table: Table) -> tuple[Floats, Floats]:
    """(A,) and (A,) what each agent's share of successes is taken for: a Beta distribution with these parameters.

    Its own outcomes, and `PRIOR_TASKS` more at the pool's rate.
    """
    known = table.present & table.known
    author, success = table.author[known], table.success[known]
    rate = _pool_rate(success)
    good: Floats = np.bincount(author, weights=success, minlength=len(table.agents)).astype(np.float64)
    count: Floats = np.bincount(author, minlength=len(table.agents)).astype(np.float64)
    return good + PRIOR_TASKS * rate, count - good + PRIOR_TASKS * (1.0 - rate)


def _pool_rate(success: Floats) -> float:
    return float((success.sum() + 0.5) / (len(success) + 1.0))


def _shrunk_rates(table: Table) -> tuple[Floats, float]:
    good, bad = rate_posteriors(table)
    return good / (good + bad), _pool_rate(table.success[table.present & table.known])


def sample(table: Table, *, most: int | None = None, seed: int = 0) -> JudgedSample:
    """The judged executions as a design matrix; of at most `most` outcomes, whole tasks drawn by `seed`."""
    rates, rate = _shrunk_rates(table)
    held = _some_tasks(table, most, seed)
    known = held.present & held.known
    blank = blank_model(held.agents, rates, rate)
    wide = np.concatenate([held.features, track_features(held, blank)[..., None]], axis=-1)[known]
    names = (*held.names, TRACK)
    filled = ~np.isnan(wide)
    count = np.maximum(filled.sum(axis=0), 1)
    means = np.where(filled, wide, 0.0).sum(axis=0) / count
    centred = np.where(filled, wide - means, 0.0)
    spreads = np.sqrt((centred**2).sum(axis=0) / max(1, len(wide)))
    varies = spreads > 1e-9 * (1.0 + np.abs(means))
    agents = np.zeros((len(wide), len(held.agents)))
    agents[np.arange(len(wide)), held.author[known]] = 1.0
    return JudgedSample(
        x=np.hstack([np.ones((len(wide), 1)), centred[:, varies] / spreads[varies], agents]),
        y=held.success[known],
        names=tuple(name for name, kept in zip(names, varies, strict=True) if kept),
        means=means[varies],
        spreads=spreads[varies],
        agents=held.agents,
        rates=rates,
        rate=rate,
        told=filled[:, : len(held.names)].sum(axis=1) > 0,
        held=np.broadcast_to(some_bid_told(held)[:, None], known.shape)[known],
    )


def _some_tasks(table: Table, most: int | None, seed: int) -> Table:
    outcomes = int((table.present & table.known).sum())
    if most is None or outcomes <= most:
        return table
    draw = np.random.default_rng(seed).permutation(int(table.group.max()) + 1)
    return table.take(draw[table.group] < len(draw) * most / outcomes)


def some_bid_told(table: Table) -> Bools:
    """(T,) auctions in which some bid told anything."""
    return (~np.isnan(table.features)).sum(axis=(1, 2)) > 0


def blank_model(agents: Sequence[str], rates: Floats, rate: float) -> SuccessModel:
    """A model that knows the agents' rates and weighs nothing."""
    return SuccessModel(
        worth=1.0,
        intercepts={},
        newcomer=0.0,
        rates={agent: float(own) for agent, own in zip(agents, rates, strict=True)},
        newcomer_rate=rate,
        coefficients={},
        means={},
        work={},
        newcomer_tokens=0.0,
        prior_evidence=PRIOR_TASKS,
    )
