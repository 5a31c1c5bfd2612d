"""Reading the fields of a source's row, and saying which field of which row is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sale.errors import InputError

Row = Mapping[str, Any]
"""A row as its source publishes it: column names to values."""


class UnusableRowError(InputError):
    """The row is well formed but makes no task: it cannot be answered, or it is outside what the bench asks.

    Attributes:
        reason: Why, in words that do not differ from row to row, so that they can be counted.
    """

    code = "input.unusable_row"

    @property
    def reason(self) -> str:
        """Why the row makes no task."""
        return self.message


def field(row: Row, name: str, where: str) -> object:
    """A field's value.

    Raises:
        InputError: There is no such field.
    """
    if name not in row:
        given = ", ".join(sorted(map(str, row)))
        raise InputError(f"the field {name!r} is missing", where=where, hint=f"The row has: {given}.")
    return row[name]


def text(row: Row, name: str, where: str) -> str:
    """A field's text, which may be empty.

    Raises:
        InputError: The field is missing, or not text.
    """
    value = field(row, name, where)
    if not isinstance(value, str):
        raise InputError(f"the field {name!r} must be text, got {value!r:.80}", where=where)
    return value


def required_text(row: Row, name: str, where: str) -> str:
    """A field's text, which a task cannot do without.

    Raises:
        InputError: The field is missing, or not text.
        UnusableRowError: It is empty.
    """
    value = text(row, name, where)
    if not value.strip():
        raise UnusableRowError(f"its {name!r} is empty", where=where)
    return value


def texts(row: Row, name: str, where: str) -> list[str]:
    """A field's list of texts.

    Raises:
        InputError: The field is missing, or not a list of texts.
    """
    return as_texts(field(row, name, where), name, where)


def as_texts(value: object, name: str, where: str) -> list[str]:
    """A value that must be a list of texts; see `texts`."""
    items = sequence(value, name, where)
    wrong = next((item for item in items if not isinstance(item, str)), None)
    if wrong is not None:
        raise InputError(f"the field {name!r} must be a list of texts, got {wrong!r:.80} in it", where=where)
    return cast("list[str]", list(items))


def sequence(value: object, name: str, where: str) -> Sequence[object]:
    """A value that must be a list.

    Raises:
        InputError: It is none.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise InputError(f"the field {name!r} must be a list, got {value!r:.80}", where=where)
    return cast("Sequence[object]", value)


def mapping(value: object, name: str, where: str) -> Row:
    """A value that must be an object with fields of its own.

    Raises:
        InputError: It is none.
    """
    if not isinstance(value, Mapping):
        raise InputError(f"the field {name!r} must be an object, got {value!r:.80}", where=where)
    return cast("Row", value)


def place(source: str, row: Row, *names: str) -> str:
    """Return the name of the row in an error: its source, and the first of these fields that it has."""
    found = next((row[name] for name in names if name in row), None)
    return source if found is None else f"{source} row {found!r:.60}"


def digest(question: str) -> str:
    """An id for a question of a source that gives none: the same question, the same id."""
    return hashlib.sha256(" ".join(question.split()).encode()).hexdigest()[:12]
