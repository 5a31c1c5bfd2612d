"""The choices of given weights for a whole table at once: `scoring.weigh` and `scoring.rank` as arrays.

Not a second rule: tests hold it to the market's own, bid by bid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sale.auction.difficulty import logistic
from sale.auction.scoring import MAX_SCORE, success_rate
from sale.auction.success_model import track_feature
from sale.learning.dataset import MICRO, Floats, Ints, Table, observed_tracks
from sale.types import SuccessModel, Weights


@dataclass(frozen=True, kw_only=True, slots=True)
class BidPredictions:
    """The success, cost and difficulty that a success model expects of each bid."""

    chance: Floats
    """(T, N) P̂(success)."""
    works: Floats
    """(T, N) what the work is to cost, micro-dollars; infinite where there is no bid."""
    difficulty: Floats
    """(T,) spread of how much harder or easier a task is than it looks, for everybody, in log-odds."""

    def columns(self, worth: float) -> Ints:
        """(T,) who is awarded each task, if solving it is worth so many dollars."""
        return np.argmin(self.works - worth * MICRO * self.chance, axis=1).astype(np.intp)


def predict_bids(table: Table, model: SuccessModel) -> BidPredictions:
    """Return the model's expectations of every bid."""
    works = np.where(table.present, expected_works(table, model), np.inf)
    spread = np.full(len(table), model.difficulty)
    return BidPredictions(chance=chances(table, model), works=works, difficulty=spread)


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
    return logistic(odds)


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
