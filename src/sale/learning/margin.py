"""Objective `margin`: the best agent must beat every other by what awarding the other would lose; a linear program.

    ℓ_ti = [i fails] + work_ti / worth              what awarding task t to bid i loses
    s_ti = v·f_ti − u·e_ti                          its score; e is plan cost brought to the scale of work / worth
    ξ_t  = max_i (ℓ_ti − ℓ_tb) + (s_ti − s_tb)      slack against the best bid b = argmin ℓ; at least 0, for i = b
    min    CVaR_α(ξ) + ρ (|u − 1| + Σ p_k |v_k|)    v_j ≥ 0, v_h of either sign, u ≥ u_min

CVaR_α is the mean of the worst 1 − α of the slacks: α = 0 the mean, α = 1 the worst case. The prior is the loss itself
with plan cost for work and nothing known of success: u = 1, v = 0. The L1 distance from it bounds the program and lets
a useless juror fall to exactly nothing; u_min keeps cost from being weighed at nothing. It is solved twice: once with
p = 1, then with p_k in inverse proportion to what came out, so that small weights, which are mostly noise, are pressed
harder than large ones (the adaptive lasso).

Small programs are given to HiGHS whole. Large ones are solved by cutting planes, which is as exact: the CVaR is convex
in K + 1 weights, each cut is one row over all tasks, and lower and upper bound meet at a stated gap.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from scipy import optimize as scipy_optimize
from scipy import sparse as scipy_sparse

from sale.errors import InputError
from sale.learning.dataset import MICRO, Bools, CompletedOutcomes, Floats, Table
from sale.learning.intervals import standard_error
from sale.learning.linear import scale
from sale.learning.objectives import BaseObjective, Setting, Trial, WeightCandidate

_optimize: Any = scipy_optimize  # scipy is untyped
_sparse: Any = scipy_sparse

STRENGTHS = (0.3, 0.1, 0.03, 0.01, 0.005, 0.002)
"""ρ tried, strongest first."""
TRADES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Factors that values are multiplied by against cost, chosen on folds. Where outcomes are noisy a program of margins
finds the direction of the weights but shrinks their length, and with it what a success is worth."""
SECONDS = 20.0
"""Seconds that one fit may take, unless told otherwise."""
MIN_COST_WEIGHT = 0.1
HARDEST = 30.0
"""Most that p_k can be."""
TOLERANCE = 1e-3
WHOLE_ROWS = 1_500
"""Programs of at most so many rows are solved whole."""
CUTS = 400
"""Most cutting planes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MarginData:
    """The program's data: slack of task t is max_i gap_ti + differences_ti·w, with w = (u, v)."""

    gap: Floats
    """(T, N) ℓ_ti − ℓ_tb; −∞ where there is no bid."""
    differences: Floats
    """(T, N, 1 + K) of −e and f against the best bid's."""
    signed: Bools
    """(1 + K,) weights that may be negative."""

    @property
    def prior(self) -> Floats:
        """(1 + K,) u = 1, v = 0."""
        return np.eye(1, len(self.signed))[0]

    @property
    def lowest(self) -> Floats:
        """(1 + K,) lower bounds of the weights."""
        return np.where(self.signed, -np.inf, np.r_[MIN_COST_WEIGHT, np.zeros(len(self.signed) - 1)])


@dataclass(frozen=True, kw_only=True, slots=True)
class MarginSolution:
    """Weights, and how far from the best they can be."""

    values: Floats
    """(1 + K,) u, then v."""
    objective: float
    bound: float
    """A lower bound of the objective."""

    @property
    def gap(self) -> float:
        """Relative to the larger of the objective and the tolerance."""
        return max(0.0, self.objective - self.bound) / max(abs(self.objective), TOLERANCE)


@dataclass
class Margin(BaseObjective):
    """The program of this module."""

    name: ClassVar[str] = "margin"
    tuned: ClassVar[tuple[str, ...]] = ("rho", "trade")
    knows_worth: ClassVar[bool] = True
    timed: ClassVar[bool] = True

    alpha: float = 0.5
    """Of CVaR, in [0, 1]: 0 the mean slack, 1 the worst."""
    worth: float | None = None
    """Dollars that a solved task is worth: the program weighs cost by it."""
    rho: float = STRENGTHS[0]
    trade: float = TRADES[0]

    def __post_init__(self) -> None:
        if not 0.0 <= self.alpha <= 1.0:
            raise InputError(f"alpha must lie in [0, 1], got {self.alpha!r}")

    @property
    def grid(self) -> tuple[Setting, ...]:
        """Every strength with every trade."""
        return tuple((rho, trade) for rho in STRENGTHS for trade in TRADES)

    @property
    def parameters(self) -> Mapping[str, float | str]:
        """α, and λ of the method."""
        return {"alpha": self.alpha, "lambda": 1.0 / self._worth}

    def with_worth(self, dollars: float) -> Self:
        """With a program that weighs cost by it."""
        return replace(self, worth=dollars)

    def fit(self, table: Table, outcomes: CompletedOutcomes, /) -> Self:
        """Solve the program."""
        (self.fitted,) = self.path(table, outcomes, ((self.rho, self.trade),), seconds=SECONDS, final=True)
        return self

    def path(
        self,
        table: Table,
        outcomes: CompletedOutcomes,
        settings: Sequence[Setting],
        *,
        seconds: float,
        final: bool,  # noqa: ARG002  the same trouble is taken
    ) -> list[WeightCandidate]:
        """The program for each strength once; a trade only rescales its solution."""
        scaled, worth = scale(table), self._worth
        losses = np.where(table.present, 1.0 - outcomes.success + outcomes.dollars / worth, np.inf)
        spent, planned = float(outcomes.dollars.sum()), float(table.outlay.sum()) / MICRO
        ratio = spent / planned if planned > 0 and spent > 0 else 1.0
        plan_costs = table.outlay / MICRO * ratio / worth
        data = margins(losses, plan_costs, scaled.features, scaled.signed)
        strengths = tuple(dict.fromkeys(rho for rho, _ in settings))
        solutions = solve_margin(data, self.alpha, strengths, seconds=seconds / len(strengths))
        by_strength = dict(zip(strengths, solutions, strict=True))
        found: list[WeightCandidate] = []
        for rho, trade in settings:
            solution = by_strength[rho]
            # With w_c = 1 a score of 1 is worth · plan per work, over u, in micro-dollars.
            unit = trade * worth * MICRO / ratio / float(solution.values[0])
            found.append(WeightCandidate(weights=scaled.weights(solution.values[1:], unit=unit), gap=solution.gap))
        return found

    def pick(self, trial: Trial, among: Bools) -> int:
        """The best trade for each strength; then the strongest that is within half a standard error of the best.

        Half, and of the paired difference: a whole one would give real success away for a sparser jury.
        """
        losses = (1.0 - trial.success + trial.dollars / self._worth)[:, among]
        group = trial.group[among]
        mean = losses.mean(axis=1).reshape(len(STRENGTHS), len(TRADES))
        places = np.arange(len(mean)) * len(TRADES) + mean.argmin(axis=1)
        best = losses[int(losses.mean(axis=1).argmin())]
        near = [float((losses[at] - best).mean()) <= 0.5 * standard_error(losses[at] - best, group) for at in places]
        return int(places[near.index(True)])

    @property
    def _worth(self) -> float:
        if self.worth is None:
            raise ValueError("margin needs to know what a solved task is worth")
        return self.worth


def margins(losses: Floats, plan_costs: Floats, features: Floats, signed: Bools) -> MarginData:
    """Differences against each task's best bid.

    Args:
        losses: (T, N) ℓ; infinite where there is no bid. Of equal ones the first, cheaper bid is the best.
        plan_costs: (T, N) e; anything where there is no bid.
        features: (T, N, K).
        signed: (K,) whose weight may be negative.
    """
    rows, best = np.arange(len(losses)), losses.argmin(axis=1)
    present = np.isfinite(losses)
    wide = np.concatenate([-np.where(present, plan_costs, 0.0)[..., None], features], axis=-1)
    gap = np.where(present, losses - losses[rows, best][:, None], -np.inf)
    differences = np.where(present[..., None], wide - wide[rows, best][:, None], 0.0)
    return MarginData(gap=gap, differences=differences, signed=np.r_[False, signed])


def solve_margin(
    data: MarginData, alpha: float, strengths: Sequence[float], *, seconds: float = 10.0
) -> list[MarginSolution]:
    """One solution a strength; cuts found for one serve the others.

    Args:
        data: The program.
        alpha: In [0, 1].
        strengths: ρ, above 0.
        seconds: When to stop, for each; the gap then says what is left.
    """
    active = int(np.isfinite(data.gap).sum()) - len(data.gap)
    cuts = None if active <= WHOLE_ROWS else Cuts.empty(len(data.signed))
    found: list[MarginSolution] = []
    for strength in strengths:
        even = np.full(len(data.signed), strength)
        first, cuts = _solve(data, alpha, even, cuts, seconds / 2)
        second, cuts = _solve(data, alpha, strength * pressures(first.values), cuts, seconds / 2)
        found.append(second)
    return found


def _solve(
    data: MarginData, alpha: float, strength: Floats, cuts: Cuts | None, seconds: float
) -> tuple[MarginSolution, Cuts | None]:
    return (
        (solve_whole(data, alpha, strength), None)
        if cuts is None
        else solve_by_cuts(data, alpha, strength, cuts, seconds)
    )


def pressures(values: Floats) -> Floats:
    """(1 + K,) p: 1 for u and for a v of mean size, more for smaller ones."""
    sizes = np.abs(values[1:])
    mean = float(sizes.mean()) if len(sizes) else 0.0
    relative = mean / np.maximum(sizes, mean / HARDEST) if mean > 0.0 else np.ones_like(sizes)
    return np.r_[1.0, relative]


def objective(data: MarginData, alpha: float, strength: Floats, values: Floats) -> float:
    """CVaR of the slacks and the distance from the prior, each weight's by its strength."""
    return _cvar_cut(data, alpha, values)[0] + float(strength @ np.abs(values - data.prior))


def _cvar_cut(data: MarginData, alpha: float, values: Floats) -> tuple[float, Floats]:
    """CVaR_α at some weights, and a subgradient."""
    scores = data.gap + data.differences @ values
    worst = scores.argmax(axis=1)
    rows = np.arange(len(scores))
    slack = scores[rows, worst]
    share = tail_weights(slack, alpha)
    return float(share @ slack), share @ data.differences[rows, worst]


def tail_weights(slack: Floats, alpha: float) -> Floats:
    """(T,) how much each slack counts in CVaR_α: the worst 1 − α of them, the one at the boundary in part."""
    order = np.argsort(-slack, kind="stable")
    tail = max((1.0 - alpha) * len(slack), 1e-9)
    share = np.zeros_like(slack)
    share[order] = np.clip(tail - np.arange(len(slack)), 0.0, 1.0)
    return share / share.sum()


# --- the whole program -----------------------------------------------------------------------------------------------


def solve_whole(data: MarginData, alpha: float, strength: Floats) -> MarginSolution:
    """The linear program with a row for each bid that is not the best.

    Columns: w (D), |w − prior| (D), η, then an excess over η for each task. For α = 1 the excess is not allowed.
    """
    width, count = len(data.signed), len(data.gap)
    tasks, bids = np.nonzero(np.isfinite(data.gap))
    rows = len(tasks)
    with_excess = alpha < 1.0
    blocks = [
        [
            _sparse.csr_array(data.differences[tasks, bids]),
            _sparse.csr_array((rows, width)),
            _sparse.csr_array(
                (-np.ones(2 * rows), (np.tile(np.arange(rows), 2), np.r_[np.zeros(rows, np.intp), 1 + tasks])),
                shape=(rows, 1 + count),
            ),
        ],
        *_distance_rows(width, 1 + count),
    ]
    prior = data.prior
    each = 1.0 / ((1.0 - alpha) * count) if with_excess else 0.0
    found = _optimize.linprog(
        np.r_[np.zeros(width), strength, 1.0, np.full(count, each)],
        A_ub=_sparse.block_array(blocks, format="csr"),
        b_ub=np.r_[-data.gap[tasks, bids], prior, -prior],
        bounds=[
            *((low if np.isfinite(low) else None, None) for low in data.lowest),
            *[(0.0, None)] * (width + 1),
            *[(0.0, None if with_excess else 0.0)] * count,
        ],
        method="highs",
    )
    values = np.asarray(found.x[:width], np.float64)
    return MarginSolution(values=values, objective=objective(data, alpha, strength, values), bound=float(found.fun))


def _distance_rows(width: int, others: int) -> list[list[Any]]:
    """Rows w − a ≤ prior and −w − a ≤ −prior: a is at least |w − prior|."""
    one, rest = _sparse.eye_array(width), _sparse.csr_array((width, others))
    return [[one, -one, rest], [-one, -one, rest]]


# --- cutting planes --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Cuts:
    """CVaR ≥ offsets + slopes·w, row by row."""

    offsets: Floats
    slopes: Floats

    @classmethod
    def empty(cls, width: int) -> Cuts:
        """CVaR ≥ 0: the best bid has no slack against itself."""
        return cls(offsets=np.zeros(1), slopes=np.zeros((1, width)))

    def with_cut(self, values: Floats, height: float, slope: Floats) -> Cuts:
        """One more, tangent at some weights."""
        return Cuts(offsets=np.r_[self.offsets, height - slope @ values], slopes=np.vstack([self.slopes, slope]))


def solve_by_cuts(
    data: MarginData, alpha: float, strength: Floats, cuts: Cuts, seconds: float
) -> tuple[MarginSolution, Cuts]:
    """Kelley's method; cuts are taken halfway between the best point and the master's too, which stops zigzagging."""
    until = time.monotonic() + seconds
    best = data.prior
    height, slope = _cvar_cut(data, alpha, best)
    top, cuts = height, cuts.with_cut(best, height, slope)
    while True:
        corner, bound = _master(data, cuts, strength)
        solution = MarginSolution(values=best, objective=top, bound=min(bound, top))
        if solution.gap <= TOLERANCE or len(cuts.offsets) > CUTS or time.monotonic() >= until:
            return solution, cuts
        for point in (0.5 * (best + corner), corner):
            height, slope = _cvar_cut(data, alpha, point)
            cuts = cuts.with_cut(point, height, slope)
            if (total := height + float(strength @ np.abs(point - data.prior))) < top:
                best, top = point, total


def _master(data: MarginData, cuts: Cuts, strength: Floats) -> tuple[Floats, float]:
    """The lowest point under the cuts, and its height: columns w, |w − prior|, CVaR."""
    width = len(data.signed)
    one, nothing = np.eye(width), np.zeros((width, 1))
    rows = len(cuts.offsets)
    found = _optimize.linprog(
        np.r_[np.zeros(width), strength, 1.0],
        A_ub=np.block(
            [[cuts.slopes, np.zeros((rows, width)), -np.ones((rows, 1))], [one, -one, nothing], [-one, -one, nothing]]
        ),
        b_ub=np.r_[-cuts.offsets, data.prior, -data.prior],
        bounds=[*((low if np.isfinite(low) else None, None) for low in data.lowest), *[(0.0, None)] * (width + 1)],
        method="highs",
    )
    return np.asarray(found.x[:width], np.float64), float(found.fun)
