"""MCP servers whose tools agents may use, and how far they are trusted."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,23}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class McpRules:
    """One MCP server: a program spoken to over its standard streams, or an address (streamable HTTP).

    Raises:
        ValueError: It is neither or both, or says what cannot be.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {
        "extra": "forbid",
        "use_attribute_docstrings": True,
        "hide_input_in_errors": True,
    }

    name: str
    """Prefix of its tools' names: `<name>_<tool>`. Unique."""
    command: str | None = None
    """The program that is the server; it is started for each execution that needs it."""
    args: tuple[str, ...] = ()
    """Its arguments."""
    env: tuple[str, ...] = ()
    """The environment variables it is given, by name; it sees no others."""
    url: str | None = None
    """The server's address, usually ending in `/mcp`."""
    token_env: str | None = None
    """The environment variable that holds the bearer token for the address. Tokens are never written in this file."""
    allow: tuple[str, ...] | None = None
    """The tools of it that may be used, by the server's own names; all unless given."""
    timeout_seconds: float = 30.0
    """The longest one call may take, and the longest to start and list the tools."""
    max_result_chars: int = 8000
    """Characters of a result that an agent is shown."""
    price_per_call: float = 0.0
    """Price of one answered call of any of its tools, in dollars."""
    price_per_second: float = 0.0
    """Price of a second of such a call, in dollars."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name must be letters, digits and dashes, at most 24, got {self.name!r}")
        if (self.command is None) == (self.url is None):
            raise ValueError("exactly one of command and url is needed")
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise ValueError("url must begin with http:// or https://")
        if self.url is not None and (self.args or self.env):
            raise ValueError("args and env go with command only")
        if self.url is None and self.token_env is not None:
            raise ValueError("token_env goes with url only")
        for variable in (*self.env, *((self.token_env,) if self.token_env is not None else ())):
            if not _VARIABLE.fullmatch(variable):
                raise ValueError("env and token_env hold names of environment variables, not their values")
        if not (0 <= self.price_per_call < math.inf and 0 <= self.price_per_second < math.inf):
            raise ValueError("price_per_call and price_per_second must be prices from 0 up")
        if not (0 < self.timeout_seconds < math.inf and 100 <= self.max_result_chars <= 1_000_000):
            raise ValueError("timeout_seconds must be above 0, max_result_chars from 100 to 1000000")


def check_servers(servers: Sequence[McpRules], wanted: Sequence[Sequence[str] | None]) -> None:
    """Every server has a name of its own, and what agents want is there.

    Raises:
        ValueError: It is not so.
    """
    names = [server.name for server in servers]
    unknown = {entry for entries in wanted for entry in entries or () if entry.partition(".")[0] not in names}
    if unknown:
        raise ValueError(f"agents name MCP servers that are not there: {', '.join(sorted(unknown))}")
    if len(set(names)) < len(names):
        raise ValueError(f"MCP servers share a name: {', '.join(names)}")


def may_use(wanted: Sequence[str] | None, server: str, tool: str | None = None) -> bool:
    """Return whether an agent that wants these may use a tool of a server (without one: any). `None` wants all."""
    if wanted is None or server in wanted:
        return True
    return any(entry.startswith(f"{server}.") if tool is None else entry == f"{server}.{tool}" for entry in wanted)
