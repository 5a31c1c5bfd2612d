"""Intervals of the error rates of a check: of the Beta distribution that counts feedback and prior alone."""

from __future__ import annotations

from typing import Any

from scipy import stats as scipy_stats

from sale.learning.check_errors import CheckHistory, estimate_errors
from sale.learning.intervals import Interval
from sale.types import CheckErrors

_stats: Any = scipy_stats  # scipy is untyped

TAIL = 0.025


def error_intervals(history: CheckHistory, prior: CheckErrors) -> tuple[Interval, Interval]:
    """False-pass and false-fail rate, each with its 95 % interval."""
    found = estimate_errors(history, prior)
    wrong = history.passed_wrong + history.failed_wrong
    right = history.passed_right + history.failed_right
    return (
        _interval(found.false_pass, prior.evidence + wrong),
        _interval(found.false_fail, prior.evidence + right),
    )


def _interval(rate: float, answers: float) -> Interval:
    """Of the Beta distribution with this mean that counts like so many answers; half an answer either way is kept."""
    a, b = rate * answers + 0.5, (1.0 - rate) * answers + 0.5
    low, high = _stats.beta.ppf((TAIL, 1.0 - TAIL), a, b)
    return rate, min(rate, float(low)), max(rate, float(high))
