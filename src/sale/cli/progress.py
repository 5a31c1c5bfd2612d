"""The progress of what takes a while, on standard error: bars in a terminal, elsewhere a line now and then.

Every command that works through steps reports here. Standard output stays for results.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from sale.cli.consoles import PlainConsole
from sale.wording import quantity

LINE_SECONDS = 10.0
"""Seconds between two lines of one row, where there is no live terminal."""
BYTES = "bytes"
"""The unit of what is counted in megabytes, with its speed."""


class ProgressReport:
    """Rows of steps under way; shown while the block lasts."""

    def __init__(self, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is shown before there is a row.

        Args:
            quiet: Show nothing at all.
            clock: Seconds that only grow.
        """
        self._console = PlainConsole(stderr=True, soft_wrap=True)
        self._clock = clock
        self._lines = not quiet and not self._console.is_live
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[amount]}", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        self._bars = Progress(*columns, console=self._console, disable=quiet or self._lines)

    def row(self, title: str, *, total: int | None = None, unit: str = "step", every: float = LINE_SECONDS) -> Row:
        """Begin a row.

        Args:
            title: What is done.
            total: How many steps it has, where that is known.
            unit: What one step is called, or `BYTES`.
            every: Seconds that lie at least between two lines; 0 where each step is worth one.
        """
        bar = self._bars.add_task(title, total=total, amount="", note="")
        return Row(self, title, bar, total=total, unit=unit, every=every)

    def draw(self, bar: TaskID, *, title: str, done: int, total: int | None, amount: str, note: str) -> None:
        """Bring a bar up to date."""
        self._bars.update(bar, description=title, completed=done, total=total, amount=amount, note=note)

    def say(self, line: str) -> None:
        """Print a line, where there are no bars; nothing is lost but the line if its reader has left."""
        if self._lines:
            with contextlib.suppress(BrokenPipeError):
                self._console.print(line, style="dim")

    @property
    def now(self) -> float:
        """The clock's time in seconds."""
        return self._clock()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


class Row:
    """One kind of steps: how many are done, of how many."""

    def __init__(
        self, report: ProgressReport, title: str, bar: TaskID, *, total: int | None, unit: str, every: float
    ) -> None:
        """As `ProgressReport.row` says."""
        self._report, self._bar = report, bar
        self._title, self._total, self._unit, self._every = title, total, unit, every
        self._began = report.now
        self._said: float | None = None
        self._first: tuple[float, int] | None = None
        self._shown = ""

    def update(self, done: int, *, total: int | None = None, title: str | None = None, note: str = "") -> None:
        """Say how far it is.

        Args:
            done: Steps done since the beginning.
            total: Of how many, where that is known now.
            title: Another title from now on.
            note: A few words on the step, or on what it has cost so far.
        """
        self._total = self._total if total is None else total
        self._title = title or self._title
        amount = self._amount(done)
        self._report.draw(self._bar, title=self._title, done=done, total=self._total, amount=amount, note=note)
        line = f"{self._title}: {amount}{f', {note}' if note else ''}"
        due = self._said is None or self._report.now - self._said >= self._every
        if line != self._shown and (due or done == self._total):
            self._said, self._shown = self._report.now, line
            self._report.say(line)

    def describe_left(self, done: int) -> str:
        """The time that the rest may take, at the pace so far: `, about 12 min left`; nothing where that is unknown."""
        now = self._report.now
        self._first = self._first or (now, done)
        began, first = self._first
        if self._total is None or done <= first or done >= self._total:
            return ""
        seconds = (now - began) / (done - first) * (self._total - done)
        return f", about {describe_seconds(seconds)} left"

    def _amount(self, done: int) -> str:
        if self._unit == BYTES:
            of = "" if self._total is None else f" of {self._total / 1e6:,.0f}"
            seconds = self._report.now - self._began
            speed = f", {done / 1e6 / seconds:,.1f} MB/s" if seconds >= 1.0 else ""
            return f"{done / 1e6:,.0f}{of} MB{speed}"
        return quantity(done, self._unit) if self._total is None else f"{done:,} of {quantity(self._total, self._unit)}"


def describe_seconds(seconds: float) -> str:
    """A duration in the largest unit of which there are two or more: `45 s`, `12 min`, `5 h`, `3 days`."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
