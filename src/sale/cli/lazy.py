"""A group of verbs that are known by name and loaded when they are called, so that `--help` is quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

Table = Mapping[str, tuple[str, str]]
"""Verb: (module of `sale.cli`, what it is for). The module has a click command or group of the verb's name."""


class Verbs(click.Group):
    """A group that loads a verb when it is called."""

    def __init__(self, *args: Any, verbs: Table, **kwargs: Any) -> None:  # noqa: ANN401  they are click's
        """As a click group, with the table of its verbs."""
        super().__init__(*args, **kwargs)
        self._verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the shape is click's
        """In the order of the table."""
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load the verb."""
        if cmd_name not in self._verbs:
            return None
        command = getattr(import_module(f"sale.cli.{self._verbs[cmd_name][0]}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table, without loading a verb."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, purpose) for verb, (_, purpose) in self._verbs.items()])
