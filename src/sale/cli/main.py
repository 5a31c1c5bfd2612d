"""`sale`: the command. Verbs are listed here and loaded when they are called, so that `sale --help` is quick."""

from __future__ import annotations

import sys
from importlib.metadata import version

import click

from sale.cli.lazy import LazyGroup
from sale.cli.signals import SignalEnding
from sale.cli.statuses import FAILED, READER_LEFT, STATUSES, USAGE_FAULT, status_of_signal
from sale.cli.streams import abandon_output, finish_output, prepare_streams, tell
from sale.errors import ConfigError, InputError, MissingExtraError, SaleError, first_error
from sale.files.reading import STANDARD
from sale.files.writing import explain_output

VERBS = {
    "trial": ("trial", "Would a market pay? Every agent on a sample of your tasks, under a cap in dollars."),
    "run": ("run", "Run a task through the market: auction, work, verification, settlement."),
    "bid": ("run", "Hold the auction only: who would do the task, and why."),
    "batch": ("batch", "Many tasks through the market, each once, under a cap in dollars."),
    "init": ("init", "Write a sale.toml from what this machine has."),
    "allow": ("allow", "Believe a sale.toml that lies in a repository, as it is now."),
    "doctor": ("doctor", "Check every agent with one tiny call."),
    "models": ("models", "The embedded pool's weights: list, pull, rm, path."),
    "memory": ("memory", "The auction memory: list, show, search, export, import, forget, compact, stats."),
    "import": ("import_work", "Past work from logs of other programs: track records and prices."),
    "feedback": ("feedback", "Set the outcome of a past auction."),
    "fit": ("fit", "Fit weights to the auctions on record."),
    "weights": ("weights", "Fitted weights: list, show, use, diff, check, checks, jury, map."),
    "replay": ("replay", "What other weights would have chosen on past traffic."),
    "serve": ("serve", "Serve the market as an OpenAI-compatible API, with its dashboard."),
    "mcp": ("mcp", "Serve the market to MCP clients: one tool, delegate(task)."),
    "keys": ("keys", "Virtual keys of the gateway: create, list, show, revoke, delete."),
    "shadow": ("shadow", "What a switch from the incumbent to the market would save."),
    "spend": ("spend", "What went through the gateway, and what it cost."),
    "ledger": ("ledger", "The gateway's ledger: old lines to Parquet files."),
    "bench": ("bench", "Benchmark tasks, recorded runs, routers replayed over them, reports."),
}
EXTRA_OF = {
    "scipy": "learn",
    "sklearn": "bench",
    "matplotlib": "bench",
    "onnxruntime": "local",
    "mcp": "mcp",
    "ray": "ray",
    "pyarrow": "archive",
}
"""Packages that some verbs load while they work, and the extra that brings each."""
EXTRAS = {"trial": "bench", "fit": "learn", "replay": "learn", "mcp": "mcp", "serve": "server"}


class _ReaderLeftError(Exception):
    """Standard output was closed by its reader; under a name that click does not end the process for."""


class _App(LazyGroup):
    """The command itself."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb.

        Raises:
            _ReaderLeftError: Whoever read the output has left.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderLeftError from error

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table of exit statuses."""
        with formatter.section("Exit statuses"):
            formatter.write_dl([(str(number), meaning) for number, meaning in STATUSES.items()])


@click.group(
    cls=_App,
    verbs=VERBS,
    extras=EXTRAS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(version("sale"), prog_name="sale")
def app() -> None:
    """A market for language-model agents.

    They bid with plans, a jury scores the plans, the best plan for its price does the work.
    """


def main() -> None:
    """Run the command. Whatever happens ends in one clear line and the status for it, never in a traceback."""
    prepare_streams()
    ending = SignalEnding()
    ending.watch()
    try:
        status = _run()
        finish_output()
    except (click.Abort, KeyboardInterrupt):
        tell("interrupted; what was settled is on record")
        status = status_of_signal(ending.signal)
    except (_ReaderLeftError, BrokenPipeError):
        abandon_output()  # the reader of our output has left, and so do we, without a complaint
        status = READER_LEFT
    except OSError as error:
        abandon_output()
        tell(str(explain_output(error, error.filename or STANDARD)))
        status = FAILED
    sys.exit(status)


def _run() -> int:
    """Run the verb; gives back its status.

    Raises:
        KeyboardInterrupt: It was interrupted; `click.Abort` where click has noticed it.
        OSError: Its result could not be shown.
    """
    try:
        code: object = app(standalone_mode=False)  # what a verb ends with by click's Exit comes back as a number
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SaleError as error:
        return _explain(error)
    except ModuleNotFoundError as error:
        return _explain(_missing(error))
    except BaseExceptionGroup as group:
        first = first_error(group)
        if isinstance(first, SaleError):
            return _explain(first)
        if isinstance(first, OSError | KeyboardInterrupt):
            raise first from None
        raise
    return code if isinstance(code, int) else 0


def _missing(error: ModuleNotFoundError) -> SaleError:
    """Name the extra of the package that a verb needs, where the verb has loaded it only while it worked.

    Raises:
        ModuleNotFoundError: It belongs to none.
    """
    package = (error.name or "").partition(".")[0]
    if package not in EXTRA_OF:
        raise error
    return MissingExtraError(f"this needs {package}", hint=f"pip install 'sale[{EXTRA_OF[package]}]'")


def _explain(error: SaleError) -> int:
    """Say what was wrong; gives back the status for it."""
    tell(str(error))
    return USAGE_FAULT if isinstance(error, ConfigError | InputError) else FAILED


if __name__ == "__main__":
    main()
