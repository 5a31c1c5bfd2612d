"""Objective `minmax`: the published min-max program, made well-posed and solved to a reported gap.

    min Q   such that for every task t some bid i has  Q ≥ c_ti − v·f_ti,   v ≥ 0,  Σ v = B

Costs c are in units of the mean plan, features f in [0, 1], w_c is the numeraire. Fixing Σ v stops Q from running off
to −∞, and w_c = 1 stops cost from being weighed at nothing.

The integer variables are needed: z_t is the smallest of N affine functions of v, so "Q ≥ z_t" is a disjunction, and the
program maximises a minimum of convex functions. Three things keep it small. A bid that another of its task beats at
every vertex of {v ≥ 0, Σ v = B} is beaten everywhere, as their difference is affine, and is dropped; a task left with
one bid needs no binary. Few tasks bind: they are added as they are violated, and each master program, a relaxation,
gives a lower bound that holds for all. And big M is not 10⁴: a row has to give way only by how far its bid can ever lie
above the best of its task, or above a bound on Q that is known already.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from scipy import optimize as scipy_optimize

from sale.learning.dataset import Bools, CompletedOutcomes, Floats, Ints, Table
from sale.learning.linear import scale
from sale.learning.objectives import BaseObjective, Setting, WeightCandidate

_optimize: Any = scipy_optimize  # scipy is untyped

BUDGETS = (0.5, 2.0, 8.0, 32.0, 128.0)
"""B tried: what full marks on everything are worth, in mean plans."""
TOLERANCE = 1e-6
ADDED = 8
"""Most tasks added to the master in a round."""
STARTS = 3
"""Corners of {v ≥ 0, Σ v = B}, its middle among them, that local search starts from: those with the lowest Q."""
POLISHES = 8
"""Most linear programs by which one incumbent is improved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SolverLimits:
    """When to stop short of the optimum. The gap then says what is left."""

    tolerance: float = TOLERANCE
    """Gap at which to stop."""
    nodes: int = 500
    """Branch-and-bound nodes of one master program: the same work on any machine."""
    rounds: int = 20
    """Master programs. With none there is local search alone, and no lower bound."""
    seconds: float = 10.0
    """A last resort: what is left undone depends on the machine then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MinMaxSolution:
    """Weights, and how far from the best they can be."""

    values: Floats
    """(K,) v."""
    worst: float
    """max_t z_t at `values`: an upper bound of Q."""
    bound: float
    """A lower bound of Q over all v."""
    tasks: tuple[int, ...]
    """Rows that were in the last master program."""

    @property
    def gap(self) -> float:
        """(upper − lower) bound, relative to the larger of |Q| and one mean plan."""
        return max(0.0, self.worst - self.bound) / max(1.0, abs(self.worst))


@dataclass
class MinMax(BaseObjective):
    """The program of this module. Outcomes do not enter it: they choose B."""

    name: ClassVar[str] = "minmax"
    tuned: ClassVar[tuple[str, ...]] = ("B",)
    timed: ClassVar[bool] = True

    budget: float = BUDGETS[2]
    """B."""

    @property
    def grid(self) -> tuple[Setting, ...]:
        """Every B tried, the smallest first: of what is equal it is taken."""
        return tuple((b,) for b in BUDGETS)

    def at(self, setting: Setting) -> Self:
        """With another B."""
        (budget,) = setting
        return replace(self, budget=budget)

    def fit(self, table: Table, outcomes: CompletedOutcomes, /) -> Self:
        """Solve the program, and seek a bound."""
        (self.fitted,) = self.path(table, outcomes, ((self.budget,),), seconds=SolverLimits().seconds, final=True)
        return self

    def path(
        self,
        table: Table,
        outcomes: CompletedOutcomes,  # noqa: ARG002  they choose B, see `pick`
        settings: Sequence[Setting],
        *,
        seconds: float,
        final: bool,
    ) -> list[WeightCandidate]:
        """One program for each B. On folds local search does; in the end the bound is sought."""
        scaled = scale(table)
        effort = SolverLimits(seconds=seconds / len(settings), rounds=SolverLimits().rounds if final else 0)
        found: list[WeightCandidate] = []
        for (budget,) in settings:
            solution = solve_minmax(scaled.costs, scaled.features, budget, effort)
            found.append(WeightCandidate(weights=scaled.weights(solution.values), gap=solution.gap if final else None))
        return found

    def notes(self, setting: Setting, table: Table) -> list[str]:  # noqa: ARG002  of B alone
        """Return a note where B is at an end of the range that was tried."""
        if setting in {self.grid[0], self.grid[-1]}:
            return [f"the best B tried, {setting[0]:g}, is at the end of the range"]
        return []


def solve_minmax(
    costs: Floats,
    features: Floats,
    budget: float,
    effort: SolverLimits | None = None,
    *,
    start: Sequence[int] = (),
) -> MinMaxSolution:
    """The program over all tasks, by adding those that bind.

    Args:
        costs: (T, N) in units of the mean plan; infinite where there is no bid.
        features: (T, N, K).
        budget: B, at least 0.
        effort: When to stop.
        start: Tasks to begin with, for example those that bound a similar program.
    """
    stop = effort or SolverLimits()
    until = time.monotonic() + stop.seconds
    width = features.shape[-1]
    if width == 0 or budget <= 0.0:
        values = np.zeros(width)
        worst = float(best_of(costs, features, values).max())
        return MinMaxSolution(values=values, worst=worst, bound=worst, tasks=())
    alive = undominated_bids(costs, features, budget)
    corners = budget * np.vstack([np.eye(width), np.full((1, width), 1.0 / width)])
    first = np.argsort([best_of(costs, features, corner).max() for corner in corners], kind="stable")[:STARTS]
    starts = [_polished(costs, features, corners[place], budget) for place in first]
    heights = np.array([best_of(costs, features, values) for values in starts])
    values, worst = starts[int(np.argmin(heights.max(axis=1)))], float(heights.max(axis=1).min())
    bound = -np.inf
    working = dict.fromkeys((*start, *(int(task) for task in heights.argmax(axis=1))))
    for _ in range(stop.rounds):
        rows = np.fromiter(working, np.intp)
        program = _Master.of(costs[rows], features[rows], alive[rows], budget, floor=bound)
        left = max(0.05, until - time.monotonic())
        found, lower = program.solve(replace(stop, tolerance=stop.tolerance / 2, seconds=left))
        bound = min(max(bound, lower), worst)
        found = _polished(costs, features, values if found is None else found, budget)
        height = best_of(costs, features, found)
        if height.max() < worst:
            values, worst = found, float(height.max())
        violated = [int(task) for task in np.argsort(-height)[:ADDED] if int(task) not in working]
        working |= dict.fromkeys(task for task in violated if height[task] > bound)
        done = worst - bound <= stop.tolerance * max(1.0, abs(worst)) or len(working) == len(rows)
        if done or time.monotonic() >= until:
            break
    return MinMaxSolution(values=values, worst=worst, bound=bound, tasks=tuple(working))


def best_of(costs: Floats, features: Floats, values: Floats) -> Floats:
    """(T,) z_t = min_i c_ti − v·f_ti."""
    return (costs - features @ values).min(axis=1)


def undominated_bids(costs: Floats, features: Floats, budget: float) -> Bools:
    """(T, N) bids that no other of their task beats at every v; of two that are equal everywhere the first stays."""
    at = costs[..., None] - budget * features  # (T, N, K): the score at each vertex
    alive = np.isfinite(costs)
    for one, other in itertools.permutations(range(costs.shape[1]), 2):
        here, there = at[:, one], at[:, other]
        beaten = (there <= here).all(axis=1) & ((there < here).any(axis=1) | (other < one))
        alive[:, one] &= ~(beaten & alive[:, other])
    return alive


def _polished(costs: Floats, features: Floats, values: Floats, budget: float) -> Floats:
    """Improve v by linear programs: settle the awards that v makes of the tasks that are worst at it, and repeat."""
    scores = costs - features @ values
    for _ in range(POLISHES):
        rows = np.argsort(-scores.min(axis=1))[: 8 * ADDED]
        tried, _q = _fixed(costs[rows], features[rows], scores[rows].argmin(axis=1), budget)
        after = costs - features @ tried
        if after.min(axis=1).max() >= scores.min(axis=1).max() - TOLERANCE:
            break
        values, scores = tried, after
    return values


def _fixed(costs: Floats, features: Floats, picked: Ints, budget: float) -> tuple[Floats, float]:
    """The linear program where it is settled which bid each task goes to: v and Q."""
    rows = np.arange(len(costs))
    width = features.shape[-1]
    found = _optimize.linprog(
        np.r_[np.zeros(width), 1.0],
        A_ub=np.column_stack([-features[rows, picked], -np.ones(len(rows))]),
        b_ub=-costs[rows, picked],
        A_eq=np.r_[np.ones(width), 0.0][None, :],
        b_eq=[budget],
        bounds=[(0.0, None)] * width + [(None, None)],
        method="highs",
    )
    return np.asarray(found.x[:-1], np.float64), float(found.fun)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Master:
    """The mixed-integer program over some tasks: columns are v, Q, then a binary for each bid that has rivals."""

    matrix: Floats
    """Rows Q + v·f − M·x ≥ c − M, then Σ x = 1 for each task."""
    lower: Floats
    upper: Floats
    width: int
    binaries: int
    budget: float

    @classmethod
    def of(cls, costs: Floats, features: Floats, alive: Bools, budget: float, *, floor: float) -> _Master:
        tasks, bids = np.nonzero(alive)
        width = features.shape[-1]
        choice = alive.sum(axis=1)[tasks] > 1
        binaries = int(choice.sum())
        column = np.cumsum(choice) - 1
        body = np.zeros((len(tasks), width + 1 + binaries))
        body[:, :width] = features[tasks, bids]
        body[:, width] = 1.0
        slack = np.where(choice, _big_ms(costs, features, alive, budget, floor)[tasks, bids], 0.0)
        body[np.flatnonzero(choice), width + 1 + column[choice]] = -slack[choice]
        several = np.flatnonzero(alive.sum(axis=1) > 1)
        picks = np.zeros((len(several), body.shape[1]))
        picks[np.searchsorted(several, tasks[choice]), width + 1 + column[choice]] = 1.0
        total = np.zeros((1, body.shape[1]))
        total[0, :width] = 1.0
        return cls(
            matrix=np.vstack([body, picks, total]),
            lower=np.r_[costs[tasks, bids] - slack, np.ones(len(several)), budget],
            upper=np.r_[np.full(len(tasks), np.inf), np.ones(len(several)), budget],
            width=width,
            binaries=binaries,
            budget=budget,
        )

    def solve(self, effort: SolverLimits) -> tuple[Floats | None, float]:
        """Values where any were found, and the lower bound on Q."""
        free = self.width + 1
        objective = np.zeros(free + self.binaries)
        objective[self.width] = 1.0
        found = _optimize.milp(
            objective,
            constraints=_optimize.LinearConstraint(self.matrix, self.lower, self.upper),
            integrality=np.r_[np.zeros(free), np.ones(self.binaries)],
            bounds=_optimize.Bounds(
                np.r_[np.zeros(self.width), -np.inf, np.zeros(self.binaries)],
                np.r_[np.full(self.width, self.budget), np.inf, np.ones(self.binaries)],
            ),
            options={
                "time_limit": effort.seconds,
                "mip_rel_gap": effort.tolerance,
                "node_limit": effort.nodes,
            },
        )
        bound = found.mip_dual_bound if self.binaries else found.fun
        values = None
        if found.x is not None:
            values = np.maximum(np.asarray(found.x[: self.width], np.float64), 0.0)
            values *= self.budget / values.sum()
        return values, float(bound) if bound is not None and np.isfinite(bound) else -np.inf


def _big_ms(costs: Floats, features: Floats, alive: Bools, budget: float, floor: float) -> Floats:
    """(T, N) the smallest M that is certainly large enough for each bid's row.

    At the optimum a row whose bid is not picked must hold with Q ≥ z_t = min_i', so M ≥ max over v and i' of their
    difference; both are affine in v, hence the largest difference is at a vertex. A known lower bound on Q does too.
    """
    at = np.where(alive[..., None], costs[..., None] - budget * features, np.inf)  # (T, N, K)
    own = np.where(alive[..., None], at, 0.0)
    difference = np.where(alive[:, None, :, None], own[:, :, None] - at[:, None], -np.inf).max(axis=(2, 3))
    return np.minimum(difference, own.max(axis=2) - floor) if np.isfinite(floor) else difference
