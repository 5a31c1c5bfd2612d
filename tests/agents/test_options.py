"""Options: those a question shows, and the one an answer names."""

from __future__ import annotations

import re

import pytest

from sale.agents.options import LETTERS, chosen_option, shown_options

OPTIONS = {"A": "a list", "B": "a tuple", "C": "a set", "D": "none of them"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(C)", "C"),
        ("C.", "C"),
        ("**D**", "D"),
        ("Answer: A", "A"),
        ("The answer is B.", "B"),
        ("The correct answer is (B)", "B"),
        ("It is mutable, so it is no tuple.\n\nAnswer: C", "C"),
        ("B. a tuple", "B"),
        ("a set", "C"),
        ("<think>A? No.</think>B", "B"),
        ("<THINK>A? No.</THINK>B", "B"),
        ("The answer is B because it cannot be changed.", "B"),
        ("Answer: B since it is written with parentheses", "B"),
        ("**B** is the correct one.", "B"),
        ("**Answer:** B", "B"),
        ("Answer with the letter of the right option only: C", "C"),
        (r"Therefore, the correct answer is \(\boxed{D}\).", "D"),
        (r"\boxed{\text{B. a tuple}}", "B"),
        ("Option A is wrong, the answer is B", "B"),
        (r"So \(x = \boxed{1}\)", None),
        ("D. it was changed\n\nTherefore, option B is the most appropriate.", "B"),
        ("B. `x` and `y`", "B"),
        ("Choice B is a distractor", None),
        ("The answer is A list", None),
        ("Answer: A dog", None),
        ("(A) and (B)", None),
        ("A, B", None),
        ("The answer is A or B", None),
        ("The answer is a list", None),
        ("A is incorrect", None),
        ("", None),
        ("A or B", None),
        ("A list is what it is", None),
        ("I do not know", None),
        ("Z", None),
    ],
)
def test_an_option_is_chosen_by_letter_or_text(answer: str, letter: str | None) -> None:
    assert chosen_option(answer, OPTIONS) == letter


def test_options_are_the_last_lines_that_go_from_a_on() -> None:
    text = "I. one\nII. two\n\nA. I alone\nB) both\n(C) neither\nE. not one of them\n\nAnswer with a letter."
    assert shown_options(text) == {"A": "I alone", "B": "both", "C": "neither"}
    assert shown_options(f"A. an example\n\n{text}")["A"] == "I alone"
    assert shown_options("Name a letter.") == {}


def test_no_repetition_is_open_ended() -> None:
    """Two of them side by side take the square of a line's length, and answers are foreign text."""
    for pattern in LETTERS:
        outside_sets = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "", pattern.pattern)
        assert not re.findall(r"[*+]|\{\d*,\}", outside_sets)


def test_a_long_line_of_marks_names_nothing() -> None:
    for line in ("*" * 90_000, " " * 90_000 + "1", "answer" + " " * 90_000 + "is", "1" + " *" * 45_000):
        assert chosen_option(line, OPTIONS) is None
        assert chosen_option(f"{line}\nAnswer: B", OPTIONS) == "B"
