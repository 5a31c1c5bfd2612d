"""Questions that show their options: the options of a text, and the one that an answer names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sale.agents.verify import normalise

_SHOWN = re.compile(r"^\(?([A-Z])[.)] (.*)$", re.MULTILINE)
_SAID = r"\b(?:answer|option|choice)\b(?:\s+only)?(?:\s+is)?\s*:?"
_OPEN = r"[\s(\[*`'\"]*"
_MORE = r"[)\].*`'\"]*\s+(?:or|and)\s+[(\[*`'\"]*[A-Z]\b|\s*,\s*[A-Z]\b"
_LETTERS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\\boxed\{\s*(?:\\text\w*\{)?\W*([A-Z])\b(?=\s*[.):}])",
        rf"(?:{_SAID}|^\W*){_OPEN}\b([A-Z])\b(?!['’]|\s+[a-z]|{_MORE})",  # alone: "A list" names nothing
        rf"\b(?:answer|option|choice)\s*(?:is\s*:?|:){_OPEN}\b((?-i:[A-Z]))\s+(?:because|since|as|for)\b",
        # "B is correct"; "option B is the most …"
        rf"(?:^\W*|\b(?:option|choice)\b){_OPEN}\b((?-i:[A-Z]))\b\W*\s+is\s+(?:the\s+)?"
        r"(?:correct|right|best|most|only)\b",
    )
)
_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)


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
    text = _THINKING.sub("", answer)
    for line in reversed([line for line in text.splitlines() if line.strip()]):
        named = ({letter.upper() for letter in pattern.findall(line)} & set(options) for pattern in _LETTERS)
        letters = next((found for found in named if found), set[str]())
        if len(letters) == 1:
            return letters.pop()
    said = normalise(text)
    repeated = [letter for letter, option in options.items() if normalise(option) and normalise(option) == said]
    return repeated[0] if len(repeated) == 1 else None
