"""The arithmetic of a cascade: who is called, whose answer counts, what it costs, and the best thresholds in a budget.

Pure functions over arrays. Source: FrugalGPT (Chen, Zaharia and Zou 2023, arXiv 2305.05176) and its published code
(github.com/stanford-futuredata/FrugalGPT, Apache-2.0): an answer is accepted where its score is above the stage's
threshold; thresholds are quantiles, each over the tasks that reach the stage, for shares sent on that do not decrease
along the chain; a grid of 40 shares for each stage, then a simplex search from its best point.

Adapted: chains of one to three agents (theirs have one length), so that one agent alone is always among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from scipy import optimize

from sale.bench.routers.protocol import Bools, Floats, Ints

# The function is annotated nowhere; its result is turned into an array below.
_fmin: Any = vars(optimize)["fmin"]

STEPS = 40
EDGE = 1e-5
TOO_DEAR = 1e4
DEPTH = 3
Accepted = dict[tuple[tuple[int, ...], tuple[float, ...]], Bools]
"""By the agents called so far and the shares sent on before the last of them: which answers pass at which share."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """Agents in the order they are called, and the scores their answers must exceed."""

    agents: tuple[int, ...]
    thresholds: tuple[float, ...]
    """One fewer than agents: the last answer is always accepted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainOutcome:
    """The result of a chain on T tasks."""

    chosen: Ints
    """(T,): the agent whose answer is accepted."""
    called: Bools
    """(T, A): every agent that was called on the way; all of them are paid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainPoint:
    """A chain with shares to send on, and what it does on the tasks it was tried on."""

    agents: tuple[int, ...]
    shares: tuple[float, ...]
    success: float
    dollars: float
    """A task, over all agents called."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trials:
    """The data thresholds are tuned on: T tasks by A agents, scores of answers the scorer was not fitted on."""

    scores: Floats
    success: Floats
    dollars: Floats

    def of(self, agents: tuple[int, ...], shares: tuple[float, ...]) -> ChainPoint:
        """Return the result of a chain here."""
        done = follow(thresholds_of(agents, shares, self.scores), self.scores.shape, self._score)
        rows = np.arange(len(self.scores))
        return ChainPoint(
            agents=agents,
            shares=shares,
            success=float(self.success[rows, done.chosen].mean()),
            dollars=float((self.dollars * done.called).sum(axis=1).mean()),
        )

    def _score(self, agent: int, rows: Ints) -> Floats:
        return self.scores[rows, agent]


def follow(chain: Chain, shape: tuple[int, ...], score: Callable[[int, Ints], Floats]) -> ChainOutcome:
    """Call one agent after the other until an answer's score exceeds its threshold.

    Args:
        chain: Whom to call.
        shape: (T, A).
        score: Given an agent and the rows it was called for, the scores of its answers there. It is asked about no
            other answer.
    """
    total = shape[0]
    chosen = np.full(total, chain.agents[-1], dtype=np.intp)
    called = np.zeros((total, shape[1]), dtype=np.bool_)
    going = np.arange(total)
    for agent, threshold in zip(chain.agents[:-1], chain.thresholds, strict=True):
        called[going, agent] = True
        accepted = score(agent, going) > threshold
        chosen[going[accepted]] = agent
        going = going[~accepted]
    called[going, chain.agents[-1]] = True
    return ChainOutcome(chosen=chosen, called=called)


def thresholds_of(agents: tuple[int, ...], shares: tuple[float, ...], scores: Floats) -> Chain:
    """The chain that sends on about `shares` of the tasks that reach each of its stages, by these scores."""
    going = np.arange(len(scores))
    thresholds: list[float] = []
    for agent, share in zip(agents[:-1], shares, strict=True):
        reached = scores[going, agent]
        # Where nothing reaches a stage in training, any score will do there.
        threshold = float(np.quantile(reached, min(max(share, 0.0), 1.0))) if len(reached) else 0.0
        thresholds.append(threshold)
        going = going[reached <= threshold]
    return Chain(agents=agents, thresholds=tuple(thresholds))


def grid(trials: Trials, agents: tuple[int, ...]) -> list[ChainPoint]:
    """The best of every chain of at most three of these agents, in every order, with every grid of shares, by budget.

    The more successful are better, where equal the cheaper, then the shorter. The best comes first; after it come those
    that are cheaper than all better ones: no other can be the best that some budget buys.
    """
    steps = np.linspace(EDGE, 1 - EDGE, STEPS)
    accepted: Accepted = {}
    blocks = [
        block
        for depth in range(1, min(DEPTH, len(agents)) + 1)
        for chain in permutations(agents, depth)
        for block in _ChainSearch(trials, chain, steps, accepted).blocks()
    ]
    success = np.concatenate([block.success for block in blocks]) / len(trials.scores)
    dollars = np.concatenate([block.dollars for block in blocks]) / len(trials.scores)
    sizes = [len(block.success) for block in blocks]
    length = np.repeat([len(block.agents) for block in blocks], sizes)
    order = np.lexsort((length, dollars, -success))
    cheaper = dollars[order] < np.minimum.accumulate(np.r_[np.inf, dollars[order][:-1]])
    starts = np.cumsum([0, *sizes])
    found: list[ChainPoint] = []
    places: list[int] = order[cheaper].tolist()
    for place in places:
        number = int(np.searchsorted(starts, place, side="right")) - 1
        block, row = blocks[number], place - int(starts[number])
        shares = (*block.shares, float(steps[block.first + row])) if len(block.agents) > 1 else ()
        point = ChainPoint(
            agents=block.agents, shares=shares, success=float(success[place]), dollars=float(dollars[place])
        )
        found.append(point)
    return found


def best(points: list[ChainPoint], trials: Trials, budget: float) -> Chain:
    """The first of these points (see `grid`) whose mean dollars stay in the budget, its shares searched further.

    Where none does, the cheapest of all.
    """
    found = next((point for point in points if point.dollars <= budget), None)
    if found is None:
        cheapest = min(points, key=lambda point: (point.dollars, len(point.agents)))
        return thresholds_of(cheapest.agents, cheapest.shares, trials.scores)
    return thresholds_of(found.agents, _polished(found, trials, budget), trials.scores)


def _polished(start: ChainPoint, trials: Trials, budget: float) -> tuple[float, ...]:
    if not start.shares:
        return ()

    def loss(shares: Floats) -> float:
        if np.any(np.diff(shares) < 0):
            return TOO_DEAR
        point = trials.of(start.agents, tuple(float(share) for share in shares))
        return TOO_DEAR if point.dollars > budget else -point.success

    shares = np.asarray(_fmin(loss, np.array(start.shares), disp=False), dtype=np.float64)
    return tuple(float(share) for share in shares) if loss(shares) < -start.success else start.shares


@dataclass(frozen=True, kw_only=True, slots=True)
class _ChainBlock:
    """A chain whose last share takes every value of the grid from some place on, or that has none."""

    agents: tuple[int, ...]
    shares: tuple[float, ...]
    """All but the last one."""
    first: int
    success: Floats
    """Summed over tasks."""
    dollars: Floats


@dataclass(frozen=True, slots=True)
class _ChainSearch:
    """All points of one chain: at each stage one more share, over the tasks the earlier ones sent on."""

    trials: Trials
    agents: tuple[int, ...]
    steps: Floats
    accepted: Accepted
    """Shared among chains: many begin alike."""

    def blocks(self) -> Iterator[_ChainBlock]:
        every = np.arange(len(self.trials.scores))
        if len(self.agents) == 1:
            right, cost = self._each(0, every)
            yield self._block(0, (), np.array([right.sum()]), np.array([cost.sum()]))
        else:
            yield from self._stage(0, every, 0, (0.0, 0.0), ())

    def _stage(
        self, depth: int, going: Ints, first: int, sums: tuple[float, float], shares: tuple[float, ...]
    ) -> Iterator[_ChainBlock]:
        """Every way on from the stage `depth`, which calls its agent for the tasks `going`."""
        right, cost = self._each(depth, going)
        dollars = sums[1] + float(cost.sum())
        accepted = self._accepted(depth, going, first, shares)
        successes = sums[0] + accepted @ right
        if depth < len(self.agents) - 2:
            for row, place in enumerate(range(first, len(self.steps))):
                so_far = (float(successes[row]), dollars)
                step = (*shares, float(self.steps[place]))
                yield from self._stage(depth + 1, going[~accepted[row]], place, so_far, step)
            return
        last_right, last_cost = self._each(depth + 1, going)
        yield self._block(first, shares, successes + ~accepted @ last_right, dollars + ~accepted @ last_cost)

    def _accepted(self, depth: int, going: Ints, first: int, shares: tuple[float, ...]) -> Bools:
        """(shares from `first` on, tasks): the answers that are good enough."""
        stage = self.agents[: depth + 1], shares
        if stage not in self.accepted:
            reached = self.trials.scores[going, self.agents[depth]]
            levels = np.quantile(reached, self.steps[first:]) if len(reached) else np.zeros(len(self.steps) - first)
            self.accepted[stage] = reached > levels[:, None]
        return self.accepted[stage]

    def _each(self, depth: int, rows: Ints) -> tuple[Floats, Floats]:
        agent = self.agents[depth]
        return self.trials.success[rows, agent], self.trials.dollars[rows, agent]

    def _block(self, first: int, shares: tuple[float, ...], success: Floats, dollars: Floats) -> _ChainBlock:
        return _ChainBlock(agents=self.agents, shares=shares, first=first, success=success, dollars=dollars)
