"""Descriptions of the faults of a `sale.toml`."""

from __future__ import annotations

from dataclasses import fields

from pydantic import ValidationError

from sale.config.agents import AgentSettings, PriceSettings
from sale.config.jurors import KINDS, JurorSettings
from sale.config.own import BenchSettings, LearningSettings, VerifierSettings
from sale.config.server import EmbeddingSettings, ServerSettings
from sale.config.settings import MemorySettings, SandboxSettings, Settings, WeightSettings
from sale.config.tools import ToolSettings
from sale.config.workspace import WorkspaceSettings
from sale.extensions import fault_text
from sale.types import AuctionRules, Caps
from sale.types.mcp import McpRules
from sale.types.search import SearchRules
from sale.types.tools import Budget


def all_faults(error: ValidationError) -> str:
    """Every fault, with where it is and what to do."""
    told = "; ".join(dict.fromkeys(fault_text(fault, _KEYS) for fault in error.errors()))
    return told if told.endswith("?") else f"{told}."


_KEYS = sorted(
    {
        name
        for section in (Settings, AgentSettings, PriceSettings, WeightSettings, MemorySettings, ToolSettings)
        for name in section.model_fields
    }
    | set(SandboxSettings.model_fields)
    | set(JurorSettings.model_fields)
    | {name for own in KINDS.values() for name in own.model_fields}
    | set(ServerSettings.model_fields)
    | set(VerifierSettings.model_fields)
    | set(LearningSettings.model_fields)
    | set(BenchSettings.model_fields)
    | set(WorkspaceSettings.model_fields)
    | set(EmbeddingSettings.model_fields)
    | {field.name for rules in (AuctionRules, Caps, Budget, SearchRules, McpRules) for field in fields(rules)}
)
