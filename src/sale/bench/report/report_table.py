"""A table as it is shown and as it is kept: Markdown for people, CSV for programs, from the same cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from sale.bench.stats import Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportTable:
    """One table."""

    key: str
    """Names its file: `coding-main`."""
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self, lead: str = "") -> str:
        """The table with its title and note.

        Args:
            lead: A sentence between title and table.
        """
        lines = [
            f"**{self.title}**",
            "",
            *([lead, ""] if lead else []),
            _line(self.head),
            _line(["---"] * len(self.head)),
            *map(_line, self.rows),
        ]
        return "\n".join([*lines, *(["", self.note] if self.note else [])])

    def csv(self) -> str:
        """The table as comma-separated values."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([self.head, *self.rows])
        return out.getvalue()


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def percent(found: Interval | None, digits: int = 1) -> str:
    """A share with its interval, in percent."""
    return format_scaled(found, 100, digits)


def micro(found: Interval | None, digits: int = 1) -> str:
    """Dollars with their interval, in millionths."""
    return format_scaled(found, 1e6, digits)


def format_scaled(found: Interval | None, factor: float, digits: int) -> str:
    """A figure with its interval, multiplied; a dash where there is none."""
    if found is None:
        return "–"
    value = _number(found.value * factor, digits)
    if found.low is None or found.high is None:
        return value
    return f"{value} ({_number(found.low * factor, digits)} to {_number(found.high * factor, digits)})"


def _number(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")
