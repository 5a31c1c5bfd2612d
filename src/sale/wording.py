"""Words for numbers, the same wherever users read them."""

from __future__ import annotations


def quantity(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 task`, `2 tasks`, `1,200 tasks`.

    Args:
        number: How many.
        noun: The word for one of them; of several words, the last takes the ending.
        plural: The word for several, where it is not the noun with an `s`.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
