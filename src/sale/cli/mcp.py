"""`sale mcp`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

import sale
from sale import config
from sale.cli.indexing import prepare_pool
from sale.cli.options import config_option
from sale.server.mcp import PORT, serve_address, serve_streams


@click.command()
@config_option
@click.option("--http", is_flag=True, help="Serve at an address of this machine (streamable HTTP).")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="The address's port; 0 for any that is free.",
)
@click.option("--quiet", is_flag=True, help="No progress on stderr while weights are fetched.")
def mcp(config_file: Path | None, *, http: bool, port: int, quiet: bool) -> None:
    """Serve the market to MCP clients: one tool, delegate(task).

    Without --http it speaks over standard input and output, to the client that starts it.
    """
    settings = config.load(config_file)
    prepare_pool(settings, quiet=quiet)
    asyncio.run(_serve(settings, port if http else None))


async def _serve(settings: config.Settings, port: int | None) -> None:
    async with sale.Market.from_config(settings=settings) as market:
        if port is None:
            await serve_streams(market)
        else:
            # On stderr: standard output is for results, and here there are none.
            await serve_address(market, port=port, ready=lambda url: click.echo(f"serving {url}", err=True))
