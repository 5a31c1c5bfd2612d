"""`sale allow`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click

from sale import config, extensions
from sale.cli.board import plain
from sale.cli.options import json_option, output
from sale.errors import InputError
from sale.files.reading import decode_text, read_bytes

_USER = re.compile(r"(?<=://)[^:/]*+(:[^@]*+)?@")
"""User and password in the URL of a database, told apart as SQLAlchemy does it."""


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
        content = read_bytes(file.absolute())
        settings = config.parse(decode_text(content, str(file)), origin=str(file), base=file.absolute().parent)
        powers = list(_powers(settings))
        try:
            config.allow(file, content)
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
    yield from _loaded(settings)
    yield from _powers_of_tools(settings.tools)
    for agent in settings.agents:
        if agent.tools is not None:
            for power in _powers_of_tools(agent.tools):
                yield f"agent {agent.name!r}: {power}"
    if embeddings := settings.server.embeddings:
        yield f"embeddings are asked of {embeddings.endpoint}{_given(embeddings.api_key_env)}"
    if settings.memory.url is not None:
        yield f"the auction memory is the database {_without_password(settings.memory.url)}"
    if settings.server.database is not None and "://" in settings.server.database:
        yield f"keys and the ledger are in the database {_without_password(settings.server.database)}"
    if settings.sandbox.unsafe_subprocess:
        yield "code written by models may run WITHOUT a sandbox"
    for tree in settings.workspace.visible:
        yield f"commands over a repository see {tree}"


def _powers_of_tools(tools: config.ToolSettings) -> Iterator[str]:
    for server in tools.mcp:
        if server.command:
            yield f"MCP server {server.name!r} starts {' '.join((server.command, *server.args))}{_given(*server.env)}"
        else:
            yield f"MCP server {server.name!r} is {server.url}{_given(server.token_env)}"
    if search := tools.search:
        yield f"searches go to {search.endpoint or search.provider}{_given(search.api_key_env)}"


def _powers_of(agent: config.AgentSettings) -> Iterator[str]:
    keys = (agent.api_key_env, *agent.headers_env.values())
    if agent.command:
        yield f"agent {agent.name!r} starts {' '.join(agent.command)}{_given(*agent.env)}"
    if agent.function:
        yield f"agent {agent.name!r} loads {agent.function}"
    if agent.endpoint:
        yield f"agent {agent.name!r} sends tasks to {agent.endpoint}{_given(*keys)}"
    if agent.provider:
        usual = "" if agent.api_key_env else ", with the provider's usual key of the environment"
        yield f"agent {agent.name!r} sends tasks to {agent.base_url or agent.provider}{usual}{_given(*keys)}"


def _loaded(settings: config.Settings) -> Iterator[str]:
    """Yield the code that settings have run in this process: what they name that did not come with sale."""
    tools = [settings.tools, *(agent.tools for agent in settings.agents if agent.tools is not None)]
    named: list[tuple[str, extensions.Group, str | None]] = [
        *((f"agent {agent.name!r}", "agents", agent.kind) for agent in settings.agents),
        *((f"agent {agent.name!r}", "models", agent.provider) for agent in settings.agents),
        *((f"juror {juror.name!r}", "jurors", juror.kind) for juror in settings.jurors),
        *(("[[tools.own]]", "tools", tool.kind) for one in tools for tool in one.own),
        *(("[tools.search]", "providers", one.search.provider) for one in tools if one.search is not None),
        ("[verifier]", "verifiers", settings.verifier.kind if settings.verifier else None),
        ("[learning]", "objectives", settings.learning.objective),
        *(("[[bench.routers]]", "routers", router.kind) for router in settings.bench.routers),
    ]
    for where, group, name in named:
        if name is not None and name not in extensions.BUILT_IN[group]:
            yield f"{where} loads {name}"
    for juror in settings.jurors:
        if (function := juror.options.get("function")) is not None and juror.kind in extensions.BUILT_IN["jurors"]:
            yield f"juror {juror.name!r} loads {function}"
        if endpoint := juror.options.get("endpoint"):
            yield f"juror {juror.name!r} sends tasks to {endpoint}{_given(juror.options.get('api_key_env'))}"


def _given(*variables: str | None) -> str:
    named = ", ".join(variable for variable in variables if variable)
    return f", with {named} of the environment" if named else ""


def _without_password(url: str) -> str:
    return re.sub(r"(?<=[?&]password=)[^&]*", "…", _USER.sub("", url))
