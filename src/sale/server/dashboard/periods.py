"""Which auctions a page is about, and how its time is cut: into days, weeks or months, as many as one can read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, TypeVar

from sale.memory.figures import FigureScope
from sale.memory.plausible import EARLIEST

T = TypeVar("T")
Cut = Literal["day", "week", "month"]

CHOICES: tuple[tuple[str, str], ...] = (("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("all", "all time"))
USUAL = "30"
MAX_CUT_DAYS: tuple[tuple[Cut, float], ...] = (("day", 45), ("week", 400), ("month", math.inf))
"""Cuts, the finest first, and up to how many days they are used for."""
FIRST = EARLIEST.date()
"""The first day that periods begin at."""
FEW = 4
"""Periods that show no course of things."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PeriodChoice:
    """The choice of a period, as asked for."""

    days: str
    here: bool
    """Without what was imported."""

    @property
    def span(self) -> FigureScope:
        """For the memory."""
        if self.days == "all":
            return FigureScope(held_here=self.here)
        first = datetime.now(UTC).date() - timedelta(days=int(self.days) - 1)
        return FigureScope(since=_start(first), held_here=self.here)

    @property
    def said(self) -> str:
        """In words."""
        return "all time" if self.days == "all" else f"the last {self.days} days"


def choice(days: str | None, here: str | None) -> PeriodChoice:
    """From an address; an unknown choice is the usual one."""
    known = dict(CHOICES)
    return PeriodChoice(days=days if days in known else USUAL, here=here == "1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Periods:
    """A row of periods without gaps."""

    cut: Cut
    starts: tuple[date, ...]

    @property
    def names(self) -> list[str]:
        """The names of the periods."""
        pattern = "%b %Y" if self.cut == "month" else "%d %b"
        return [f"{start:{pattern}}" for start in self.starts]

    def group(self, things: Iterable[T], when: Callable[[T], datetime]) -> list[list[T]]:
        """Things by period."""
        place = {start: number for number, start in enumerate(self.starts)}
        found: list[list[T]] = [[] for _ in self.starts]
        for thing in things:
            number = place.get(_begin(when(thing).astimezone(UTC).date(), self.cut))
            if number is not None:
                found[number].append(thing)
        return found


def periods(times: Sequence[datetime], least: int = 0) -> Periods:
    """From the first of these times until today, cut as finely as can be read.

    Args:
        times: When things happened.
        least: How many should fall into most periods, for shares of them to mean something.
    """
    end = datetime.now(UTC).date()
    # A record of a clock that was wrong, or of an earlier version, may be of any year: it is in no period.
    days = [day for time in times if FIRST <= (day := time.astimezone(UTC).date()) <= end]
    start = min(days, default=end)
    cuts = [_cut(start, end, cut) for cut, longest in MAX_CUT_DAYS if (end - start).days < longest]
    readable = [one for one in cuts if len(one.starts) >= FEW] or cuts[:1]
    return next((one for one in readable if _is_busy(one, days, least)), readable[-1])


def _is_busy(row: Periods, days: Sequence[date], least: int) -> bool:
    """Return whether at least half of the periods hold so many."""
    held = Counter(_begin(day, row.cut) for day in days)
    return 2 * sum(held[first] >= least for first in row.starts) >= len(row.starts)


def _cut(start: date, end: date, cut: Cut) -> Periods:
    starts = [_begin(start, cut)]
    while (following := _next(starts[-1], cut)) <= end:
        starts.append(following)
    return Periods(cut=cut, starts=tuple(starts))


def _begin(day: date, cut: Cut) -> date:
    return {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[cut]


def _next(start: date, cut: Cut) -> date:
    if cut == "month":
        return (start + timedelta(days=32)).replace(day=1)
    return start + timedelta(days=1 if cut == "day" else 7)


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
