"""COPE: a small model plans and works; if in doubt the large one plans for it; if still in doubt the large one works.

Source: Efficient LLM Collaboration via Planning, arXiv 2506.11578 (TMLR 2026). Three stages, a short plan passed
between models: (1) the small model writes N plans and works N times, and the majority's answer is accepted where its
share is at least τ₁; (2) the large model writes one plan, the small one works N times under it, and the majority's
answer is accepted where its share is at least τ₂; (3) the large model works once under its plan. Nothing is trained;
thresholds are set for each type of task. For programs a stage is accepted if the visible tests pass.

Reduced to recorded cells, one for each stage (`sale.bench.crossed_cells`), which loses:
- the vote. There is one sample of each cell, so the confidence is what else can be known of an answer: where the
  examples in the task's own text were tried, their verdict (0 or 1), as the paper does for programs; else a scorer's
  P(right) from question and answer, that of FrugalGPT here, fitted on the training tasks.
- the small model's plan in the prompt of the large one, which the paper allows: here the large model had not seen it.
- free local compute: the paper charges the large model alone. Here everything is charged, the small model's plans and
  work, too. The large model's plan is paid at stage 2, and used again at stage 3.

Ours: thresholds on a grid of eighths, chosen on the training tasks to be right as often as possible within a budget of
dollars for each task, where equal the cheaper. The paper's own values are not verified; a public re-implementation has
N = 8, τ₁ = 0.75, τ₂ = 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from sale.bench.routers.answer_scorer import AnswerScores, BudgetCascade, shown_checks
from sale.bench.routers.protocol import Bools, Floats, Ints, OutcomeTable
from sale.errors import InputError

STAGES = ("small on its plan", "small on the large one's plan", "large on its plan")
"""The agents of a table of crossed cells. What a stage costs is what it adds to those before it."""
THRESHOLDS = np.linspace(0.0, 1.0, 9)


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """The confidences that are enough for an answer of the first and the second stage."""

    first: float
    second: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _FittedStages:
    scores: AnswerScores
    """Of the first two stages: the third is always accepted."""
    confidence: Floats
    """(T, 2): on the training tasks, by scorers that did not see them."""
    success: Floats
    dollars: Floats


class Cope(BudgetCascade[_FittedStages, Thresholds]):
    """The cascade of three stages within a budget."""

    name = "COPE"

    def _usable(self, train: OutcomeTable) -> None:
        if train.agents != STAGES:
            raise InputError(
                "a planner and an executor need crossed cells, and this table is one of agents",
                where=self.name,
                hint="`sale bench cross` records them; sale.bench.crossed_cells reads them.",
            )

    def _cheapest(self, means: Floats) -> float:
        return float(means[0])

    def _learn(self, train: OutcomeTable) -> _FittedStages:
        scores = AnswerScores.of(train, (0, 1), self._features, self.name)
        return _FittedStages(
            scores=scores,
            confidence=_by_check(scores.held_out, shown_checks(train)[:, :2]),
            success=train.success,
            dollars=train.dollars,
        )

    def _within(self, rule: _FittedStages, budget: float) -> Thresholds:
        return _best(rule, budget)

    def _follow(self, rule: _FittedStages, choice: Thresholds, test: OutcomeTable) -> tuple[Ints, Bools]:
        shown = shown_checks(test)
        chosen = np.full(len(test), len(STAGES) - 1, dtype=np.intp)
        called = np.zeros(test.success.shape, dtype=np.bool_)
        going = np.arange(len(test))
        for stage, threshold in enumerate((choice.first, choice.second)):
            called[going, stage] = True
            score = rule.scores.score(test, stage, going, self.name)
            accepted = _by_check(score, shown[going, stage]) >= threshold
            chosen[going[accepted]] = stage
            going = going[~accepted]
        called[going, len(STAGES) - 1] = True
        return chosen, called


def _by_check(score: Floats, shown: Floats) -> Floats:
    """The confidence: the verdict of the task's own examples where they were tried, else the score."""
    return np.where(shown == 0.0, score, (shown + 1.0) / 2.0)


def _best(fitted: _FittedStages, budget: float) -> Thresholds:
    """The thresholds that are right most often within the budget, where equal the cheaper; the cheapest if none is."""
    every = [Thresholds(first=float(first), second=float(second)) for first, second in product(THRESHOLDS, THRESHOLDS)]
    points = [_outcome(fitted, one) for one in every]
    able = [place for place, (_, dollars) in enumerate(points) if dollars <= budget]
    if able:
        return every[min(able, key=lambda place: (-points[place][0], points[place][1], place))]
    return every[min(range(len(points)), key=lambda place: (points[place][1], place))]


def _outcome(fitted: _FittedStages, enough: Thresholds) -> tuple[float, float]:
    """Mean success and dollars of the cascade on the training tasks."""
    first: Bools = fitted.confidence[:, 0] >= enough.first
    second: Bools = ~first & (fitted.confidence[:, 1] >= enough.second)
    chosen: Ints = np.where(first, 0, np.where(second, 1, 2)).astype(np.intp)
    paid = np.arange(len(STAGES)) <= chosen[:, None]
    success = fitted.success[np.arange(len(chosen)), chosen]
    return float(success.mean()), float((fitted.dollars * paid).sum(axis=1).mean())
