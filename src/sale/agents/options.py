"""Questions that show their options: the options of a text, and the one that an answer names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sale.agents.code_answer import MAX_ANSWER
from sale.agents.verify import normalise
from sale.types.thoughts import text_after_thoughts

_SHOWN = re.compile(r"^\(?([A-Z])[.)] (.*)$", re.MULTILINE)
# Repetitions are bounded: answers are foreign text, and two open-ended ones side by side take minutes on a long line.
_MARKS = r"[\s(\[*`'\"]{0,20}"
_SAID = r"\b(?:answer|option|choice)\b(?:\s{1,3}only)?(?:\s{1,3}is)?\s{0,3}:?"
_MORE = r"[)\].*`'\"]{0,9}\s{1,3}(?:or|and)\s{1,3}[(\[*`'\"]{0,9}[A-Z]\b|\s{0,3},\s{0,3}[A-Z]\b"
LETTERS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\\boxed\{\s{0,3}(?:\\text\w{0,9}\{)?\W{0,9}([A-Z])\b(?=\s{0,3}[.):}])",
        rf"(?:{_SAID}{_MARKS}|^\W{{0,40}})\b([A-Z])\b(?!['’]|\s{{1,3}}[a-z]|{_MORE})",  # alone: "A list" names nothing
        rf"\b(?:answer|option|choice)\s{{0,3}}(?:is\s{{0,3}}:?|:){_MARKS}\b((?-i:[A-Z]))\s{{1,3}}(?:because|since|as|for)\b",
        # "B is correct"; "option B is the most …"
        rf"(?:^\W{{0,40}}|\b(?:option|choice)\b{_MARKS})\b((?-i:[A-Z]))\b\W{{0,9}}\sis\s{{1,3}}(?:the\s{{1,3}})?"
        r"(?:correct|right|best|most|only)\b",
    )
)


def shown_options(text: str) -> dict[str, str]:
    """The options a text shows, letter to text: the last lines in it that go A, B, C."""
    found: dict[str, str] = {}
    for letter, option in _SHOWN.findall(text):
        if letter == "A":
            found = {letter: option}
        elif letter == chr(ord("A") + len(found)):
            found[letter] = option
    return found


def chosen_option(answer: str, options: Mapping[str, str]) -> str | None:
    """The letter an answer settles on, or `None`: its last line that names one, else the option it repeats."""
    text = text_after_thoughts(answer[:MAX_ANSWER])
    for line in reversed([line for line in text.splitlines() if line.strip()]):
        named = ({letter.upper() for letter in pattern.findall(line)} & set(options) for pattern in LETTERS)
        letters = next((found for found in named if found), set[str]())
        if len(letters) == 1:
            return letters.pop()
    said = normalise(text)
    repeated = [letter for letter, option in options.items() if normalise(option) and normalise(option) == said]
    return repeated[0] if len(repeated) == 1 else None
