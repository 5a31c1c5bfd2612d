"""Numbers that others wrote, in headers, in replies: a number that can be counted with, or none at all."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

MAX_DIGITS: Final = 18
"""Digits of the longest whole number that is read: it fits into 64 bits, and Python reads it at once."""
MAX_WAIT: Final = 3600.0
"""Seconds of the longest wait that another program may ask for."""


def parse_finite(text: object) -> float | None:
    """Read a number; `None` where it is none, not finite, or no text or number at all."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return None
    try:
        value = float(text)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def parse_whole(text: object) -> int | None:
    """Read a whole number of zero or more in the digits 0 to 9; `None` where it is none, or too long to be one."""
    if not isinstance(text, str) or not text.isascii() or not text.isdecimal() or len(text) > MAX_DIGITS:
        return None
    return int(text)


def wait_of(header: str | None, now: datetime | None = None) -> float | None:
    """Read a `Retry-After`: seconds, or a date; `None` where it says nothing that could be waited for.

    Args:
        header: Its value, if it was there.
        now: The time a date is compared with; this moment unless given.

    Returns:
        Seconds from 0, for a date that has passed, to an hour.
    """
    if header is None:
        return None
    seconds = parse_finite(header)
    if seconds is not None:
        return None if seconds < 0 else min(seconds, MAX_WAIT)
    try:
        then = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    then = then if then.tzinfo is not None else then.replace(tzinfo=UTC)
    return min(max((then - (now or datetime.now(UTC))).total_seconds(), 0.0), MAX_WAIT)
