"""One MCP server as tools: started when it is needed, cut off when it misbehaves, started again for the next call.

A server that hangs, dies or floods costs the call it does so in. The agent is told, and may go on without it.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

from mcp import Client, MCPError
from mcp.types import CallToolResult, Implementation, ListToolsResult, TextContent
from mcp.types import Tool as Listed
from pydantic import ValidationError
from pydantic_core import to_json

from sale.agents.tools.mcp.transports import StderrTail, over_http, over_streams
from sale.agents.tools.python import clip
from sale.errors import CallTimeoutError, ExecutionError, SaleError, UnreachableError, first_error
from sale.models.connection import MIN_SECRET_CHARACTERS
from sale.models.errors import redact
from sale.types import ToolInfo
from sale.types.mcp import McpRules
from sale.types.tools import Fee

MIN_LIMIT_BYTES = 2**20
BYTES_PER_CHARACTER = 8
"""Room for escapes and for what surrounds the text."""
GOODBYE_SECONDS = 2.0
"""Seconds that a server may take to end its connection."""
MAX_TOOLS = 64
MAX_PAGES = 8
SCHEMA_CHARACTERS = 10_000
DESCRIPTION_CHARACTERS = 600
COMMAND_CHARACTERS = 300
NOTHING_BACK = "the tool gave nothing back"
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_-]")
_NAME_CHARACTERS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Secrets:
    """The variables of the environment that a server is given, and its token."""

    environment: Mapping[str, str]
    token: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedTool:
    """A tool that a server lists."""

    own_name: str
    """As the server knows it."""
    info: ToolInfo
    schema: Mapping[str, object]
    asks: str | None = None
    """The name of its one parameter, a string, where the server says that it only reads; else `None`."""


class McpTool:
    """One tool of a connected server, for an agent's tool loop."""

    def __init__(self, server: McpServer, offer: ListedTool) -> None:
        """Nothing is called yet."""
        self._server = server
        self._offer = offer

    @property
    def info(self) -> ToolInfo:
        """Name and description, as bidders and workers see it."""
        return self._offer.info

    @property
    def schema(self) -> Mapping[str, object]:
        """JSON schema of its arguments, as the server gives it."""
        return self._offer.schema

    @property
    def fee(self) -> Fee:
        """The price of a call."""
        return self._server.fee

    async def run(self, **arguments: object) -> str:
        """Call it; see `McpServer.call`."""
        return await self._server.call(self._offer.own_name, arguments)


class McpServer:
    """A connection to one server, opened by the first call. Use it in `async with`, in one event loop."""

    def __init__(self, rules: McpRules, secrets: Secrets) -> None:
        """Nothing is started yet."""
        self._rules = rules
        self._secrets = secrets
        self._lock = asyncio.Lock()
        self._client: Client | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._under_way = 0
        self._words = StderrTail()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._disconnect()

    @property
    def fee(self) -> Fee:
        """The price of a call of any of its tools."""
        rules = self._rules
        return Fee(per_call=rules.price_per_call, per_second=rules.price_per_second, key=rules.token_env or "")

    async def offers(self) -> tuple[ListedTool, ...]:
        """Return the tools it lists and the rules allow.

        Raises:
            SaleError: It cannot be reached, takes too long, or does not answer as it should.
        """
        listed = await self._within(self._list())
        allowed = [tool for tool in listed if self._rules.allow is None or tool.name in self._rules.allow]
        found = {offer.info.name: offer for offer in (_offer(self._rules.name, tool) for tool in allowed) if offer}
        return tuple(found.values())[:MAX_TOOLS]

    async def call(self, name: str, arguments: Mapping[str, object]) -> str:
        """Call one of its tools.

        Returns:
            Its text, clipped; anything else it gives is named.

        Raises:
            ExecutionError: The tool failed, and says why.
            SaleError: The server could not be reached, took too long, or did not answer as it should. It is cut off,
                and connected to anew by the next call.
        """
        result = await self._within(self._call(name, arguments))
        text = clip(_text(result), self._rules.max_result_chars)
        if result.is_error:
            raise ExecutionError(text or "the tool failed and does not say why", where=self._rules.name)
        return text or NOTHING_BACK

    async def _list(self) -> list[Listed]:
        client = await self._connected()
        found: list[Listed] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page: ListToolsResult = await client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if cursor is None or len(found) > MAX_TOOLS * MAX_PAGES:
                break
        return found

    async def _call(self, name: str, arguments: Mapping[str, object]) -> CallToolResult:
        client = await self._connected()
        return await client.call_tool(name, dict(arguments))

    async def _within(self, work: Any) -> Any:  # noqa: ANN401  whatever the work gives
        """The work, in time; a server that fails it is cut off."""
        seconds = self._rules.timeout_seconds
        limit = asyncio.timeout(seconds)
        self._under_way += 1
        try:
            async with limit:
                return await work
        except MCPError as error:
            if self._keeper is not None and not self._keeper.done() and not _closed(error):
                raise ExecutionError(_line(error), where=self._rules.name) from error
            await self._disconnect()
            raise UnreachableError(self._told(f"the server ended: {_line(error)}"), where=self._rules.name) from error
        except SaleError as error:
            await self._disconnect()
            raise type(error)(self._told(error.message), where=self._rules.name, hint=error.hint) from error
        except ValidationError as error:
            await self._disconnect()
            raise UnreachableError(
                self._told("the server does not answer as MCP says"), where=self._rules.name
            ) from error
        except Exception as error:
            late = limit.expired()
            if not (late and self._under_way > 1):  # another call may yet be answered: it is not cut off with this one
                await self._disconnect()
            if late:
                raise CallTimeoutError(self._told(f"no answer within {seconds:g} s"), where=self._rules.name) from error
            raise UnreachableError(self._told(_line(error)), where=self._rules.name) from error
        finally:
            self._under_way -= 1

    def _told(self, what: str) -> str:
        """Describe the server's fault, how it was reached, and the end of its standard error, without its secrets."""
        rules, secrets = self._rules, self._secrets
        reached = rules.url or clip(shlex.join([rules.command or "", *rules.args]), COMMAND_CHARACTERS)
        said = "; ".join(part for part in (what, f"reached by {reached}", self._words.text) if part)
        hidden = [*secrets.environment.values(), secrets.token or ""]
        return redact(said, [value for value in hidden if len(value) >= MIN_SECRET_CHARACTERS])

    async def _connected(self) -> Client:
        async with self._lock:
            if self._client is not None and self._keeper is not None and not self._keeper.done():
                return self._client
            ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
            self._over = asyncio.Event()
            self._keeper = asyncio.create_task(self._keep(ready, self._over))
            try:
                self._client = client = await asyncio.shield(ready)
            finally:
                ready.cancel()
            return client

    async def _keep(self, ready: asyncio.Future[Client], over: asyncio.Event) -> None:
        """Hold the connection open: it must be closed by the task that opened it."""
        try:
            async with Client(
                self._transport(), cache=None, client_info=Implementation(name="sale", version="1")
            ) as client:
                if not ready.done():
                    ready.set_result(client)
                    await over.wait()
        except Exception as error:  # noqa: BLE001  whoever waits is told; a connection that breaks later is seen by its call
            if not ready.done():
                ready.set_exception(first_error(error))

    def _transport(self) -> Any:  # noqa: ANN401  a context manager of the package's stream pair
        longest = max(MIN_LIMIT_BYTES, BYTES_PER_CHARACTER * self._rules.max_result_chars)
        if self._rules.url is not None:
            seconds = self._rules.timeout_seconds
            return over_http(self._rules.url, self._secrets.token, seconds=seconds, longest=longest)
        self._words = StderrTail()
        command, environment = self._rules.command or "", self._secrets.environment
        return over_streams(command, self._rules.args, environment, longest=longest, words=self._words)

    async def _disconnect(self) -> None:
        keeper, self._keeper, self._client = self._keeper, None, None
        if keeper is None:
            return
        self._over.set()
        # An orderly goodbye waits for the server; one that does not answer is left.
        try:
            await asyncio.wait([keeper], timeout=GOODBYE_SECONDS)
        finally:
            keeper.cancel()
        await asyncio.wait([keeper])


def _offer(server: str, tool: Listed) -> ListedTool | None:
    """A listed tool under a name models can call; `None` where its schema is too long to show."""
    schema: dict[str, object] = dict(tool.input_schema)
    if len(to_json(schema)) > SCHEMA_CHARACTERS:
        return None
    name = f"{server}_{_UNNAMEABLE.sub('_', tool.name)}"[:_NAME_CHARACTERS]
    said = " ".join((tool.description or tool.title or f"The tool {tool.name} of {server}.").split())
    return ListedTool(
        own_name=tool.name,
        info=ToolInfo(name=name, description=clip(said, DESCRIPTION_CHARACTERS)),
        schema={"type": "object", **schema},
        asks=_asks(tool),
    )


def _asks(tool: Listed) -> str | None:
    """The one parameter of a tool that only reads, where it is a string."""
    if tool.annotations is None or tool.annotations.read_only_hint is not True:
        return None
    try:
        (one,) = cast("dict[str, dict[str, object]]", tool.input_schema["properties"]).items()
        return one[0] if one[1]["type"] == "string" else None
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def _text(result: CallToolResult) -> str:
    parts = [block.text if isinstance(block, TextContent) else f"[{block.type}, not shown]" for block in result.content]
    if not parts and result.structured_content is not None:
        return to_json(result.structured_content, fallback=str).decode()
    return "\n".join(parts)


def _closed(error: MCPError) -> bool:
    return "closed" in str(error).lower()


def _line(error: BaseException) -> str:
    found = first_error(error)
    return clip(" ".join(f"{type(found).__name__}: {found}".split()), 300)
