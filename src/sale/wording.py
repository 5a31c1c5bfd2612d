"""Words for numbers, and the characters kept out of texts of others: the same wherever users read them."""

from __future__ import annotations

DRIVING = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069"
"""Characters that drive a terminal or turn the order of a line around, as ranges of a regular expression."""


def quantity(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 task`, `2 tasks`, `1,200 tasks`.

    Args:
        number: How many.
        noun: The word for one of them; of several words, the last takes the ending.
        plural: The word for several, where it is not the noun with an `s`.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
