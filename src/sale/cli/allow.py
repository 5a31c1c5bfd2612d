"""`sale allow`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from sale import config
from sale.cli.board import plain
from sale.cli.options import json_option, output
from sale.errors import InputError


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default=Path(config.FILE))
@click.option("--revoke", is_flag=True, help="Believe it no longer.")
@json_option
def allow(file: Path, *, revoke: bool, as_json: bool) -> None:
    """Believe a sale.toml that lies in a repository, as it is now.

    FILE is ./sale.toml unless given. Settings start programs and send keys to addresses, so a file that may have come
    with a repository is ignored until you allow it, and after each change until you allow it again. What it can do is
    listed. `sale init` allows what it writes; with --config you name a file yourself, and it needs no leave.
    """
    if revoke:
        known = config.disallow(file)
        powers: list[str] = []
        said = f"{file} is no longer allowed." if known else f"{file} was not allowed."
    else:
        if not file.is_file():
            raise InputError("there is no such file", where=str(file))
        powers = list(_powers(config.load(file)))
        try:
            config.allow(file)
        except OSError as error:
            raise InputError(f"it cannot be noted that the file is allowed: {error}", where=str(file)) from error
        said = f"{file} is allowed as it is now."
    if as_json:
        click.echo(json.dumps({"schema": "sale.allow/1", "path": str(file), "allowed": not revoke, "can": powers}))
        return
    output().print(said)
    for power in powers:
        output().print(f"  {plain(power)}")


def _powers(settings: config.Settings) -> Iterator[str]:
    """Yield what settings have done on this machine and what they send where, a line each."""
    for agent in settings.agents:
        yield from _powers_of(agent)
    for server in settings.tools.mcp:
        if server.command:
            yield f"MCP server {server.name!r} starts {' '.join((server.command, *server.args))}{_given(*server.env)}"
        else:
            yield f"MCP server {server.name!r} is {server.url}{_given(server.token_env)}"
    if search := settings.tools.search:
        yield f"searches go to {search.endpoint or search.provider}{_given(search.api_key_env)}"
    if embeddings := settings.server.embeddings:
        yield f"embeddings are asked of {embeddings.endpoint}{_given(embeddings.api_key_env)}"
    if settings.memory.url is not None:
        yield "the auction memory is a database on a server"
    if settings.sandbox.unsafe_subprocess:
        yield "code written by models may run WITHOUT a sandbox"
    for tree in settings.workspace.visible:
        yield f"commands over a repository see {tree}"


def _powers_of(agent: config.AgentSettings) -> Iterator[str]:
    if agent.command:
        yield f"agent {agent.name!r} starts {' '.join(agent.command)}{_given(*agent.env)}"
    if agent.function:
        yield f"agent {agent.name!r} loads {agent.function}"
    if agent.endpoint:
        yield f"agent {agent.name!r} sends tasks to {agent.endpoint}{_given(agent.api_key_env)}"


def _given(*variables: str | None) -> str:
    named = ", ".join(variable for variable in variables if variable)
    return f", with {named} of the environment" if named else ""
