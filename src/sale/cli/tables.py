"""Tables of the command line. What does not fit goes on in the next line, never cut: names may differ at their ends.

Numbers and days are never broken: on a narrow terminal texts are, headings at their spaces, and where that is not
enough columns are left out, which a line below the table says.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table

MIN_TEXT_WIDTH = 10
"""Characters of a text that stay together, if it has a word as long: those of a day, `2026-11-30`."""
UNBOUNDED = 10_000
"""Characters of a terminal on which every table fits."""


def make_table(
    *headings: str, right: Collection[str] = (), whole: Collection[str] = (), spare: Sequence[str] = ()
) -> Table:
    """A table with a rule under its headings.

    Args:
        headings: Of the columns; a line break in one is kept.
        right: Those whose column holds numbers.
        whole: Those whose cells stay on one line: short names that users copy.
        spare: Those whose column is left out where the terminal is too narrow for all, the least needed first.
    """
    table = FittedTable(spare)
    for heading in headings:
        justify = "right" if heading in right else "left"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=heading in whole)
    return table


def make_list(*, bold_first: bool = False) -> Table:
    """A table without headings or rules, each row an item and what is said of it."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold" if bold_first else None, overflow="fold")
    return table


class FittedTable(Table):
    """A table that is laid out for the width of the terminal."""

    def __init__(self, spare: Sequence[str] = ()) -> None:
        """Without columns.

        Args:
            spare: Headings of columns that may be left out, the least needed first.
        """
        super().__init__(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        self._spare = tuple(spare)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table as it is, where it fits; else in columns of widths that break no number."""
        whole = self.__rich_measure__(console, options.update(max_width=UNBOUNDED)).maximum
        if whole <= options.max_width or (fitted := self._fitted(console, options)) is None:
            yield from super().__rich_console__(console, options)
        else:
            yield fitted

    def _fitted(self, console: Console, options: ConsoleOptions) -> Table | None:
        """The table with as many of its columns as have room; `None` where those that must stay have none."""
        free = options.update(max_width=UNBOUNDED)
        needs = [self._need(column, console, free) for column in self.columns]
        kept = list(range(len(needs)))
        names = [str(column.header).replace("\n", " ") for column in self.columns]
        for heading in ("", *self._spare):
            kept = [place for place in kept if not heading or names[place] != heading]
            room = options.max_width - _frame(len(kept)) - sum(needs[place].least for place in kept)
            if room >= 0:
                widths = _share(room, [needs[place] for place in kept])
                return self._narrowed(kept, widths, [one for one in names if one not in {names[at] for at in kept}])
        return None

    def _need(self, column: Column, console: Console, options: ConsoleOptions) -> _ColumnNeed:
        cells: list[RenderableType] = [*column.cells]
        around: list[RenderableType] = [column.header, *([column.footer] if self.show_footer else [])]
        sizes = [Measurement.get(console, options, cell) for cell in (*cells, *around)]
        heading = Measurement.get(console, options, column.header)
        most = max(size.maximum for size in sizes)
        if column.no_wrap:
            return _ColumnNeed(most, most)
        least = max(size.minimum for size in sizes)
        if column.justify != "right":
            least = max(min(least, MIN_TEXT_WIDTH), heading.minimum)
        return _ColumnNeed(least, most)

    def _narrowed(self, kept: Sequence[int], widths: Sequence[int], left_out: Sequence[str]) -> Table:
        table = Table(box=self.box, pad_edge=False, padding=(0, 1, 0, 0), show_footer=self.show_footer)
        for place, width in zip(kept, widths, strict=True):
            one = self.columns[place]
            table.add_column(one.header, one.footer, style=one.style, justify=one.justify, overflow="fold", width=width)
        cells = [list(self.columns[place].cells) for place in kept]
        for number, row in enumerate(self.rows):
            table.add_row(*(column[number] for column in cells), style=row.style, end_section=row.end_section)
        if left_out:
            table.caption = f"Left out: {', '.join(left_out)}. A wider terminal shows all, and so does --json."
            table.caption_justify = "left"
        return table


@dataclass(frozen=True, slots=True)
class _ColumnNeed:
    """The widths of a column, in characters."""

    least: int
    """At which nothing is broken that must not be."""
    most: int
    """Beyond which it takes no more."""


def _frame(columns: int) -> int:
    """Characters that stand around the cells of a row: two edges, and for each column its padding and a divider."""
    return 2 + columns + columns - 1


def _share(room: int, needs: Sequence[_ColumnNeed]) -> list[int]:
    """The widths of columns where so much room is left beyond what they need; the narrowest grow first."""
    widths = [need.least for need in needs]
    for _ in range(room):
        growing = [place for place, need in enumerate(needs) if widths[place] < need.most]
        if not growing:
            break
        widths[min(growing, key=lambda place: widths[place])] += 1
    return widths
