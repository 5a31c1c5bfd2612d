"""Finding and reading `sale.toml`."""

from __future__ import annotations

import logging
import tomllib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import platformdirs
from pydantic import ValidationError

from sale.config.environment import APP, FILE, named_file
from sale.config.faults import all_faults
from sale.config.settings import Settings
from sale.config.tools import ToolSettings
from sale.config.trust import Standing, is_foreign, standing_of
from sale.errors import ConfigError, InputError
from sale.files.reading import read_text

_ARCHIVED = "memory-*.jsonl"
LOG = logging.getLogger("sale.config")


def load(path: Path | None = None, *, workspace: Path | None = None, named: bool = True) -> Settings:
    """Read the settings in force. What is ignored is said in a line of the log `sale.config`.

    Args:
        path: The file; looked for in the usual places unless given.
        workspace: The directory that agents are to work on: a `sale.toml` in it came with it, and is not believed.
        named: Whether it was the user who named the path. A file that was found before, and is read again, is not: it
            may have changed with its repository since.

    Raises:
        ConfigError: The file is missing, is not TOML, or has an impossible value; every fault is named. Or it
            lies in a repository and has changed since it was allowed.
    """
    found = find(path, workspace=workspace)
    if path is not None and not named:
        _check_again(path, workspace)
    if found is None:
        return parse(shipped_text(), origin="the embedded pool (no sale.toml found)")
    if not found.exists():
        raise ConfigError("there is no such file", where=str(found), hint="`sale init` writes one.")
    try:
        text = read_text(found)
    except InputError as error:
        raise ConfigError(error.message, where=str(found), hint=error.hint) from error
    return parse(text, origin=str(found), base=found.absolute().parent)


def find(path: Path | None = None, *, workspace: Path | None = None) -> Path | None:
    """Return the file that is in force, or `None` for the shipped one; see `load`.

    A file that was asked for by name need not exist. One in the working directory that may have come with a repository
    is passed by unless the user has allowed it (`sale.config.trust`). If it was allowed and has changed since, that is
    an error: to go on with other agents than the user has chosen would be worse than to stop.
    """
    if path is not None:
        return path
    if named := named_file():
        return named
    here, users = Path(FILE), _users_file()
    elsewhere = users if users.is_file() else None
    if not here.is_file():
        return elsewhere
    if _check_trust(here, workspace) == "unknown":
        LOG.warning(
            "%s is ignored, as it may have come with the repository and could start programs and send your keys "
            "anywhere: read it, then `sale allow` believes it. Used instead: %s",
            here.absolute(),
            elsewhere or "the embedded pool",
        )
        return elsewhere
    return here


def _users_file() -> Path:
    return platformdirs.user_config_path(APP) / FILE


def _check_trust(file: Path, workspace: Path | None) -> Standing:
    """Return whether a file that was found is believed, `allowed`, or was never allowed, `unknown`.

    Raises:
        ConfigError: It was allowed and has changed since, or cannot be read.
    """
    if not is_foreign(file, workspace=workspace):
        return "allowed"
    try:
        standing = standing_of(file)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error}", where=str(file.absolute())) from error
    if standing == "changed":
        raise ConfigError(
            "it lies in a repository and has changed since you allowed it",
            where=str(file.absolute()),
            hint="Read it, then `sale allow`; or name a file with --config.",
        )
    return standing


def _check_again(file: Path, workspace: Path | None) -> None:
    """Check that a file that was found and believed before still is.

    Raises:
        ConfigError: It is not.
    """
    if file in {named_file(), _users_file()} or not file.is_file():
        return
    if _check_trust(file, workspace) == "unknown":
        raise ConfigError(
            "it lies in a repository and is not allowed",
            where=str(file.absolute()),
            hint="Read it, then `sale allow`; or name a file with --config.",
        )


def shipped_text() -> str:
    """The text of the `sale.toml` in the package: the embedded pool."""
    return files("sale").joinpath(FILE).read_text(encoding="utf-8")


def example() -> dict[str, str]:
    """The example pool of the package, by file name: its `sale.toml`, and the documents of its agents."""
    folder = files("sale.shipped").joinpath("libraries")
    return {one.name: one.read_text(encoding="utf-8") for one in folder.iterdir() if one.is_file()}


def parse(text: str, *, origin: str = "given", base: Path | None = None) -> Settings:
    """Settings from TOML text; relative paths in it are relative to `base`.

    Raises:
        ConfigError: As for `load`.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"not valid TOML: {error}", where=origin) from error
    if "origin" in document:
        raise ConfigError("unknown key 'origin'", where=origin)
    try:
        settings = Settings.model_validate({**document, "origin": origin})
    except ValidationError as error:
        raise ConfigError(all_faults(error), where=origin, hint="docs/configuration.md lists every key.") from error
    try:
        return _anchored(settings, base) if base else settings
    except RuntimeError as error:  # ~somebody
        raise ConfigError(f"no such user in a path: {error}", where=origin) from error


def _anchored(settings: Settings, base: Path) -> Settings:
    """Paths in a file are relative to the file, wherever the program is started."""
    agents = tuple(
        agent.model_copy(
            update={
                key: base / path.expanduser()
                for key, path in (("gguf", agent.gguf), ("directory", agent.directory))
                if path is not None
            }
            | ({"tools": _tools_from(agent.tools, base)} if agent.tools is not None else {})
            | ({"command": (_program(agent.command[0], base), *agent.command[1:])} if agent.command else {})
        )
        for agent in settings.agents
    )
    memory = settings.memory
    paths = {key: path for key, path in (("path", memory.path), ("archive", memory.archive)) if path is not None}
    memory = memory.model_copy(update={key: base / path.expanduser() for key, path in paths.items()})
    server = settings.server
    if (archive := settings.memory.archive) is not None and any(archive.glob(_ARCHIVED)):
        _check_not_left(archive, base, "memory.archive", settings.origin)
    if server.database is not None and "://" not in server.database:
        _check_not_left(Path(server.database), base, "server.database", settings.origin)
        server = server.model_copy(update={"database": str(base / Path(server.database).expanduser())})
    tools = _tools_from(settings.tools, base)
    visible = tuple(base / path.expanduser() for path in settings.workspace.visible)
    workspace = settings.workspace.model_copy(update={"visible": visible})
    return settings.model_copy(
        update={"agents": agents, "memory": memory, "server": server, "tools": tools, "workspace": workspace}
    )


def _check_not_left(path: Path, base: Path, key: str, origin: str) -> None:
    """Refuse to begin anew beside a file of before: such paths were relative to the working directory.

    Raises:
        ConfigError: There is none beside the settings, but one in the working directory.
    """
    meant = base / path.expanduser()
    if path.exists() and not meant.exists():
        raise ConfigError(
            f"{key} is relative to this file, where {meant} is missing; but there is {path.absolute()}",
            where=origin,
            hint=f"Move it to {meant}, or write its absolute path in {key}.",
        )


def _tools_from(tools: ToolSettings, base: Path) -> ToolSettings:
    search = tools.search
    if search is not None and search.corpus is not None:
        search = replace(search, corpus=base / search.corpus.expanduser())
    servers = tuple(
        replace(one, command=_program(one.command, base)) if one.command is not None else one for one in tools.mcp
    )
    return tools.model_copy(update={"search": search, "mcp": servers})


def _program(name: str, base: Path) -> str:
    """The program that a command names: a path where it holds a slash, else looked for on the `PATH`."""
    return str(base / Path(name).expanduser()) if "/" in name else name
