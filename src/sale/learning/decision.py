"""The choices of given weights for a whole table at once: `scoring.weigh` and `scoring.rank` as arrays.

Not a second rule: tests hold it to the market's own, bid by bid.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from scipy import special as scipy_special

from sale.auction.difficulty import logistic
from sale.auction.scoring import MAX_SCORE, success_rate
from sale.auction.success_model import bid_spread, shrinkage, track_feature
from sale.auction.value_of_information import GAIN_REACH, SILENT, gain_nodes
from sale.learning.dataset import MICRO, Bools, Floats, Ints, Table, observed_tracks
from sale.types import SuccessModel, Weights

_special: Any = scipy_special  # scipy is untyped


@dataclass(frozen=True, kw_only=True, slots=True)
class BidPredictions:
    """The success, cost and difficulty that a success model expects of each bid."""

    chance: Floats
    """(T, N) P̂(success)."""
    works: Floats
    """(T, N) what the work is to cost, micro-dollars; infinite where there is no bid."""
    difficulty: Floats
    """(T,) spread of how much harder or easier a task is than it looks, for everybody, in log-odds."""
    standing: Floats
    """(T, N) P̂(success) before any bid is made, by track records."""
    telling: Floats
    """(T, N) standard deviation of what a bid adds to its log-odds, as far as it was seen in training."""
    auction: Floats
    """(T,) what an auction is expected to cost, micro-dollars."""

    @classmethod
    def blank(cls, shape: tuple[int, int]) -> Self:
        """Nothing known of T tasks with N bids."""
        rows = {"difficulty", "auction"}
        return cls(**{one.name: np.full(shape[:1] if one.name in rows else shape, np.nan) for one in fields(cls)})

    def enter(self, rows: Bools, found: BidPredictions) -> None:
        """Write down what is known of some of the tasks."""
        for one in fields(self):
            getattr(self, one.name)[rows] = getattr(found, one.name)

    def take(self, rows: Ints | Bools) -> BidPredictions:
        """Some of the tasks."""
        return BidPredictions(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})

    def columns(self, worth: float) -> Ints:
        """(T,) who is awarded each task, if solving it is worth so many dollars."""
        return np.argmin(self.works - worth * MICRO * self.chance, axis=1).astype(np.intp)

    def pays(self, worth: float) -> Bools:
        """(T,) where an auction is expected to pay: `value_of_information.pays`."""
        value = worth * MICRO
        net = self.works - value * self.standing
        able = np.isfinite(net)
        deviation = np.where(able, value * self.standing * (1.0 - self.standing) * self.telling, 0.0)
        leader = net.argmin(axis=1)[:, None]
        behind = np.where(able, net - np.take_along_axis(net, leader, axis=1), 0.0)
        both = np.hypot(deviation, np.take_along_axis(deviation, leader, axis=1))
        z = np.divide(behind, both, out=np.full_like(behind, np.inf), where=able & (both > SILENT * behind))
        pairs = both * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi) - behind * _special.ndtr(-z)
        np.put_along_axis(pairs, leader, 0.0, axis=1)
        least, most = pairs.max(axis=1), pairs.sum(axis=1)
        found = least > self.auction
        open_ = ~found & (most > self.auction)
        if open_.any():
            far = np.where(able, behind, np.inf)[open_]
            found[open_] = _gains(far, deviation[open_]) > self.auction[open_]
        return found

    def without_auctions(self, rows: Bools) -> BidPredictions:
        """The predictions that awards go by, if some of the tasks are awarded without an auction.

        Args:
            rows: (T,) those.
        """
        return replace(self, chance=np.where(rows[:, None], self.standing, self.chance))


def _gains(behind: Floats, deviation: Floats) -> Floats:
    """(T,) `value_of_information.worth_of_bids` of tasks on which some bid may tell.

    Args:
        behind: (T, N) how far each net cost lies behind the best; infinite where there is no bid.
        deviation: (T, N)
    """
    tells = deviation > SILENT * deviation.max(axis=1, keepdims=True)
    low = (-behind - np.where(tells, GAIN_REACH * deviation, 0.0)).max(axis=1)
    high = np.maximum(low, np.where(tells, GAIN_REACH * deviation - behind, -np.inf).max(axis=1))
    half, middle = (high - low) / 2.0, (high + low) / 2.0
    places, weights = np.array(gain_nodes()).T
    at = (middle[:, None] + half[:, None] * places)[:, None, :]
    z = (at + behind[..., None]) / np.where(tells, deviation, 1.0)[..., None]
    below = np.where(tells[..., None], _special.ndtr(z), 1.0).prod(axis=1)
    return low + half * ((1.0 - below) @ weights)


def predict_bids(table: Table, model: SuccessModel) -> BidPredictions:
    """Return the model's expectations of every bid."""
    unplanned = replace(table, features=np.full_like(table.features, np.nan))
    telling = np.array([bid_spread(model, agent) for agent in table.agents])
    return BidPredictions(
        chance=chances(table, model),
        works=np.where(table.present, expected_works(table, model), np.inf),
        difficulty=np.full(len(table), model.difficulty),
        standing=chances(unplanned, model),
        telling=telling[table.author],
        auction=np.full(len(table), model.auction),
    )


def choose_bids(table: Table, weights: Weights) -> Ints:
    """(T,) the column of the bid with the smallest C − V; ties go to the cheaper agent, then by name."""
    return np.argmin(net_costs(table, weights), axis=1).astype(np.intp)


def net_costs(table: Table, weights: Weights) -> Floats:
    """(T, N) C − V; infinite where there is no bid."""
    model = weights.model
    if model is None:
        found = weights.cost * table.outlay - linear_values(table, weights)
        if weights.track != 0.0:
            for row, column, record in observed_tracks(table):
                found[row, column] -= weights.track * (success_rate(record) - 0.5)
    else:
        found = expected_works(table, model) - model.worth * chances(table, model)
    return np.where(table.present, found, np.inf)


def linear_values(table: Table, weights: Weights) -> Floats:
    """(T, N) V of equation 3, with the market's rule for entropy that is not known."""
    points = np.array([weights.jurors.get(juror, 0.0) for juror in table.jurors], np.float64)
    scored = ~np.isnan(table.scores)
    jury = np.where(scored, table.scores, 0.0) @ points
    ceiling = MAX_SCORE * (scored @ points)
    raised = np.divide(max(weights.entropy, 0.0), ceiling, out=np.zeros_like(ceiling), where=ceiling > 0)
    unknown = np.isnan(table.entropy)
    return np.where(unknown, jury * (1.0 + raised), weights.entropy * np.where(unknown, 0.0, table.entropy) + jury)


def chances(table: Table, model: SuccessModel) -> Floats:
    """(T, N) P̂(success) of every bid; of no use where there is none."""
    intercepts = np.array([model.intercepts.get(agent, model.newcomer) for agent in table.agents])
    odds = intercepts[table.author]
    known: Floats = np.array([model.coefficients.get(name, 0.0) for name in table.names])
    means: Floats = np.array([model.means.get(name, 0.0) for name in table.names])
    odds = odds + np.nan_to_num(table.features - means, nan=0.0) @ known
    if (weight := model.coefficients.get("track", 0.0)) != 0.0:
        odds += weight * np.nan_to_num(track_features(table, model) - model.means.get("track", 0.0), nan=0.0)
    shrunk = odds / np.array([shrinkage(bid_spread(model, agent)) for agent in table.agents])[table.author]
    return logistic(np.where(np.isnan(table.features).all(axis=-1), shrunk, odds))


def track_features(table: Table, model: SuccessModel) -> Floats:
    """(T, N) log-odds of track records; NaN where there is none."""
    found = np.full(table.author.shape, np.nan)
    rates: list[float] = [model.rates.get(agent, model.newcomer_rate) for agent in table.agents]
    for row, column, record in observed_tracks(table):
        found[row, column] = track_feature(record, rates[int(table.author[row, column])], model.prior_evidence)
    return found


def expected_works(table: Table, model: SuccessModel) -> Floats:
    """(T, N) what the work is expected to cost, micro-dollars."""
    known = np.array([model.work.get(agent, np.nan) for agent in table.agents])[table.author]
    found = np.where(np.isnan(known), table.price * model.newcomer_tokens, known)
    for row, column, record in observed_tracks(table):
        evidence = model.prior_evidence + record.costed
        found[row, column] = (model.prior_evidence * found[row, column] + record.spent) / evidence
    return found
