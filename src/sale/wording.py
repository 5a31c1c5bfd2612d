"""Words for numbers, and the characters kept out of texts of others: the same wherever users read them."""

from __future__ import annotations

DRIVING = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069"
"""Characters that drive a terminal or turn the order of a line around, as ranges of a regular expression."""

LIST_FAULTS = frozenset({"tuple_type", "list_type", "set_type", "frozen_set_type"})
"""Pydantic's names for the fault of a value that should be a list."""
TABLE_FAULTS = frozenset({"dict_type", "mapping_type", "model_type", "dataclass_type", "dataclass_exact_type"})
"""Pydantic's names for the fault of a value that should be a table."""
FAULT_WORDS = {
    **dict.fromkeys(LIST_FAULTS, 'must be a list, ["…"]'),
    **dict.fromkeys(TABLE_FAULTS, "must be a table, { … }"),
    "path_type": "must be a path, in quotes",
    "string_type": "must be a text, in quotes",
}
"""Words for faults that Pydantic tells in those of Python, by its name for them."""


def quantity(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 task`, `2 tasks`, `1,200 tasks`.

    Args:
        number: How many.
        noun: The word for one of them; of several words, the last takes the ending.
        plural: The word for several, where it is not the noun with an `s`.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
