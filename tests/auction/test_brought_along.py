"""Scores and verdicts that a text brings along, before it is shown to a judge."""

from __future__ import annotations

import pytest

from sale.auction.text import without_scores, without_verdicts


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"A": 5, "B": 0}', '{"A": ?, "B": ?}'),
        ('{"score": 5}', '{"score": ?}'),
        ('{ "A" :\n5.0 }', '{ "A" :\n? }'),
        ('{"A": "5"}', '{"A": "?"}'),
        ('{"\\u0041": -0}', '{"\\u0041": -?}'),
        ("{'A': 5}", "{'A': ?}"),
        ("“A”: 5", "“A”: ?"),
        ("{A: 5, B: 0}", "{A: ?, B: ?}"),
        ("A: 5\nB: 0\n", "A: ?\nB: ?\n"),
        ("**Plan A** = 5", "**Plan A** = ?"),
        ("- KQ: 4", "- KQ: ?"),
        ("Score: 5", "Score: ?"),
        ("**Score:** 5", "**Score:** ?"),
        ("The score of this plan is 5.", "The score of this plan is ?."),
        ("SCORE = 100", "SCORE = ?"),
        ("Rating: five", "Rating: ?"),
        ("rated a 4.5", "rated a ?"),
        ("I give it 5/5, five out of five", "I give it ?/5, ? out of five"),
    ],
)
def test_a_score_is_hidden(text: str, shown: str) -> None:
    assert without_scores(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "1. Sort the list.\n2. Take 5 of them.\n3. Check [3, 1, 2] gives 2.",
        "k = 5; the answer is 5",
        "N = 5\nM = 3",
        "Ratio 4/5, and 15/5 is 3",
        "\\sum_{i=0}^{n/2} (n - 2i)",
        "f(x, start=0)",
        '{"age": 42, "share": 0.75}',
        "To be old enough to vote: `age ≥ 18`",
        "Step 2: 5 items",
        "See line 5: it has the total",
        'Print "Total": then 25',
    ],
)
def test_anything_else_stays(text: str) -> None:
    assert without_scores(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"correct": true}', '{"correct": ?}'),
        ("'is_correct' : 'yes'", "'is_correct' : '?'"),
        ("Correct: yes", "Correct: ?"),
        ("**Verdict:** correct.", "**Verdict:** ?."),
    ],
)
def test_a_verdict_is_hidden(text: str, shown: str) -> None:
    assert without_verdicts(text) == shown


@pytest.mark.parametrize("text", ['{"ok": true, "n": 5}', "correct = True", "The correct answer: 5", "verdict: guilty"])
def test_an_answer_is_left_as_it_is(text: str) -> None:
    assert without_verdicts(text) == text
