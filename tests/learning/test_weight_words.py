"""Weights say in plain English what they decide by, and what each of their numbers is."""

from __future__ import annotations

from sale.learning.weight_terms import EXPLAINED, explain_decision, list_terms
from sale.types import SuccessModel, Weights

MODEL = SuccessModel(
    worth=1500.0,
    intercepts={"a": 0.5},
    newcomer=0.0,
    rates={},
    newcomer_rate=0.5,
    coefficients={"track": 1.0},
    means={},
    work={"a": 10.0},
    newcomer_tokens=100.0,
    spread={"a": 0.1},
)
LINEAR = Weights(cost=1.0, entropy=2.0, jurors={"a": 3.0})
LEARNT = Weights(cost=1.0, entropy=0.0, jurors={}, model=MODEL)


def test_every_number_is_explained_and_nothing_else_is() -> None:
    terms = [*list_terms(LINEAR), *list_terms(LEARNT)]
    assert all(term.explained.endswith(".") for term in terms)
    assert {term.group for term in terms} == set(EXPLAINED)


def test_the_rule_is_said_in_the_words_of_the_board() -> None:
    assert "value less cost, wins" in explain_decision(LINEAR)
    assert "the chance × the worth of a task if solved, less the expected cost" in explain_decision(LEARNT)
