"""The progress of many tasks, on standard error: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_SECONDS = 30.0
"""Seconds between lines of progress, where there is no terminal."""


class TaskProgress:
    """Tasks done, time left, and a note."""

    def __init__(self, name: str, total: int, *, left: str = "left,", quiet: bool) -> None:
        """Nothing is shown yet.

        Args:
            name: Of what is done.
            total: How many tasks there are.
            left: Said after the time left.
            quiet: Show nothing.
        """
        self._total = total
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._last = -LINE_SECONDS
        columns = (
            TextColumn(name),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn(left + " {task.fields[note]}"),
        )
        self._bar = Progress(*columns, console=self._console, disable=quiet or not self._console.is_terminal)
        self._row = self._bar.add_task(name, total=total, note="")
        self._begun: tuple[float, int] | None = None

    def show(self, done: int, note: str, *, time_left: bool = False) -> None:
        """So many tasks are done.

        Args:
            done: How many.
            note: What else there is to say.
            time_left: Say in lines, too, how long the rest may take.
        """
        now = time.monotonic()
        self._begun = self._begun or (now, done)
        self._bar.update(self._row, completed=done, total=self._total, note=note)
        if not self._console.is_terminal and now - self._last >= LINE_SECONDS:
            self._last = now
            left = self._left(done, now) if time_left else ""
            self._console.print(f"{done} of {self._total} tasks, {note}{left}")

    def _left(self, done: int, now: float) -> str:
        began, first = self._begun or (now, done)
        if done <= first or done >= self._total:
            return ""
        seconds = (now - began) / (done - first) * (self._total - done)
        return f", about {describe_seconds(seconds)} left"

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def describe_seconds(seconds: float) -> str:
    """A duration in the largest unit of which there are two or more: `45 s`, `12 min`, `5 h`, `3 days`."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
