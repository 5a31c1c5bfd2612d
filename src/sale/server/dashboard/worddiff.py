"""What a refined plan changed, word by word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
LONGEST = 4_000
"""Words and signs of either text; beyond that the time would grow with their product."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A run of words that both texts have, or one of them."""

    kind: Literal["same", "gone", "new"]
    text: str


def changes(before: str, after: str) -> tuple[Piece, ...]:
    """From one text to the other. The same and new pieces make `after`, the same and gone ones `before`."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if max(len(old), len(new)) > LONGEST:
        return _pieces(("gone", [before]), ("new", [after]))
    found: list[tuple[Literal["same", "gone", "new"], list[str]]] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(("same", old[a:b]))
        else:
            found += [("gone", old[a:b]), ("new", new[c:d])]
    return _pieces(*found)


def _pieces(*parts: tuple[Literal["same", "gone", "new"], Sequence[str]]) -> tuple[Piece, ...]:
    return tuple(Piece(kind=kind, text="".join(words)) for kind, words in parts if words)
