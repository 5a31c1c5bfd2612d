"""Descriptions of the faults of a `sale.toml`."""

from __future__ import annotations

import difflib
from dataclasses import fields

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sale.config.agents import AgentSettings, PriceSettings
from sale.config.jurors import JurorSettings
from sale.config.server import EmbeddingSettings, ServerSettings
from sale.config.settings import MemorySettings, SandboxSettings, Settings, WeightSettings
from sale.config.tools import ToolSettings
from sale.config.workspace import WorkspaceSettings
from sale.types import AuctionRules, Caps
from sale.types.mcp import McpRules
from sale.types.search import SearchRules
from sale.types.tools import Budget


def all_faults(error: ValidationError) -> str:
    """Every fault, with where it is and what to do."""
    return "; ".join(dict.fromkeys(_fault(fault) for fault in error.errors())) + "."


def _fault(fault: ErrorDetails) -> str:
    """One fault as `agents.1.prize: unknown key; did you mean 'price'?`."""
    steps = [str(part + 1) if isinstance(part, int) else part for part in fault["loc"]]
    where = ".".join(steps) or "the file"
    if fault["type"] not in {"extra_forbidden", "unexpected_keyword_argument"}:
        if "api_key_env" in steps:  # most likely the key itself, which must not end up in a log
            return f"{where}: must be the name of an environment variable, not the key"
        message = fault["msg"].removeprefix("Value error, ")
        value: object = fault["input"]
        shown = f" (got {value!r})" if isinstance(value, str | int | float | bool) else ""
        return f"{where}: {message}{shown}"
    key = steps[-1] if steps else ""
    if key in {"api_key", "key", "token"}:
        return f"{where}: keys are never in the file; name the environment variable in api_key_env"
    near = difflib.get_close_matches(key, _KEYS, n=1)
    advice = f"; did you mean {near[0]!r}?" if near else ""
    return f"{where}: unknown key{advice}"


_KEYS = sorted(
    {
        name
        for section in (Settings, AgentSettings, PriceSettings, WeightSettings, MemorySettings, ToolSettings)
        for name in section.model_fields
    }
    | set(SandboxSettings.model_fields)
    | set(JurorSettings.model_fields)
    | set(ServerSettings.model_fields)
    | set(WorkspaceSettings.model_fields)
    | set(EmbeddingSettings.model_fields)
    | {field.name for rules in (AuctionRules, Caps, Budget, SearchRules, McpRules) for field in fields(rules)}
)
