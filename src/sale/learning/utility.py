"""Objective `utility`: a calibrated P̂(success | bid, agent), and what work costs (method, section 3).

Log-odds are an intercept per agent, drawn towards the pool's as far as the agents' spread and their few outcomes say,
plus the agent's track record, plus a sum over features of its bid. Which of these count is chosen by a lasso path;
those that are left are fitted again without it, so that what survives is not shrunk for having been selected. The
strength of the lasso is chosen by cross-validation in `sale.learning.fit`.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from scipy import optimize as scipy_optimize

from sale.auction.difficulty import SHARES, spread_by_difficulty
from sale.auction.success_model import TRACK, juror_feature, lead_feature
from sale.learning.dataset import MICRO, Bools, CompletedOutcomes, Floats, Table
from sale.learning.decision import chances
from sale.learning.intervals import standard_error
from sale.learning.logistic import fit_logistic, information, strongest_lasso
from sale.learning.objectives import BaseObjective, Setting, Trial, WeightCandidate
from sale.learning.samples import JudgedSample, blank_model, sample, some_bid_told, work_costs
from sale.types import SuccessModel, Weights

_optimize: Any = scipy_optimize  # scipy is untyped

STRENGTHS = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015, 0.0)
"""Lasso strengths tried, as shares of the smallest one under which no feature enters."""
FEATURE_RIDGE = 1.0
"""Of a feature in units of its standard deviation: a prior of one log-odd either way."""
BELIEF = 1.0
"""Prior of what all jurors of evidence add, in log-odds a standard deviation of their scores, with the same spread.

Two jurors of three ranked such bids with an area of 0.75 and 0.82 on dev tasks of docs/private-knowledge.md, which is
at least as much; the third, a model of 0.5B, told nothing. So each is believed until outcomes say otherwise (`EARNED`).
"""
EARNED = 1.0
"""A juror of evidence stays only if its coefficient lies so many of its standard deviations above 0."""
TRACK_SPREAD = 0.5
"""Prior spread of the track record's coefficient around 1."""
SPREAD = 1.0
"""Prior spread of agents' intercepts, in log-odds; counts as one agent when the spread is estimated."""
SPREAD_ROUNDS = 4
PRIOR_SPREAD = 1.0
"""Prior of the difficulty's own spread: half a normal distribution of this standard deviation."""
MAX_SPREAD = 4.0
MAX_OUTCOMES = 10_000
"""Judged executions that models on folds are fitted on, at most; the final one is fitted on all."""
MAX_TASKS = 1_000
"""The difficulty is estimated on so many tasks at most."""


@dataclass
class Utility(BaseObjective):
    """Success models of this module. What a solved task is worth prices them; they are fitted without it."""

    name: ClassVar[str] = "utility"
    tuned: ClassVar[tuple[str, ...]] = ("lasso",)
    knows_worth: ClassVar[bool] = True
    predicts: ClassVar[bool] = True

    lasso: float = 0.0
    """Strength of the lasso that chooses features, as a share of the one that lets none in."""

    @property
    def grid(self) -> tuple[Setting, ...]:
        """Every strength, the sparsest first."""
        return tuple((strength,) for strength in STRENGTHS)

    @property
    def cache_key(self) -> Hashable | None:
        """Models need no price to be fitted: they are fitted once for all prices."""
        return type(self)

    def fit(self, table: Table, outcomes: CompletedOutcomes, /) -> Self:
        """Fit a model."""
        (self.fitted,) = self.path(table, outcomes, ((self.lasso,),), seconds=0.0, final=True)
        return self

    def path(
        self,
        table: Table,
        outcomes: CompletedOutcomes,  # noqa: ARG002  models are fitted to what was observed
        settings: Sequence[Setting],
        *,
        seconds: float,  # noqa: ARG002  it is not timed
        final: bool,
    ) -> list[WeightCandidate]:
        """A model for each strength; on folds they are fitted on some outcomes where there are very many."""
        strengths = [strength for (strength,) in settings]
        models = success_models(table, strengths, most=None if final else MAX_OUTCOMES)
        blank = Weights(cost=1.0, entropy=0.0, jurors={}, source="fitted")
        return [WeightCandidate(weights=replace(blank, model=model)) for model in models]

    def pick(self, trial: Trial, among: Bools) -> int:
        """The sparsest model whose log-loss is within one standard error (of the paired difference) of the best."""
        losses = trial.log_loss[:, among]
        best = losses[int(np.argmin(losses.sum(axis=1)))]
        near = [
            float((loss - best).sum()) <= standard_error(loss - best, trial.group[among]) * losses.shape[1]
            for loss in losses
        ]
        return near.index(True)

    def notes(self, setting: Setting, table: Table) -> list[str]:  # noqa: ARG002  whichever was chosen
        """Return a note where folds were fitted on a part of the outcomes alone."""
        if int((table.known & table.present).sum()) > MAX_OUTCOMES:
            return [f"on folds at most {MAX_OUTCOMES} outcomes were used; the final fit used all"]
        return []


def success_models(table: Table, strengths: Sequence[float], *, most: int | None = None) -> list[SuccessModel]:
    """One model a lasso strength, with worth 1 micro-dollar: set the real one with `with_worth`.

    Args:
        table: At least one outcome known.
        strengths: In [0, 1], see `STRENGTHS`.
        most: Fit on about so many outcomes at most.
    """
    data = sample(table, most=most)
    believed = [juror for juror in table.finders if juror_feature(juror) in data.names]
    ridge, centre = _penalties(data, believed)
    start = fit_logistic(data.x, data.y, ridge, centre=centre, start=centre)
    ridge, start = _with_spread(data, ridge, centre, start)
    penalised = np.zeros(len(ridge), np.bool_)
    free = {TRACK, *map(juror_feature, believed)}
    penalised[data.features] = [name not in free for name in data.names]
    able = _without_idle(data, ridge, centre, start, believed, ~penalised)
    path = _fit_columns(data, ridge, centre, start, able & ~penalised)
    top = strongest_lasso(data.x, data.y, path, penalised)
    costs = _CostConstants(work=work_costs(table), auction=_auction_cost(table))
    models: dict[bytes, SuccessModel] = {}
    found: dict[float, SuccessModel] = {}
    for strength in sorted(set(strengths), reverse=True):
        kept = able
        if strength >= 1.0:
            kept = able & ~penalised  # there the first feature is just about to enter: whether it does is rounding
        elif strength > 0.0:
            lasso = np.where(penalised, strength * top, 0.0)
            path = _fit_columns(data, ridge, centre, path, able, lasso)
            kept = able & (~penalised | (path != 0.0))
        if (key := kept.tobytes()) not in models:
            models[key] = _as_model(data, _fit_columns(data, ridge, centre, start, kept), costs)
        found[strength] = models[key]
    spread = {id(model): replace(model, difficulty=difficulty(table, model)) for model in models.values()}
    return [spread[id(found[strength])] for strength in strengths]


def difficulty(table: Table, model: SuccessModel) -> float:
    """Estimate the spread of difficulty that all agents share, in log-odds, from tasks that several agents worked on.

    The most likely spread given the model's own chances and the prior.
    """
    known = table.present & table.known
    rows = np.flatnonzero(known.sum(axis=1) > 1)[:MAX_TASKS]
    return likeliest_spread(chances(table.take(rows), model), table.success[rows], known[rows])


def likeliest_spread(chance: Floats, good: Floats, known: Bools) -> float:
    """The spread of difficulty that makes outcomes most likely, under its prior; standard deviation in log-odds.

    Args:
        chance: (T, N) of success, with nothing known of the difficulty.
        good: (T, N) what came of it: 1 success, 0 failure, or the chance of success.
        known: (T, N) where that is known.
    """
    seen, right = known[..., None], good[..., None]

    def surprise(spread: float) -> float:
        each = spread_by_difficulty(chance, np.array(spread))
        came = np.where(seen, right * each + (1.0 - right) * (1.0 - each), 1.0).prod(axis=1)
        likely = np.maximum(came @ SHARES, np.finfo(np.float64).tiny)
        return float(-np.log(likely).sum()) + 0.5 * (spread / PRIOR_SPREAD) ** 2

    return float(_optimize.minimize_scalar(surprise, bounds=(0.0, MAX_SPREAD), method="bounded").x)


def _fit_columns(
    data: JudgedSample, ridge: Floats, centre: Floats, start: Floats, kept: Bools, lasso: Floats | None = None
) -> Floats:
    """Coefficients with some columns alone; 0 for the others."""
    at = np.zeros_like(start)
    sparse = None if lasso is None else lasso[kept]
    at[kept] = fit_logistic(data.x[:, kept], data.y, ridge[kept], centre=centre[kept], lasso=sparse, start=start[kept])
    return at


def _without_idle(
    data: JudgedSample, ridge: Floats, centre: Floats, start: Floats, believed: Collection[str], free: Bools
) -> Bools:
    """The columns less those of jurors of evidence that have not earned their place, leads included.

    The least certain goes first, and the others are looked at again without it. What the lasso may yet leave out takes
    no part: a lead says much of what its score does.

    Args:
        data: The outcomes.
        ridge: (D,)
        centre: (D,)
        start: (D,)
        believed: The jurors.
        free: (D,) columns that no lasso holds down.
    """
    columns = {name: 1 + place for place, name in enumerate(data.names)}
    able, rivals = np.ones(len(ridge), np.bool_), sorted(believed)
    while rivals:
        kept = able & free
        at = _fit_columns(data, ridge, centre, start, kept)
        posterior = np.linalg.inv((information(data.x, at) + np.diag(ridge))[np.ix_(kept, kept)])
        sure = np.zeros_like(ridge)
        sure[kept] = at[kept] / np.sqrt(np.diag(posterior))
        worst = min(rivals, key=lambda juror: float(sure[columns[juror_feature(juror)]]))
        if sure[columns[juror_feature(worst)]] > EARNED:
            break
        rivals.remove(worst)
        for name in {juror_feature(worst), lead_feature(worst)} & set(columns):
            able[columns[name]] = False
    return able


def _penalties(data: JudgedSample, believed: Collection[str]) -> tuple[Floats, Floats]:
    """The constant is held, lightly, to the pool's rate, so that all successes make no infinite odds."""
    width = data.x.shape[1]
    ridge = np.full(width, 1.0 / SPREAD**2)
    ridge[0] = 1.0
    ridge[data.features] = FEATURE_RIDGE
    centre = np.zeros(width)
    for juror in believed:
        centre[1 + data.names.index(juror_feature(juror))] = BELIEF / len(believed)
    if TRACK in data.names:
        # A track record is an estimate of success itself: until the data say otherwise it is believed as it is.
        place = data.names.index(TRACK)
        centre[1 + place] = data.spreads[place]
        ridge[1 + place] = 1.0 / (TRACK_SPREAD * data.spreads[place]) ** 2
    centre[0] = np.log(data.rate / (1.0 - data.rate))
    return ridge, centre


def _with_spread(data: JudgedSample, ridge: Floats, centre: Floats, start: Floats) -> tuple[Floats, Floats]:
    """The spread of agents' intercepts by expectation-maximisation, the prior counting as one agent."""
    own = slice(1 + len(data.names), data.x.shape[1])
    at = start
    for _ in range(SPREAD_ROUNDS):
        posterior = np.linalg.inv(information(data.x, at) + np.diag(ridge))
        variance = float((at[own] ** 2 + np.diag(posterior)[own]).sum() + SPREAD**2) / (len(data.agents) + 1)
        ridge = ridge.copy()
        ridge[own] = 1.0 / variance
        at = fit_logistic(data.x, data.y, ridge, centre=centre, start=at)
    return ridge, at


@dataclass(frozen=True, kw_only=True, slots=True)
class _CostConstants:
    """The parts of the costs that do not depend on the strength, in micro-dollars."""

    work: tuple[Floats, float]
    auction: float


def _auction_cost(table: Table) -> float:
    """Return the mean cost of an auction in micro-dollars, over those that were held."""
    held = some_bid_told(table)
    return float(table.overhead[held].mean()) * MICRO if held.any() else 0.0


def _spread(data: JudgedSample, at: Floats) -> dict[str, float]:
    """By agent, the standard deviation of what its bids add to its log-odds.

    An agent whose bids told nothing where others' did has none; one that was in no auction has the pool's.
    """
    own = np.array([name != TRACK for name in data.names], np.bool_)
    added = data.x[:, data.features][:, own] @ at[data.features][own]
    authors = data.x[:, 1 + len(data.names) :].argmax(axis=1)
    pool = float(added[data.told].std()) if data.told.any() else 0.0
    found: dict[str, float] = {}
    for place, agent in enumerate(data.agents):
        mine = authors == place
        part = added[mine & data.told]
        silent = int((mine & data.held).sum()) > 1 and len(part) == 0
        found[agent] = 0.0 if silent else float(part.std()) if len(part) > 1 else pool
    return found


def _as_model(data: JudgedSample, at: Floats, costs: _CostConstants) -> SuccessModel:
    """Coefficients back in the features' own units."""
    slopes = at[data.features] / data.spreads
    own = at[1 + len(data.names) :]
    blank = blank_model(data.agents, data.rates, data.rate)
    return replace(
        blank,
        intercepts={agent: float(at[0] + shift) for agent, shift in zip(data.agents, own, strict=True)},
        newcomer=float(at[0]),
        coefficients={name: float(b) for name, b in zip(data.names, slopes, strict=True) if b != 0.0},
        means={name: float(m) for name, m, b in zip(data.names, data.means, slopes, strict=True) if b != 0.0},
        work={agent: float(cost) for agent, cost in zip(data.agents, costs.work[0], strict=True)},
        newcomer_tokens=costs.work[1],
        auction=costs.auction,
        spread=_spread(data, at),
    )


def with_worth(model: SuccessModel, worth: float) -> SuccessModel:
    """The model with what a solved task is worth, in dollars."""
    return replace(model, worth=worth * MICRO)
