"""Descriptions of the faults of a `sale.toml`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sale.config.agents import AgentSettings, PriceSettings
from sale.config.jurors import KINDS, JurorSettings
from sale.config.own import BenchSettings, LearningSettings, OwnToolSettings, RouterSettings, VerifierSettings
from sale.config.server import EmbeddingSettings, ServerSettings
from sale.config.settings import MemorySettings, SandboxSettings, Settings, WeightSettings
from sale.config.tools import ToolSettings
from sale.config.workspace import WorkspaceSettings
from sale.extensions import LIKENESS, fault_text
from sale.types import AuctionRules, Caps, CheckErrors
from sale.types.mcp import McpRules
from sale.types.search import SearchRules
from sale.types.tools import Budget
from sale.wording import LIST_FAULTS, TABLE_FAULTS


def all_faults(error: ValidationError) -> str:
    """Every fault, with where it is and what to do."""
    told = "; ".join(dict.fromkeys(map(_told, error.errors())))
    return told if told.endswith("?") else f"{told}."


def _told(fault: ErrorDetails) -> str:
    """One fault. An unknown key that another table has is led there; else the nearest one of its own table is named."""
    steps = [part for part in fault["loc"] if isinstance(part, str)]
    if (brackets := _brackets(fault, ".".join(steps))) is not None:
        return brackets
    key, table = steps[-1] if steps else "", ".".join(steps[:-1])
    told = fault_text(fault, _TABLES.get(table.removeprefix("agents.") if "tools" in steps else table, _HOMES))
    where, unknown, advice = told.partition(": unknown key")
    if not unknown or fault["type"] not in {"extra_forbidden", "unexpected_keyword_argument"}:
        return told
    if key in _HOMES:
        return f"{where}: unknown key; it belongs {_HOMES[key]}"
    near = difflib.get_close_matches(key, _HOMES, n=1, cutoff=LIKENESS)
    return f"{where}: unknown key; did you mean {near[0]!r} {_HOMES[near[0]]}?" if near and not advice else told


def _brackets(fault: ErrorDetails, table: str) -> str | None:
    """The fault of a table that stands in the wrong brackets, or in none; `None` where it is another one."""
    missing = fault["type"] == "missing"
    if table in _LISTS and (missing or fault["type"] in LIST_FAULTS | TABLE_FAULTS):
        wrong = "is missing" if missing else "is not a list of tables"
        return f"{table} {wrong}: write [[{table}]], in two brackets, once for each {_LISTS[table]}"
    if table in _TABLES and table and fault["type"] in TABLE_FAULTS:
        where = ".".join(str(part + 1) if isinstance(part, int) else part for part in fault["loc"])
        return f"{where} is not a table: write [{table}], in single brackets"
    return None


def _keys_of(table: type) -> tuple[str, ...]:
    if issubclass(table, BaseModel):
        return tuple(name for name in table.model_fields if name != "origin")
    return tuple(field.name for field in fields(cast("Any", table)))


_TABLES: Mapping[str, tuple[str, ...]] = {
    "": _keys_of(Settings),
    "agents": _keys_of(AgentSettings),
    "agents.price": _keys_of(PriceSettings),
    "agents.budget": _keys_of(Budget),
    "auction": _keys_of(AuctionRules),
    "auction.caps": _keys_of(Caps),
    "auction.check": _keys_of(CheckErrors),
    "jurors": (*_keys_of(JurorSettings), *dict.fromkeys(name for own in KINDS.values() for name in own.model_fields)),
    "weights": _keys_of(WeightSettings),
    "memory": _keys_of(MemorySettings),
    "tools": _keys_of(ToolSettings),
    "tools.search": _keys_of(SearchRules),
    "tools.mcp": _keys_of(McpRules),
    "tools.own": _keys_of(OwnToolSettings),
    "verifier": _keys_of(VerifierSettings),
    "learning": _keys_of(LearningSettings),
    "bench": _keys_of(BenchSettings),
    "bench.routers": _keys_of(RouterSettings),
    "sandbox": _keys_of(SandboxSettings),
    "workspace": _keys_of(WorkspaceSettings),
    "server": _keys_of(ServerSettings),
    "server.embeddings": _keys_of(EmbeddingSettings),
}
"""The keys of each table."""
_LISTS: Mapping[str, str] = {
    "agents": "agent",
    "jurors": "juror",
    "tools.mcp": "server",
    "tools.own": "tool",
    "bench.routers": "router",
}
"""Tables of which there may be several, with the word for one."""


def _homes() -> dict[str, str]:
    """Where each key belongs, in words."""
    homes: dict[str, list[str]] = {}
    for table, keys in _TABLES.items():
        title = f"[[{table}]]" if table in _LISTS else f"[{table}]"
        for key in keys:
            homes.setdefault(key, []).append(f"in {title}" if table else "at the top of the file")
    return {key: " or ".join(places) for key, places in homes.items()}


_HOMES: Mapping[str, str] = _homes()
