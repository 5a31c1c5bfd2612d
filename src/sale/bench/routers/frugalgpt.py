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

from dataclasses import dataclass

import numpy as np

from sale.bench.routers.answer_scorer import AnswerScores, BudgetCascade
from sale.bench.routers.cascades import Chain, ChainPoint, Trials, best, follow, grid
from sale.bench.routers.protocol import Bools, Floats, Ints, OutcomeTable

MAX_AGENTS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class _FittedCascade:
    scores: AnswerScores
    trials: Trials
    points: list[ChainPoint]


class FrugalGpt(BudgetCascade[_FittedCascade, Chain]):
    """A cascade within a budget."""

    name = "FrugalGPT"

    def _learn(self, train: OutcomeTable) -> _FittedCascade:
        scores = AnswerScores.of(train, range(len(train.agents)), self._features, self.name)
        trials = Trials(scores=scores.held_out, success=train.success, dollars=train.dollars)
        return _FittedCascade(scores=scores, trials=trials, points=grid(trials, _worth_calling(train)))

    def _within(self, rule: _FittedCascade, budget: float) -> Chain:
        return best(rule.points, rule.trials, budget)

    def _follow(self, rule: _FittedCascade, choice: Chain, test: OutcomeTable) -> tuple[Ints, Bools]:
        def score(agent: int, rows: Ints) -> Floats:
            return rule.scores.score(test, agent, rows, self.name)

        done = follow(choice, test.success.shape, score)
        return done.chosen, done.called


def _worth_calling(train: OutcomeTable) -> tuple[int, ...]:
    order = np.lexsort((np.arange(len(train.agents)), -train.success.mean(axis=0)))
    return tuple(sorted(int(agent) for agent in order[:MAX_AGENTS]))
