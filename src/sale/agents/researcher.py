"""A contractor that searches and reads, and whose answers name their sources."""

from __future__ import annotations

from collections.abc import Sequence

from sale.agents.contractor import Contractor
from sale.agents.lookups import SearchLookup
from sale.agents.protocol import Tool
from sale.agents.tools.web.toolset import SearchToolset
from sale.config import AgentSettings
from sale.models.protocol import Model
from sale.types import Execution, Price, Task


class Researcher(Contractor):
    """Works like any contractor, with a piece of research of its own for each execution."""

    def __init__(
        self, settings: AgentSettings, *, price: Price, model: Model, toolset: SearchToolset, tools: Sequence[Tool] = ()
    ) -> None:
        """Nothing is opened.

        Args:
            settings: Its section of `sale.toml`; it works with tools or in steps.
            price: Dollars per million tokens.
            model: What it thinks with.
            toolset: Where it searches.
            tools: What it works with beside searching.
        """
        # What bidders are told of the tools is the same for every task.
        offered = (*toolset.open(Task(text="")).tools, *tools)
        lookups = (SearchLookup(toolset.provider, toolset.fee),)
        super().__init__(settings, price=price, model=model, tools=offered, lookups=lookups)
        self._toolset = toolset
        self._kit = tuple(tools)

    async def prepare(self) -> None:
        """Open the tools for research, then the model."""
        await self._toolset.prepare()
        await super().prepare()

    async def execute(self, task: Task, strategy: str | None) -> Execution:
        """Do the task; afterwards the answer's citations are checked, and the sources it cites are listed."""
        research = self._toolset.open(task)
        worker = Contractor(self._settings, price=self._price, model=self._model, tools=(*research.tools, *self._kit))
        return research.complete(await worker.execute(task, strategy))

    async def aclose(self) -> None:
        """Close the tools for research and the model."""
        await self._toolset.aclose()
        await super().aclose()
