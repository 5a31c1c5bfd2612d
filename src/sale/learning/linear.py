"""Shared by `minmax` and `margin`: features of the linear score on one scale, and the way back to market weights.

Features are entropy and each juror's score. Each is brought to [0, 1] by its range in training; one that does not vary
cannot decide anything and is left out. Where the whole auction lacks a juror its mean stands in; where one bid lacks a
score it counts 0, as in the market, and where the juror had nothing to read in it, the middle of the juror's scale.
Where entropy is not known the market scales the jury up, which for equal jurors is as if H were the share of full
marks, so that is what stands in for it here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sale.auction.scoring import MAX_SCORE
from sale.auction.success_model import ENTROPY, juror_feature
from sale.learning.dataset import Bools, Floats, Table
from sale.types import Weights


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaledFeatures:
    """The linear score's features on one scale: K of them vary."""

    features: Floats
    """(T, N, K) in [0, 1], save for scores that are missing; 0 where there is no bid."""
    costs: Floats
    """(T, N) plan costs in units of `unit`; infinite where there is no bid."""
    unit: float
    """Micro-dollars: the mean cost of a plan in training; 1 where all is free."""
    ranges: Floats
    """(K,) of the features, in their own units."""
    names: tuple[str, ...]
    """(K,) as in `Table.names`: entropy, then jurors."""

    jurors: tuple[str, ...]
    """All of them, also those that do not vary."""

    @property
    def signed(self) -> Bools:
        """(K,) whose weight may be negative: entropy's, whose sign is learnt."""
        return np.array([name == ENTROPY for name in self.names], np.bool_)

    def weights(self, values: Floats, *, unit: float | None = None) -> Weights:
        """Market weights per micro-dollar, with w_c = 1.

        Args:
            values: (K,) what the whole range of each feature is worth.
            unit: Micro-dollars that a value of 1 stands for; that of the costs unless given.
        """
        per = values / self.ranges * (self.unit if unit is None else unit)
        named = {name: float(value) for name, value in zip(self.names, per, strict=True)}
        jurors = {juror: named.get(juror_feature(juror), 0.0) for juror in self.jurors}
        return Weights(cost=1.0, entropy=named.get(ENTROPY, 0.0), jurors=jurors, source="fitted")


def scale(table: Table) -> ScaledFeatures:
    """The table's features and costs on scales of its own."""
    raw = _filled(table)
    present = table.present
    lowest = np.where(present[..., None], raw, np.inf).min(axis=(0, 1))
    ranges = np.where(present[..., None], raw, -np.inf).max(axis=(0, 1)) - lowest
    varies = ranges > 1e-9
    features = np.where(present[..., None], (raw - lowest)[..., varies] / ranges[varies], 0.0)
    unit = float(table.outlay[present].mean()) or 1.0
    names = (ENTROPY, *(juror_feature(juror) for juror in table.jurors))
    return ScaledFeatures(
        features=features,
        costs=np.where(present, table.outlay / unit, np.inf),
        unit=unit,
        ranges=ranges[varies],
        names=tuple(name for name, kept in zip(names, varies, strict=True) if kept),
        jurors=table.jurors,
    )


def _filled(table: Table) -> Floats:
    """(T, N, 1 + J) entropy and scores with nothing missing."""
    scores = table.scores.copy()
    for juror in range(len(table.jurors)):
        column = scores[..., juror]
        absent = np.isnan(column).all(axis=1, keepdims=True)
        given = column[~np.isnan(column)]
        mean = float(given.mean()) if len(given) else 0.0
        scores[..., juror] = np.where(absent, mean, np.nan_to_num(column, nan=0.0))
    scored = ~np.isnan(table.scores)
    marks = np.nan_to_num(table.scores, nan=0.0).sum(axis=-1) / (MAX_SCORE * np.maximum(scored.sum(axis=-1), 1))
    entropy = np.where(np.isnan(table.entropy), marks, table.entropy)
    return np.concatenate([entropy[..., None], scores], axis=-1)
