"""P(an answer is right), read from the question and the answer: the confidence of cascades over recorded work.

Logistic regression on the frozen sentence embeddings of question and answer, with simple facts about the answer. It
stands in for what cascades ask in a live system: a fine-tuned scorer (FrugalGPT), or a vote of several samples (COPE).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sale.bench.routers.estimators import SEED, Predictor, folds, logistic_columns
from sale.bench.routers.features import Vectorise
from sale.bench.routers.protocol import Floats, OutcomeTable
from sale.errors import InputError

FOLDS = 5
FACTS = 7
"""Numbers about an answer that are no embedding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerScorer:
    """P(an agent's answer is right), fitted on some tasks of one agent."""

    middle: Floats
    spread: Floats
    predict: Predictor

    def __call__(self, features: Floats) -> Floats:
        """The scores of answers with these facts."""
        return self.predict((features - self.middle) / self.spread)[:, 0]


def answers_of(table: OutcomeTable, where: str) -> tuple[tuple[str, ...], ...]:
    """The answers of a table.

    Raises:
        InputError: It has none.
    """
    if table.answers is None:
        raise InputError(
            "a cascade judges answers, and this table has none",
            where=where,
            hint="Leave this router out, or use a table whose source has the agents' answers.",
        )
    return table.answers


def shown_checks(table: OutcomeTable) -> Floats:
    """The verdicts of the examples in tasks' texts; 0 everywhere in a table without them."""
    return np.zeros(table.success.shape) if table.checks is None else table.checks


def answer_facts(vectorise: Vectorise, texts: Sequence[str], answers: Sequence[str], shown: Floats) -> Floats:
    """Shape (T, 2d + 7): question, answer, and what can be seen of the answer without reading it."""
    question, answer = vectorise(texts), vectorise(answers)
    seen = [
        (
            float(bool(text.strip())),
            np.log1p(len(text)),
            np.log1p(text.count("\n")),
            float("```" in text or "def " in text),
            sum(letter.isdigit() for letter in text) / (len(text) or 1),
        )
        for text in answers
    ]
    likeness = np.sum(question * answer, axis=1, keepdims=True)
    return np.hstack([question, answer, likeness, np.array(seen).reshape(len(answers), 5), shown[:, None]])


def fit_scorer(features: Floats, success: Floats) -> AnswerScorer:
    """The scorer of one agent's answers, by what came of them."""
    middle, spread = features.mean(axis=0), features.std(axis=0)
    # Embeddings keep their own scale: each of their many numbers is small, and so is what it may weigh.
    spread[:-FACTS] = 1.0
    spread[spread == 0] = 1.0
    predict = logistic_columns((features - middle) / spread, success[:, None])
    return AnswerScorer(middle=middle, spread=spread, predict=predict)


def held_out_scores(features: Floats, success: Floats) -> Floats:
    """Scores by scorers that did not see the task."""
    scores = np.full(len(success), float(success.mean()))
    for train, held in folds(len(success), FOLDS, SEED):
        scores[held] = fit_scorer(features[train], success[train])(features[held])
    return scores
