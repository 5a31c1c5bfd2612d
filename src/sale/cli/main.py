"""`sale`: the command. Verbs are listed here and loaded when they are called, so that `sale --help` is quick."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version

import click
from rich.console import Console

from sale.errors import ConfigError, InputError, SaleError

# verb: (module of `sale.cli`, what it is for). The module has a click command or group of the verb's name.
VERBS = {
    "run": ("run", "Run a task through the market: auction, work, verification, settlement."),
    "bid": ("run", "Hold the auction only: who would do the task, and why."),
    "init": ("init", "Write a sale.toml from what this machine has."),
    "doctor": ("doctor", "Check every agent with one tiny call."),
    "models": ("models", "The embedded pool's weights: list, pull, rm, path."),
    "memory": ("memory", "The auction memory: list, show, search, export, import, forget, stats."),
    "feedback": ("feedback", "Set the outcome of a past auction."),
}
USAGE_FAULT = 2
INTERRUPTED = 130


class Verbs(click.Group):
    """A group that knows its verbs by name and loads one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the shape is click's
        """In the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load the verb."""
        if cmd_name not in VERBS:
            return None
        command = getattr(import_module(f"sale.cli.{VERBS[cmd_name][0]}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table, without loading a verb."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, purpose) for verb, (_, purpose) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("sale"), prog_name="sale")
def app() -> None:
    """A market for language-model agents.

    They bid with plans, a jury scores the plans, the best plan for its price does the work.
    """


def main() -> None:
    """Run the command. A mistake of the user's ends in one clear line and exit code 2, never in a traceback."""
    try:
        code: object = app(standalone_mode=False)  # what a verb ends with by click's Exit comes back as a number
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted; what was settled is on record")
        sys.exit(INTERRUPTED)
    except SaleError as error:
        _say(str(error))
        sys.exit(USAGE_FAULT if isinstance(error, ConfigError | InputError) else 1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has left; so do we, without a second complaint at exit
        sys.exit(1)


def _say(text: str) -> None:
    Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(f"sale: {text}")


if __name__ == "__main__":
    main()
