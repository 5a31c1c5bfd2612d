"""A group of verbs that are known by name and loaded when they are called, so that `--help` is quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from keyword import iskeyword
from typing import Any

import click

from sale.errors import MissingExtraError

Table = Mapping[str, tuple[str, str]]
"""Verb: (module of `sale.cli`, what it is for). The module has a click command or group of the verb's name."""


class LazyGroup(click.Group):
    """A group that loads a verb when it is called."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401  they are click's
        verbs: Table,
        extras: Mapping[str, str] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """As a click group, with the table of its verbs, and by verb the extra of the package that it needs."""
        super().__init__(*args, **kwargs)
        self._verbs = verbs
        self._extras = extras or {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the shape is click's
        """In the order of the table."""
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load the verb.

        Raises:
            MissingExtraError: It needs a package of an extra that is not installed.
        """
        if cmd_name not in self._verbs:
            return None
        try:
            module = import_module(f"sale.cli.{self._verbs[cmd_name][0]}")
        except ModuleNotFoundError as error:
            extra = self._extras.get(cmd_name)
            if extra is None or (error.name or "").startswith("sale"):
                raise
            raise MissingExtraError(
                f"`{self.name} {cmd_name}` needs {error.name}", hint=f"pip install 'sale[{extra}]'"
            ) from error
        command = getattr(module, f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, without loading others.

        Raises:
            NoSuchCommand: The verb is unknown; the message names verbs that are written alike.
        """
        if args[0] not in self._verbs and args[0][:1].isalnum() and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(args[0], possibilities=list(self._verbs), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table, without loading a verb."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, purpose) for verb, (_, purpose) in self._verbs.items()])
