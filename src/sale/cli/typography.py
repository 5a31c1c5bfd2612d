"""ASCII for the typographic characters that the command writes."""

from __future__ import annotations

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


def in_ascii(text: str) -> str:
    """A text with ASCII for the typographic characters of the command; other characters stay."""
    return text if text.isascii() else text.translate(STAND_INS)
