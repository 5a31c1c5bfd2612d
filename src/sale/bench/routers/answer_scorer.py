"""P(an answer is right), read from the question and the answer: the confidence of cascades over recorded work.

Logistic regression on the frozen sentence embeddings of question and answer, with simple facts about the answer. It
stands in for what cascades ask in a live system: a fine-tuned scorer (FrugalGPT), or a vote of several samples (COPE).
Both are `BudgetCascade`s: they call one agent after the other until an answer is trusted, and what is enough to trust
it is chosen on the training table within a budget of dollars for each task.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import numpy as np

from sale.bench.routers.estimators import SEED, Predictor, folds, logistic_columns
from sale.bench.routers.features import Features, Vectorise
from sale.bench.routers.learning import PoolFit, need_tasks, recall
from sale.bench.routers.protocol import Bools, Floats, Ints, OutcomeTable, Routing
from sale.errors import InputError

FOLDS = 5
FACTS = 7
"""Numbers about an answer that are no embedding."""
BUDGETS = 12
Rule = TypeVar("Rule")
Choice = TypeVar("Choice")


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


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerScores:
    """The scorers of some agents, and what they say of the training tasks."""

    vectorise: Vectorise
    scorers: tuple[AnswerScorer, ...]
    held_out: Floats
    """(T, scorers): scores on the training tasks, by scorers that did not see them."""

    @classmethod
    def of(cls, train: OutcomeTable, agents: Sequence[int], features: Features, where: str) -> Self:
        """Learn to score the answers of the agents at these places.

        Raises:
            InputError: The table has no answers.
        """
        answers, shown = answers_of(train, where), shown_checks(train)
        vectorise = features.learn([*train.texts, *(answer for row in answers for answer in row)])
        facts = [
            answer_facts(vectorise, train.texts, [row[agent] for row in answers], shown[:, agent]) for agent in agents
        ]
        pairs = [(given, train.success[:, agent]) for given, agent in zip(facts, agents, strict=True)]
        return cls(
            vectorise=vectorise,
            scorers=tuple(fit_scorer(given, success) for given, success in pairs),
            held_out=np.column_stack([held_out_scores(given, success) for given, success in pairs]),
        )

    def score(self, test: OutcomeTable, agent: int, rows: Ints, where: str) -> Floats:
        """(rows,) scores of an agent's answers to some tasks of a table; no other answer is looked at.

        Raises:
            InputError: The table has no answers.
        """
        answers = answers_of(test, where)
        if not len(rows):
            return np.zeros(0)
        places = [int(row) for row in rows]
        texts, given = [test.texts[row] for row in places], [answers[row][agent] for row in places]
        return self.scorers[agent](answer_facts(self.vectorise, texts, given, shown_checks(test)[rows, agent]))


class BudgetCascade(Generic[Rule, Choice]):
    """A router over answers whose rule for going on is chosen within a budget of dollars for each task.

    A subclass says what is learnt on the training table (`_learn`), which choice of what is enough fits a budget
    (`_within`), and whose answer counts and who is called by that choice (`_follow`).
    """

    name: str

    def __init__(self, features: Features, *, budget: float = np.inf) -> None:
        """`budget`: mean dollars for each task that may be spent on the training table."""
        if not budget >= 0:
            raise InputError(f"the budget must not be negative, got {budget!r}", where=self.name)
        self._features = features
        self._budget = budget
        self._learnt: PoolFit[tuple[Rule, Choice]] | None = None

    @property
    def choice(self) -> Choice | None:
        """When it goes on; `None` before it is fitted."""
        return None if self._learnt is None else self._learnt.what[1]

    def fit(self, train: OutcomeTable, /) -> None:
        """Learn to score answers, then choose within the budget.

        Raises:
            InputError: The table has no answers, or is not one that the router can use.
        """
        self._usable(train)
        need_tasks(train, self.name)
        rule = self._learn(train)
        self._learnt = PoolFit(train.agents, (rule, self._within(rule, self._budget)))

    def route(self, test: OutcomeTable, /) -> Routing:
        """Call one agent after the other. Answers of agents that are not called are not looked at."""
        rule, choice = recall(self._learnt, test, self.name)
        answers_of(test, self.name)
        chosen, called = self._follow(rule, choice, test)
        nothing = np.zeros(len(test))
        return Routing(chosen=chosen, called=called, extra_dollars=nothing, extra_tokens=nothing)

    def sweep(self, test: OutcomeTable, knobs: Iterable[float], /) -> Iterator[Routing]:
        """As `route` within each budget in turn."""
        for budget in knobs:
            yield self.at(budget).route(test)

    def grid(self, train: OutcomeTable, /) -> Floats:
        """Budgets from the mean cost of the cheapest first call to that of calling everybody, and none."""
        means = train.dollars.mean(axis=0)
        low, high = self._cheapest(means), float(means.sum())
        return np.array([*np.geomspace(low, high, BUDGETS), np.inf]) if low > 0 else np.array([high, np.inf])

    def at(self, knob: float, /) -> Self:
        """The same router, as far as it is fitted, with `budget` = `knob`."""
        other = copy.copy(self)
        other._budget = knob
        if self._learnt is not None:
            rule = self._learnt.what[0]
            other._learnt = PoolFit(self._learnt.agents, (rule, self._within(rule, knob)))
        return other

    def _usable(self, train: OutcomeTable) -> None:
        """Refuse a table that the router is not made for."""

    def _cheapest(self, means: Floats) -> float:
        """Return the least that a task can cost, given agents' mean dollars."""
        return float(means.min())

    def _learn(self, train: OutcomeTable) -> Rule:
        raise NotImplementedError

    def _within(self, rule: Rule, budget: float) -> Choice:
        raise NotImplementedError

    def _follow(self, rule: Rule, choice: Choice, test: OutcomeTable) -> tuple[Ints, Bools]:
        raise NotImplementedError
