"""`sale serve`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from sale import config
from sale.cli.indexing import prepare_pool
from sale.cli.options import config_option
from sale.server.observing.log import configure_log
from sale.server.serving import run
from sale.server.serving import serve as served


@click.command()
@config_option
@click.option("--host", help="The address to listen at; [server] says 127.0.0.1 unless you do.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port; 0 for any that is free.")
@click.option("--quiet", is_flag=True, help="No progress on stderr while weights are fetched.")
def serve(config_file: Path | None, host: str | None, port: int | None, *, quiet: bool) -> None:
    """Serve the market as an OpenAI-compatible API, with its dashboard.

    Point any client at the address, with model = "sale". SIGHUP reads the settings again, SIGTERM ends gracefully.
    """
    # The same file on every reading; but one that was found in a repository must not have changed since it was allowed.
    chosen = config.find(config_file)

    def again() -> config.Settings:
        found = config.load(chosen or config.find(config_file), named=config_file is not None)
        changed = {"host": host, "port": port}
        given = {name: value for name, value in changed.items() if value is not None}
        return found.model_copy(update={"server": found.server.model_copy(update=given)})

    configure_log(sys.stderr, as_json=False, level=logging.WARNING)
    settings = again()
    prepare_pool(settings, quiet=quiet)
    # On stderr: standard output is for results, and here there are none.
    run(served(settings, again=again, ready=lambda url: click.echo(f"serving {url}/v1", err=True)))
