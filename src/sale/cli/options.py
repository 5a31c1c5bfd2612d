"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

F = TypeVar("F", bound=Callable[..., object])


def config_option(command: F) -> F:
    """`--config FILE`."""
    kind = click.Path(path_type=Path, dir_okay=False)
    return click.option("--config", "config_file", type=kind, help="The sale.toml to use.")(command)


def json_option(command: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)


def output() -> Console:
    """Where results go. What models wrote is text, never markup."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)
