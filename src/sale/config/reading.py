"""Finding and reading `sale.toml`."""

from __future__ import annotations

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
from sale.errors import ConfigError


def load(path: Path | None = None) -> Settings:
    """Read the settings in force.

    Raises:
        ConfigError: The file is missing, is no TOML, or says something that cannot be; every fault is named.
    """
    found = find(path)
    if found is None:
        return parse(shipped(), origin="the embedded pool (no sale.toml found)")
    try:
        text = found.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("there is no such file", where=str(found), hint="`sale init` writes one.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(found)) from error
    return parse(text, origin=str(found), base=found.absolute().parent)


def find(path: Path | None = None) -> Path | None:
    """The file that is in force; `None` for the shipped one. A file that was asked for by name need not exist."""
    if path is not None:
        return path
    if named := named_file():
        return named
    for candidate in (Path(FILE), platformdirs.user_config_path(APP) / FILE):
        if candidate.is_file():
            return candidate
    return None


def shipped() -> str:
    """The text of the `sale.toml` in the package: the embedded pool."""
    return files("sale").joinpath(FILE).read_text(encoding="utf-8")


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
            | ({"tools": _with_corpus(agent.tools, base)} if agent.tools is not None else {})
        )
        for agent in settings.agents
    )
    memory = settings.memory
    if memory.path:
        memory = memory.model_copy(update={"path": base / memory.path.expanduser()})
    tools = _with_corpus(settings.tools, base)
    visible = tuple(base / path.expanduser() for path in settings.workspace.visible)
    workspace = settings.workspace.model_copy(update={"visible": visible})
    return settings.model_copy(update={"agents": agents, "memory": memory, "tools": tools, "workspace": workspace})


def _with_corpus(tools: ToolSettings, base: Path) -> ToolSettings:
    if tools.search is None or tools.search.corpus is None:
        return tools
    search = replace(tools.search, corpus=base / tools.search.corpus.expanduser())
    return tools.model_copy(update={"search": search})
