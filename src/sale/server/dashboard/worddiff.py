"""The changes of a refined plan, word by word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Kind = Literal["same", "gone", "new"]

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
FEW = 3
MAX_DIFF_TOKENS = 4_000
"""Words and signs of either text; beyond that the time would grow with their product."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DiffRun:
    """A run of words that both texts have, or one of them."""

    kind: Kind
    text: str


def changes(before: str, after: str) -> tuple[DiffRun, ...]:
    """From one text to the other. The same and new pieces make `after`, the same and gone ones `before`."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if max(len(old), len(new)) > MAX_DIFF_TOKENS:
        return _pieces(("gone", [before]), ("new", [after]))
    runs: list[tuple[bool, list[str], list[str]]] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        same = kind == "equal" and (_tells(old[a:b]) or a == 0 or b == len(old))
        if runs and not same and not runs[-1][0]:
            runs[-1][1].extend(old[a:b])
            runs[-1][2].extend(new[c:d])
        else:
            runs.append((same, old[a:b], new[c:d]))
    parts: list[tuple[Kind, Sequence[str]]] = []
    for same, gone, come in runs:
        if same:
            parts.append(("same", gone))
        else:
            parts.append(("gone", gone))
            parts.append(("new", come))
    return _pieces(*parts)


def _tells(words: Sequence[str]) -> bool:
    """Return whether a run that both texts have is more than a few words met by chance between changes."""
    return sum(word[0].isalnum() for word in words) >= FEW or "\n" in "".join(words)


def _pieces(*parts: tuple[Kind, Sequence[str]]) -> tuple[DiffRun, ...]:
    return tuple(DiffRun(kind=kind, text="".join(words)) for kind, words in parts if words)
