"""The tools of `sale.toml`, of the whole pool or of one agent."""

from __future__ import annotations

from sale.config.sections import Dollars, Section
from sale.types.mcp import McpRules
from sale.types.search import SearchRules


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

    @property
    def asked_for(self) -> bool:
        """True where the settings ask for a tool explicitly."""
        return self.search is not None or (self.python and "python" in self.model_fields_set)
