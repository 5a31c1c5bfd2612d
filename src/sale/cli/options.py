"""Options that several verbs share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

from sale.files.reading import STANDARD

F = TypeVar("F", bound=Callable[..., object])


class FilePath(click.Path):
    """A file to read or to write; `-` is standard input or output, and `./-` a file of that name."""

    def __init__(self, *, again: bool = False) -> None:
        """Existence and permissions are seen to by whoever opens it: a pipe or a device may be named, too.

        Args:
            again: It is read again, when the command goes on or by others, which no stream can be.
        """
        super().__init__(path_type=Path, dir_okay=False, allow_dash=True)
        self._again = again

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; absolute where it would else be taken for a standard stream."""
        found = Path(str(super().convert(str(value), param, ctx)))
        if self._again and str(value) == "-":
            self.fail("It is read again later, which a stream cannot be: name a file.", param, ctx)
        return found.absolute() if found == STANDARD and str(value) != "-" else found


FILE = FilePath()
KEPT_FILE = FilePath(again=True)


class FiniteRange(click.FloatRange):
    """A range of numbers, without what is none (`nan`, which lies in every range) and without infinity."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return found


DAYS = click.IntRange(1, 36_500)
"""A number of days back from today: no calendar goes back for ever."""
LISTED = click.IntRange(1, 1_000_000)
"""A number of lines to show."""


def config_option(command: F) -> F:
    """`--config FILE`."""
    return click.option("--config", "config_file", type=FILE, help="The sale.toml to use.")(command)


def json_option(command: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)


def output(taken: Path | None = None) -> Console:
    """Where results go. What models wrote is text, never markup.

    Args:
        taken: Where something else is written to: if that is standard output, this is standard error.
    """
    from sale.cli.consoles import ResultConsole

    return ResultConsole(stderr=taken == STANDARD)
