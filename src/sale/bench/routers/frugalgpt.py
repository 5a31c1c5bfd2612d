"""FrugalGPT: call agents one after the other until a scorer trusts the answer, and pay for every one called.

Source: Chen, Zaharia and Zou 2023, FrugalGPT, arXiv 2305.05176, and its published code
(github.com/stanford-futuredata/FrugalGPT, Apache-2.0). For each agent a scorer, DistilBERT fine-tuned on "question and
answer", says whether its answer is right; the order of agents and the thresholds are chosen to be right as often as
possible within a budget of dollars for each task (`cascades`).

Adapted:
- THE SCORER IS NOT A FINE-TUNED DISTILBERT (none is at hand offline): it is logistic regression on the frozen
  sentence embeddings of the question and of the answer, with simple facts about the answer: empty or not, its length,
  lines, code, digits, likeness to the question, and whether the examples in the task's own text hold with it, where
  an agent tried (the market may know that, so this router may). They are embedded apart, since in one text a long
  question would push the answer out of the encoder's window.
- Thresholds are tuned on scores from scorers that did not see the task (5 folds; they hold out one part), because 50
  to 100 tasks are too few to set a part aside for good; the scorers used afterwards learn from all of them.
- An agent's cost is its whole execution. Chains of up to three agents, of all agents where there are at most six, else
  of the six best by training success; where equal the cheaper.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from sale.bench.routers.answer_scorer import (
    AnswerScorer,
    answer_facts,
    answers_of,
    fit_scorer,
    held_out_scores,
    shown_checks,
)
from sale.bench.routers.cascades import Chain, ChainPoint, Trials, best, follow, grid
from sale.bench.routers.features import Features, Vectorise
from sale.bench.routers.learning import PoolFit, need_tasks, recall
from sale.bench.routers.protocol import Floats, Ints, OutcomeTable, Routing
from sale.errors import InputError

MAX_AGENTS = 6
BUDGETS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class _FittedCascade:
    vectorise: Vectorise
    scorers: tuple[AnswerScorer, ...]
    trials: Trials
    points: list[ChainPoint]


class FrugalGpt:
    """A cascade within a budget."""

    name = "FrugalGPT"

    def __init__(self, features: Features, *, budget: float = np.inf) -> None:
        """`budget`: mean dollars for each task that a chain may cost on the training table."""
        if not budget >= 0:
            raise InputError(f"the budget must not be negative, got {budget!r}", where=self.name)
        self._features = features
        self._budget = budget
        self._learnt: PoolFit[_FittedCascade] | None = None
        self._chain: Chain | None = None

    @property
    def chain(self) -> Chain | None:
        """The agents it calls, and the scores at which it stops; `None` before it is fitted."""
        return self._chain

    def fit(self, train: OutcomeTable, /) -> None:
        """Learn the scorers, then the chain.

        Raises:
            InputError: The table has no answers.
        """
        need_tasks(train, self.name)
        answers = answers_of(train, self.name)
        vectorise = self._features.learn([*train.texts, *(answer for row in answers for answer in row)])
        agents = range(len(train.agents))
        shown = shown_checks(train)
        features = [
            answer_facts(vectorise, train.texts, [row[agent] for row in answers], shown[:, agent]) for agent in agents
        ]
        trials = Trials(
            scores=np.column_stack([held_out_scores(features[agent], train.success[:, agent]) for agent in agents]),
            success=train.success,
            dollars=train.dollars,
        )
        fitted = _FittedCascade(
            vectorise=vectorise,
            scorers=tuple(fit_scorer(features[agent], train.success[:, agent]) for agent in agents),
            trials=trials,
            points=grid(trials, _worth_calling(train)),
        )
        self._learnt = PoolFit(train.agents, fitted)
        self._chain = best(fitted.points, trials, self._budget)

    def route(self, test: OutcomeTable, /) -> Routing:
        """Follow the chain. Answers of agents that are not called are not looked at."""
        fitted, answers, shown = recall(self._learnt, test, self.name), answers_of(test, self.name), shown_checks(test)
        chain = self._chain or best(fitted.points, fitted.trials, self._budget)

        def score(agent: int, rows: Ints) -> Floats:
            if not len(rows):
                return np.zeros(0)
            texts = [test.texts[row] for row in map(int, rows)]
            given = [answers[row][agent] for row in map(int, rows)]
            return fitted.scorers[agent](answer_facts(fitted.vectorise, texts, given, shown[rows, agent]))

        done = follow(chain, test.success.shape, score)
        nothing = np.zeros(len(test))
        return Routing(chosen=done.chosen, called=done.called, extra_dollars=nothing, extra_tokens=nothing)

    def sweep(self, test: OutcomeTable, knobs: Iterable[float], /) -> Iterator[Routing]:
        """As `route` within each budget in turn."""
        for budget in knobs:
            yield self.at(budget).route(test)

    def grid(self, train: OutcomeTable, /) -> Floats:
        """Budgets from the cheapest agent's mean cost to that of calling everybody, in equal ratios, and none."""
        means = train.dollars.mean(axis=0)
        low, high = float(means.min()), float(means.sum())
        if low <= 0:
            return np.array([high, np.inf])
        return np.array([*np.geomspace(low, high, BUDGETS), np.inf])

    def at(self, knob: float, /) -> Self:
        """The same router, as far as it is fitted, with `budget` = `knob`."""
        other = copy.copy(self)
        other._budget = knob
        if self._learnt is not None:
            other._chain = best(self._learnt.what.points, self._learnt.what.trials, knob)
        return other


def _worth_calling(train: OutcomeTable) -> tuple[int, ...]:
    order = np.lexsort((np.arange(len(train.agents)), -train.success.mean(axis=0)))
    return tuple(sorted(int(agent) for agent in order[:MAX_AGENTS]))
