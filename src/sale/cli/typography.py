"""Characters that a terminal is sent: none that drive it, and ASCII for the typographic ones where it asks for that."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

STAND_INS = str.maketrans(
    {
        "★": "*",
        "☆": "o",
        "↻": "~",
        "–": "-",
        "—": "-",
        "−": "-",
        "×": "x",
        "·": "-",
        "•": "*",
        "…": ".",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "γ": "g",
        "π": "p",
        "Σ": "S",
        "\u0302": "",
    }
)
"""Characters of the command's own texts, and the ASCII ones that stand in for them: one for one, but for the hat of P̂,
which takes no room."""


def without_controls(text: str) -> str:
    """A text without control characters, so that it cannot drive the reader's terminal; line feeds and tabs stay."""
    return text if text.isprintable() else _CONTROL.sub("�", text)


def in_ascii(text: str) -> str:
    """A text with ASCII for the typographic characters of the command; other characters stay."""
    return text if text.isascii() else text.translate(STAND_INS)
