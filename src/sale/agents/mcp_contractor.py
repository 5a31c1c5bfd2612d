"""A contractor with tools of MCP servers: asked what they are before an auction, connected for each execution."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from sale.agents.contractor import Contractor
from sale.agents.lookups import Lookup
from sale.agents.protocol import Tool
from sale.agents.tools.mcp.server import NOTHING_BACK, ListedTool, McpServer, McpTool, Secrets
from sale.agents.tools.web.fences import without_marks
from sale.agents.tools.web.providers import QUERY_CHARACTERS
from sale.auction.looking import excerpt
from sale.config import AgentSettings, mcp_secrets
from sale.errors import SaleError
from sale.models.protocol import Model
from sale.types import Evidence, Execution, Price, Task, ToolInfo
from sale.types.mcp import McpRules, may_use

LOG = logging.getLogger(__name__)

Hire = Callable[[Sequence[Tool]], Contractor]
"""Makes the contractor that works with further tools."""


class McpLookup:
    """A tool of an MCP server that says it only reads, called with the task's text on a connection of its own."""

    def __init__(self, rules: McpRules, secrets: Secrets, offer: ListedTool, parameter: str) -> None:
        """Nothing is started.

        Args:
            rules: The server.
            secrets: What it is given.
            offer: The tool.
            parameter: The name of its one parameter.
        """
        self._server = rules, secrets
        self._offer = offer
        self._parameter = parameter
        self.tool = offer.info.name
        self.fee = McpServer(rules, secrets).fee

    async def find(self, task: Task, limit: int) -> Sequence[Evidence]:  # noqa: ARG002  it gives one text
        """The stretch of what the tool returns that holds most of the task's words.

        Raises:
            SaleError: The server cannot be reached, or the tool fails.
        """
        query = " ".join(task.text.split())[:QUERY_CHARACTERS]
        async with McpServer(*self._server) as server:
            text = await server.call(self._offer.own_name, {self._parameter: query})
        if text == NOTHING_BACK:
            return []
        return [Evidence(tool=self.tool, source=self.tool, quote=excerpt(without_marks(text), task.text))]


class McpContractor(Contractor):
    """Works like any contractor.

    A server that cannot be reached leaves it without that server's tools, and a server's tool whose name another tool
    has is left out.
    """

    def __init__(
        self,
        settings: AgentSettings,
        *,
        price: Price,
        model: Model,
        servers: Sequence[tuple[McpRules, Secrets]],
        hire: Hire,
    ) -> None:
        """Nothing is started.

        Args:
            settings: Its section of `sale.toml`; it works with tools.
            price: Dollars per million tokens.
            model: What it thinks with.
            servers: The servers it may use.
            hire: Makes the contractor that does the work, over the same model.
        """
        super().__init__(settings, price=price, model=model)
        self._servers = tuple(servers)
        self._hire = hire
        self._base = hire(())
        self._offers: dict[str, tuple[ListedTool, ...]] = {}
        self._faults: dict[str, str] = {}

    @property
    def tools(self) -> tuple[ToolInfo, ...]:
        """Its tools; of a server, those it listed."""
        return (*self._base.tools, *(offer.info for offers in self._offers.values() for offer in offers))

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        """The base agent's lookups, then every tool of a server that says it only reads."""
        asked = (
            McpLookup(rules, secrets, offer, offer.asks)
            for rules, secrets in self._servers
            for offer in self._offers.get(rules.name, ())
            if offer.asks is not None
        )
        return (*self._base.lookups, *asked)

    async def prepare(self) -> None:
        """Ask every server that has not yet said for its tools, then get ready as any contractor.

        A server that cannot be reached is named in a warning of the log, once for each new reason.
        """
        await self._ask_all()
        await self._base.prepare()

    async def faults(self) -> tuple[str, ...]:
        """Ask every server that has not yet said for its tools; return why some could not."""
        await self._ask_all()
        return tuple(self._faults.values())

    async def _ask_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for rules, secrets in self._servers:
                if rules.name not in self._offers:
                    group.create_task(self._ask(rules, secrets))

    async def _ask(self, rules: McpRules, secrets: Secrets) -> None:
        try:
            async with McpServer(rules, secrets) as server:
                offers = await server.offers()
        except SaleError as error:  # it is asked again before the next auction
            fault = f"no tools of the MCP server {rules.name!r}: {error.message}"
            self._note_fault(rules.name, fault)
            return
        taken = {tool.name for tool in self.tools}
        wanted = [offer for offer in offers if may_use(self._settings.mcp, rules.name, offer.own_name)]
        self._offers[rules.name] = tuple(offer for offer in wanted if offer.info.name not in taken)
        if twice := ", ".join(offer.info.name for offer in wanted if offer.info.name in taken):
            self._note_fault(rules.name, f"left out, as other tools have these names: {twice}")
        else:
            self._faults.pop(rules.name, None)

    def _note_fault(self, server: str, fault: str) -> None:
        if self._faults.get(server) != fault:
            LOG.warning("agent %r: %s", self.name, fault)
        self._faults[server] = fault

    async def execute(self, task: Task, strategy: str | None) -> Execution:
        """Do the task, with connections of its own; the trace says which servers it had to do without."""
        async with AsyncExitStack() as stack:
            tools: list[Tool] = []
            for rules, secrets in self._servers:
                if offers := self._offers.get(rules.name):
                    server = await stack.enter_async_context(McpServer(rules, secrets))
                    tools += [McpTool(server, offer) for offer in offers]
            done = await self._hire(tools).execute(task, strategy)
        missing = [{"role": "note", "content": fault} for fault in self._faults.values()]
        return replace(done, trace=(*missing, *done.trace)) if missing else done

    async def aclose(self) -> None:
        """Close as any contractor."""
        await self._base.aclose()


def make_mcp_contractor(
    agent: AgentSettings, price: Price, model: Model, servers: Sequence[McpRules], hire: Hire
) -> McpContractor:
    """An agent of `sale.toml` with its servers.

    Raises:
        ConfigError: A variable that a server is to be given is not set.
    """
    given: list[tuple[McpRules, Secrets]] = []
    for rules in servers:
        environment, token = mcp_secrets(rules)
        given.append(
            (rules, Secrets(environment=environment, token=None if token is None else token.get_secret_value()))
        )
    return McpContractor(agent, price=price, model=model, servers=given, hire=hire)
