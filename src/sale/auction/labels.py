"""Labels of a ballot: two random letters for each plan, drawn for this ballot alone. Pure functions.

A ballot that stands filled in within a plan can be copied by a small juror. It is worth nothing then: its author cannot
know the labels, which depend on the auction's id, the juror and every plan shown, and no label is used that a plan
names. The same auction, juror and plans give the same labels.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import count as numbers

from sale.auction.text import REMEMBERED

LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so that a label is hardly ever a word, which could please a juror."""
SHARE = 4
"""At most one of so many possible labels is used: there are always others to draw."""
TRIES = 64
"""Draws for one label. After that it may be one that a plan names: a plan that names every label gains nothing."""
_LETTER_OF = bytes(ord(LETTERS[byte % len(LETTERS)]) for byte in range(256))
_WORD = re.compile(r"[A-Z]+")


def label_width(count: int) -> int:
    """The letters of a label on a ballot with so many plans."""
    width = 2
    while len(LETTERS) ** width < SHARE * count:
        width += 1
    return width


def draw_labels(count: int, seed: Iterable[str], texts: Sequence[str] = ()) -> list[str]:
    """Draw the labels of one ballot.

    While there are few, their first letters differ: small models confuse labels that begin alike.

    Args:
        count: How many.
        seed: What they depend on; a part of it is not known to the authors of the texts.
        texts: What stands on the ballot; labels that it names are not drawn.
    """
    root = hashlib.sha256("\0".join(seed).encode(errors="surrogatepass")).digest()
    named = frozenset[str]().union(*map(_words, texts))
    width = label_width(count)
    apart = 2 * count <= len(LETTERS)
    drawn = (_draw(root, turn, width) for turn in numbers())
    labels: list[str] = []
    for _ in range(count):
        taken = {label[0] for label in labels} if apart else set(labels)
        labels.append(
            next(
                label
                for tried, label in enumerate(drawn)
                if (label[0] if apart else label) not in taken and (label not in named or tried >= TRIES)
            )
        )
    return labels


@lru_cache(REMEMBERED)
def _words(text: str) -> frozenset[str]:
    """Return what a text could name as a label; every juror is shown the same texts."""
    return frozenset(_WORD.findall(text.upper()))


def _draw(root: bytes, turn: int, width: int) -> str:
    digest = hashlib.sha256(root + turn.to_bytes(8)).digest()
    return digest[:width].translate(_LETTER_OF).decode()
