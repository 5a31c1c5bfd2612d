"""Ends that come from outside an auction or its work: a cancellation, or an error that none of them foresees."""

from __future__ import annotations

import asyncio

from sale.auction.text import clip, make_storable
from sale.errors import SaleError, first_error

BREAKS = (Exception, asyncio.CancelledError, KeyboardInterrupt, SystemExit)
"""All that may end an auction or the work; whichever it is, what was paid goes on record."""
SHOWN_BYTES = 300


def describe_break(error: BaseException, stage: str = "") -> str:
    """Describe such an end for the record.

    Args:
        error: Raised by it; of a group of errors, the first one counts.
        stage: The part of the task it happened in, `at work`.
    """
    error = first_error(error)
    if isinstance(error, asyncio.CancelledError):
        return f"cancelled {stage}".strip()
    if isinstance(error, SaleError):
        text = f"{error.code}: {error}"
    else:
        text = clip(make_storable(f"{type(error).__name__}: {error}"), SHOWN_BYTES)
    return f"{stage}: {text}" if stage else text
