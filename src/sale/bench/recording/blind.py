"""An agent as it bids without having looked: for auctions of plans alone beside those of what agents found."""

from __future__ import annotations

from dataclasses import dataclass

from sale.agents.protocol import Agent
from sale.auction.protocols import BidRequest, Juror
from sale.types import Execution, Price, Reply, Task, ToolInfo


@dataclass(frozen=True, slots=True)
class BlindAgent:
    """The same agent, which does not look before it bids."""

    agent: Agent

    @property
    def name(self) -> str:
        """Its name."""
        return self.agent.name

    @property
    def price(self) -> Price:
        """Its price."""
        return self.agent.price

    @property
    def tools(self) -> tuple[ToolInfo, ...]:
        """Its tools."""
        return tuple(self.agent.tools)

    @property
    def juror(self) -> Juror | None:
        """Itself as a juror, where it judges."""
        return self.agent.juror

    async def prepare(self) -> None:
        """Get ready."""
        await self.agent.prepare()

    async def bid(self, request: BidRequest, /) -> Reply:
        """Write a plan."""
        return await self.agent.bid(request)

    async def execute(self, task: Task, strategy: str | None) -> Execution:
        """Do the task; it may search while it works."""
        return await self.agent.execute(task, strategy)

    async def aclose(self) -> None:
        """Let go of it."""
        await self.agent.aclose()
