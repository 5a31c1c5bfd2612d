"""Tables of the command line. What does not fit goes on in the next line, never cut: names may differ at their ends."""

from __future__ import annotations

from collections.abc import Collection

from rich import box
from rich.table import Table


def make_table(*headings: str, right: Collection[str] = (), whole: Collection[str] = ()) -> Table:
    """A table with a rule under its headings.

    Args:
        headings: Of the columns; a line break in one is kept.
        right: Those whose column holds numbers.
        whole: Those whose cells stay on one line: short names that users copy.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        justify = "right" if heading in right else "left"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=heading in whole)
    return table


def make_list(*, bold_first: bool = False) -> Table:
    """A table without headings or rules, each row an item and what is said of it."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold" if bold_first else None, overflow="fold")
    return table
