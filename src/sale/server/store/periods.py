"""When a budget's period begins and ends, and money without rounding: pure functions."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

from sale.server.store.types import Period

NANO: Final = 10**9
ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The beginning of the one period of a budget that has none."""
DECEMBER: Final = 12


def start_of(period: Period | None, at: datetime) -> datetime:
    """The beginning of the period that `at` is in, in UTC."""
    if period is None:
        return ALWAYS
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == "month" else day


def end_of(period: Period | None, start: datetime) -> datetime | None:
    """The first instant after the period that begins at `start`; `None` where it never ends."""
    if period is None:
        return None
    if period == "month":
        year, month = (start.year + 1, 1) if start.month == DECEMBER else (start.year, start.month + 1)
        return start.replace(year=year, month=month)
    return start + timedelta(days=7 if period == "week" else 1)


def nano(dollars: float) -> int:
    """Dollars as whole nano-dollars, to the nearest.

    Raises:
        ValueError: They are negative, infinite or not a number.
    """
    if not 0 <= dollars < math.inf:
        raise ValueError(f"dollars must be from 0 up, got {dollars!r}")
    return round(dollars * NANO)


def dollars(amount: int) -> float:
    """Nano-dollars as dollars."""
    return amount / NANO
