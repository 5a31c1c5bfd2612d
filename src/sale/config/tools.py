"""The tools of `sale.toml`, of the whole pool or of one agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import cast

from pydantic import field_validator, model_validator

from sale import extensions
from sale.config.own import OwnToolSettings
from sale.config.sections import Dollars, Section, gather_options
from sale.types.mcp import McpRules
from sale.types.search import TOLD, SearchRules


class ToolSettings(Section):
    """Tools of the environment, for agents that do not work directly."""

    python: bool = True
    """Run Python in the sandbox."""
    python_state: bool = True
    """With `true`, the runs of one execution share an interpreter: variables, imports and files stay for the next."""
    price_per_call: Dollars = 0.0
    """Price of one run of Python, in dollars."""
    price_per_second: Dollars = 0.0
    """Price of a second of it, in dollars."""
    search: SearchRules | None = None
    """Search and read pages; a table of its own, `[tools.search]`. Off unless given."""
    mcp: tuple[McpRules, ...] = ()
    """MCP servers whose tools may be used, for `execution = "tools"`; each a table `[[tools.mcp]]`."""
    own: tuple[OwnToolSettings, ...] = ()
    """Tools of yours or of installed packages; each a table `[[tools.own]]`."""

    @field_validator("search", mode="before")
    @classmethod
    def _own_keys_of_a_provider(cls, value: object) -> object:
        """Keys that searching in general does not know are the provider's own, where it did not come with sale."""
        if not isinstance(value, Mapping):
            return value
        table = cast("Mapping[str, object]", value)
        if table.get("provider") in TOLD:
            return table
        return gather_options(table, [one.name for one in fields(SearchRules)])

    @model_validator(mode="after")
    def _known_provider(self) -> ToolSettings:
        if self.search is not None:
            extensions.check_name("providers", self.search.provider)
        return self

    @property
    def asked_for(self) -> bool:
        """True where the settings ask for a tool explicitly."""
        return self.search is not None or bool(self.own) or (self.python and "python" in self.mentions)
