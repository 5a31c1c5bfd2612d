"""`sale`: the command. Verbs are listed here and loaded when they are called, so that `sale --help` is quick."""

from __future__ import annotations

import sys
from importlib.metadata import version

import click
from rich.console import Console

from sale.cli.lazy import Verbs
from sale.errors import ConfigError, InputError, SaleError

VERBS = {
    "run": ("run", "Run a task through the market: auction, work, verification, settlement."),
    "bid": ("run", "Hold the auction only: who would do the task, and why."),
    "init": ("init", "Write a sale.toml from what this machine has."),
    "allow": ("allow", "Believe a sale.toml that lies in a repository, as it is now."),
    "doctor": ("doctor", "Check every agent with one tiny call."),
    "models": ("models", "The embedded pool's weights: list, pull, rm, path."),
    "memory": ("memory", "The auction memory: list, show, search, export, import, forget, stats."),
    "feedback": ("feedback", "Set the outcome of a past auction."),
    "fit": ("fit", "Fit weights to the auctions on record."),
    "weights": ("weights", "Fitted weights: list, show, use, diff, check."),
    "replay": ("replay", "What other weights would have chosen on past traffic."),
    "serve": ("serve", "Serve the market as an OpenAI-compatible API, with its dashboard."),
    "mcp": ("mcp", "Serve the market to MCP clients: one tool, delegate(task)."),
    "keys": ("keys", "Virtual keys of the gateway: create, list, show, revoke."),
    "spend": ("spend", "What went through the gateway, and what it cost."),
    "bench": ("bench", "Benchmark tasks, recorded runs, routers replayed over them, reports."),
}
EXTRAS = {"fit": "learn", "replay": "learn", "mcp": "mcp", "serve": "server"}
USAGE_FAULT = 2
INTERRUPTED = 130


@click.group(cls=Verbs, verbs=VERBS, extras=EXTRAS, context_settings={"help_option_names": ["-h", "--help"]})
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
