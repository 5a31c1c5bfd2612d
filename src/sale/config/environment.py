"""Values of the environment: keys, and paths of data. Nothing else in the package reads the environment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import platformdirs
from pydantic import SecretStr

from sale.config.agents import AgentSettings
from sale.config.server import EmbeddingSettings, ServerSettings
from sale.config.settings import Settings
from sale.errors import ConfigError
from sale.files.private import tighten
from sale.types.mcp import McpRules
from sale.types.search import SearchRules

APP = "sale"
FILE = "sale.toml"


def api_key(agent: AgentSettings) -> SecretStr | None:
    """The agent's key, from the environment variable it names.

    Raises:
        ConfigError: The variable is not set.
    """
    return _secret(agent.api_key_env, f"agent {agent.name!r}", "remove the agent from sale.toml")


def header_keys(agent: AgentSettings) -> dict[str, SecretStr]:
    """The headers of an agent's requests whose values are keys, from the environment variables it names.

    Raises:
        ConfigError: A variable is not set.
    """
    where = f"agent {agent.name!r}"
    named = {name: _secret(variable, where, "leave it out") for name, variable in agent.headers_env.items()}
    return {name: one for name, one in named.items() if one is not None}


def secret(variable: str | None, *, where: str) -> SecretStr | None:
    """The value of an environment variable that settings name; `None` where they name none.

    Args:
        variable: Its name.
        where: The part of the settings that names it, for the error.

    Raises:
        ConfigError: The variable is not set.
    """
    return _secret(variable, where, f"take {where} out of sale.toml")


def search_key(search: SearchRules) -> SecretStr | None:
    """The search provider's key, from the environment variable the settings name.

    Raises:
        ConfigError: The variable is not set.
    """
    return _secret(search.api_key_env, "[tools.search]", "take another provider")


def mcp_secrets(server: McpRules) -> tuple[dict[str, str], SecretStr | None]:
    """The environment an MCP server is given, and its token.

    Raises:
        ConfigError: A variable is not set.
    """
    where = f"[[tools.mcp]] {server.name!r}"
    named = {name: secret for name in server.env if (secret := _secret(name, where, "leave it out"))}
    return {name: one.get_secret_value() for name, one in named.items()}, _secret(
        server.token_env, where, "leave it out"
    )


def server_password(server: ServerSettings) -> SecretStr | None:
    """The dashboard's password, from the environment variable the settings name.

    Raises:
        ConfigError: The variable is not set.
    """
    return _secret(server.password_env, "[server] password_env", "take it out of sale.toml")


def alarm_headers(server: ServerSettings) -> dict[str, SecretStr]:
    """The headers that alarms are sent with, from the environment variables the settings name.

    Raises:
        ConfigError: A variable is not set.
    """
    where = "[server] alarm_headers_env"
    named = {name: _secret(variable, where, "leave it out") for name, variable in server.alarm_headers_env.items()}
    return {name: one for name, one in named.items() if one is not None}


def embeddings_key(embeddings: EmbeddingSettings) -> SecretStr | None:
    """The key of the endpoint for embeddings, from the environment variable the settings name.

    Raises:
        ConfigError: The variable is not set.
    """
    return _secret(embeddings.api_key_env, "[server.embeddings]", "take it out of sale.toml")


def command_environment(agent: AgentSettings) -> dict[str, str]:
    """All the environment the program of an agent sees: the variables its settings name.

    Raises:
        ConfigError: A variable is not set.
    """
    where = f"agent {agent.name!r}"
    named = {name: _secret(name, where, "leave it out") for name in agent.env}
    return {name: secret.get_secret_value() for name, secret in named.items() if secret is not None}


def _secret(variable: str | None, where: str, otherwise: str) -> SecretStr | None:
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        raise ConfigError(
            f"the environment variable {variable} is not set", where=where, hint=f"export {variable}=…, or {otherwise}."
        )
    return SecretStr(value)


def wants_ascii() -> bool:
    """True where `SALE_ASCII` is set: the command then draws its boards with ASCII characters."""
    return bool(os.environ.get("SALE_ASCII"))


def virtual_environment() -> Path | None:
    """The Python virtual environment the user works in, where one is active."""
    named = os.environ.get("VIRTUAL_ENV")
    return Path(named) if named else None


def is_set(variable: str) -> bool:
    """Return whether an environment variable has a value; `sale init` looks for keys with it."""
    return bool(os.environ.get(variable))


def memory_path(settings: Settings) -> Path:
    """The memory's file, where it is one: from the settings, `$SALE_MEMORY`, or the user's data directory."""
    if settings.memory.path is not None:
        return settings.memory.path
    named = os.environ.get("SALE_MEMORY")
    if named and "://" not in named:
        return _path("SALE_MEMORY", named)
    return platformdirs.user_data_path(APP) / "memory.sqlite3"


def memory_place(settings: Settings) -> Path | str:
    """The memory's file, or the URL of its database on a server: from the settings or `$SALE_MEMORY`.

    Raises:
        ConfigError: The settings name both.
    """
    if settings.memory.url is not None and settings.memory.path is not None:
        raise ConfigError("memory.path and memory.url are both given", where=settings.origin, hint="Keep one.")
    if settings.memory.url is not None or settings.memory.path is not None:
        return settings.memory.url or memory_path(settings)
    named = os.environ.get("SALE_MEMORY", "")
    return named if "://" in named else memory_path(settings)


def memory_archive(settings: Settings) -> Path:
    """The folder for records that are compacted: from the settings, or beside the memory's file."""
    return settings.memory.archive or memory_path(settings).with_name("archive")


def server_database(settings: Settings) -> str:
    """Where the server keeps what it keeps: from the settings, or a file beside the auction memory."""
    return settings.server.database or str(memory_path(settings).with_name("server.sqlite3"))


def secure_data_directory() -> None:
    """Have this program's own directory of the user's data for its owner alone, where an earlier version left it open.

    Other directories with a database in them may hold anything, and stay as they are.
    """
    tighten(platformdirs.user_data_path(APP))


def models_path() -> Path:
    """Where weights are kept: `$SALE_MODELS`, or the user's cache directory."""
    if named := os.environ.get("SALE_MODELS"):
        return _path("SALE_MODELS", named)
    return platformdirs.user_cache_path(APP) / "models"


def llama_server() -> Path | None:
    """A llama.cpp server of the user's own for embedded models: `$SALE_LLAMA_SERVER`, or `None` for the wheel's.

    Raises:
        ConfigError: It is named, and is not a program.
    """
    named = os.environ.get("SALE_LLAMA_SERVER")
    if not named:
        return None
    found = shutil.which(str(_path("SALE_LLAMA_SERVER", named)) if named.startswith("~") else named)
    if found is None:
        hint = "Give the path of a llama-server you have built, or unset it to use the one that came with sale."
        raise ConfigError(f"{named!r} is no program that can be run", where="SALE_LLAMA_SERVER", hint=hint)
    return Path(found).absolute()


def corpora_path() -> Path:
    """Where the vectors of searched passages are kept."""
    return platformdirs.user_cache_path(APP) / "corpora"


def held_patches_path() -> Path:
    """Return where patches are kept that were held back."""
    return platformdirs.user_data_path(APP) / "held"


def git_settings_path() -> Path:
    """Return where git looks for the user's own settings: `$XDG_CONFIG_HOME/git`, or `~/.config/git`."""
    named = os.environ.get("XDG_CONFIG_HOME")
    return (Path(named) if named else Path.home() / ".config") / "git"


def refuse_usage_statistics_of_ray() -> None:
    """Have Ray in this process, and in those it starts, send no statistics of use to its makers, unless told to."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def named_file() -> Path | None:
    """The file of settings that `$SALE_CONFIG` names."""
    named = os.environ.get("SALE_CONFIG")
    return _path("SALE_CONFIG", named) if named else None


def _path(variable: str, value: str) -> Path:
    """The path that a variable holds. A file for Compose or systemd leaves `~` as it is, where a shell would not."""
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"no such user in a path: {error}", where=variable) from error
