"""Characters that a terminal is sent: none that drive it, and ASCII for the typographic ones where it asks for that."""

from __future__ import annotations

import re

from sale.wording import DRIVING

_CONTROL = re.compile(rf"[{DRIVING}\r]")

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
    """A text that cannot drive the reader's terminal or show in another order than it has; line feeds and tabs stay."""
    return text if text.isprintable() else _CONTROL.sub("�", text)


def in_ascii(text: str) -> str:
    """A text with ASCII for the typographic characters of the command; other characters stay."""
    return text if text.isascii() else text.translate(STAND_INS)
