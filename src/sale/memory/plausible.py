"""The range of plausible amounts and times on record. Values outside it are faults of the program that wrote them.

A record from elsewhere that goes beyond is refused. One that is on record already (an earlier version took everything)
is counted as nothing where amounts are added up: one infinite amount would otherwise make every sum infinite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, case, func

MAX_DOLLARS: Final = 1e9
MAX_SECONDS: Final = 1e9
"""Some thirty years."""
MAX_TOKENS: Final = 10**12
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
MAX_INTEGER: Final = 2**63
"""The first whole number that no column holds."""
_AMOUNTS: Final[Mapping[str, float]] = {
    "dollars": MAX_DOLLARS,
    "price": MAX_DOLLARS,
    "seconds": MAX_SECONDS,
    "input_tokens": MAX_TOKENS,
    "output_tokens": MAX_TOKENS,
    "tokens": MAX_TOKENS,
}
"""Names of amounts, in whatever value they stand, and how much they may be; none is below zero."""


def amount(value: float | None, most: float) -> float:
    """An amount from the database; 0 where it can be none."""
    return value if value is not None and 0.0 <= value <= most else 0.0


def sum_of_dollars(column: ColumnElement[Any], where: ColumnElement[bool] | None = None) -> ColumnElement[Any]:
    """The sum of a column of dollars over those rows whose dollars can be some.

    Args:
        column: The column.
        where: Which rows count besides; all unless given.
    """
    possible = column.between(0.0, MAX_DOLLARS)
    return func.sum(case((possible if where is None else where & possible, column), else_=0.0))


def find_implausible(value: object, place: str) -> str | None:
    """Where in a record there is a number or a time that can be none; `None` where there is no such place.

    Args:
        value: A record, or a value in it.
        place: Where it is, for the message.
    """
    if isinstance(value, datetime):
        known = value.tzinfo is None or EARLIEST <= value < LATEST
        return None if known else f"{place}: {value.year} is no year of an auction"
    if isinstance(value, int | float):
        return _number(value, place)
    found = (find_implausible(item, f"{place}.{name}") for name, item in _inner(value, place))
    return next((fault for fault in found if fault), None)


def _number(value: float, place: str) -> str | None:
    if isinstance(value, int) and not -MAX_INTEGER <= value < MAX_INTEGER:
        return f"{place}: too large a number"
    most = _AMOUNTS.get(place.rpartition(".")[2])
    if most is not None and not 0 <= value <= most:
        return f"{place}: {value!r} is not between 0 and {most:g}"
    return f"{place}: it is infinite" if math.isinf(value) else None


def _inner(value: object, place: str) -> Iterator[tuple[str, object]]:
    """The parts of a value; none of a trace, which is kept as JSON, whatever it is."""
    if place.endswith(".trace"):
        return
    if is_dataclass(value) and not isinstance(value, type):
        yield from ((field.name, getattr(value, field.name)) for field in fields(value))
    elif isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in cast("Mapping[object, object]", value).items())
    elif isinstance(value, tuple):
        yield from ((str(number), item) for number, item in enumerate(cast("tuple[object, ...]", value)))
