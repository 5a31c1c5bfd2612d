"""Which auctions a page is about, and how its time is cut: into days, weeks or months, as many as one can read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, TypeVar

from sale.memory.figures import Span

T = TypeVar("T")
Cut = Literal["day", "week", "month"]

CHOICES: tuple[tuple[str, str], ...] = (("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("all", "all time"))
USUAL = "30"
DAYS_IN_DAYS = 45
DAYS_IN_WEEKS = 400
DAYS_IN_A_WEEK = 7
DAYS_IN_TWO_MONTHS = 62


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What was asked for."""

    days: str
    here: bool
    """Without what was imported."""

    @property
    def span(self) -> Span:
        """For the memory."""
        if self.days == "all":
            return Span(held_here=self.here)
        first = datetime.now(UTC).date() - timedelta(days=int(self.days) - 1)
        return Span(since=_start(first), held_here=self.here)

    @property
    def said(self) -> str:
        """In words."""
        return "all time" if self.days == "all" else f"the last {self.days} days"


def choice(days: str | None, here: str | None) -> Choice:
    """From an address; what is no choice is the usual one."""
    known = dict(CHOICES)
    return Choice(days=days if days in known else USUAL, here=here == "1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Periods:
    """A row of periods without gaps."""

    cut: Cut
    starts: tuple[date, ...]

    @property
    def names(self) -> list[str]:
        """How each is written."""
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
    """From the first of these times until today.

    Args:
        times: When things happened.
        least: How many should fall into a period on average, for shares of them to mean something.
    """
    end = datetime.now(UTC).date()
    start = min((time.astimezone(UTC).date() for time in times), default=end)
    length = (end - start).days + 1
    wanted = least * length / len(times) if times else 0.0  # days that hold so many
    cut: Cut = "day" if length <= DAYS_IN_DAYS else "week" if length <= DAYS_IN_WEEKS else "month"
    if cut == "day" and wanted > 1 and length > DAYS_IN_A_WEEK:
        cut = "week"
    if cut == "week" and wanted > DAYS_IN_A_WEEK and length > DAYS_IN_TWO_MONTHS:
        cut = "month"
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
