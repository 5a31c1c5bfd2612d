"""The market as an MCP server with one tool, `delegate`: any MCP client can hand it work.

It is served to the program that started it, or at an address of this very machine; it checks no identity, so it is
served nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from io import FileIO
from typing import Any, Protocol

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

from sale.auction.events import Event, Observer
from sale.errors import InputError, SaleError
from sale.market import Market
from sale.server.progress import describe_event
from sale.types import Result, Verdict

HOST = "127.0.0.1"
PORT = 8128
PATH = "/mcp"
PIECE = 65_536
"""Bytes of standard input that are passed on at a time."""
INSTRUCTIONS = (
    "A market of language-model agents. `delegate` auctions a task among them: they bid with plans, a jury scores the "
    "plans, and the best plan for its price does the work. Delegate whole tasks: the agents see nothing but the text."
)


class DelegationResult(BaseModel):
    """The result of a delegated task."""

    answer: str = Field(description="What the winner handed in.")
    agent: str = Field(description="Who did the work.")
    cost: float = Field(description="What it cost in all, in dollars.")
    auction_id: str = Field(description="The auction's record; `sale memory show` and `sale feedback` take it.")
    verdict: Verdict = Field(description="Whether the answer was found right; unknown where nothing checked it.")
    judged_by: str = Field(description="What checked it, if anything did.")
    detail: str = Field(description="What the check said.")
    error: str | None = Field(description="Why the answer is not whole, or not on record, where that is so.")


class ProgressReporter(Protocol):
    """Sends progress to the client; the context of a call is one."""

    async def report_progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Send it, if the client asked for any."""
        ...


def create_server(market: Market) -> MCPServer[Any]:
    """An MCP server over an open market. Closing the market is the caller's."""
    server: MCPServer[Any] = MCPServer("sale", version=version("sale"), instructions=INSTRUCTIONS, log_level="WARNING")

    @server.tool(title="Delegate a task to the market")
    async def delegate(task: str, context: Context[Any]) -> DelegationResult:
        """Have a task done by the agent whose plan is best for its price.

        The agents bid with plans, a jury scores the plans, and the winner does the work and hands in an answer. They
        know nothing but the text of the task, so it must say everything that matters.
        """
        async with _telling(context) as observe:
            try:
                result = await market.run(task, observe=observe)
            except SaleError as error:
                raise ToolError(str(error)) from error
        return _delegated(result)

    return server


def _delegated(result: Result) -> DelegationResult:
    """The result as the client sees it.

    Raises:
        ToolError: The work gave no answer.
    """
    execution = result.execution
    if not execution.answer.strip():
        reason = execution.error or "no answer"
        raise ToolError(f"{execution.agent} did the task without success: {reason} (auction {result.auction.id})")
    faults = [fault for fault in (execution.error, result.unkept) if fault]
    return DelegationResult(
        answer=execution.answer,
        agent=execution.agent,
        cost=result.settlement.dollars,
        auction_id=result.auction.id,
        verdict=result.outcome.verdict,
        judged_by=result.outcome.judged_by,
        detail=result.outcome.detail,
        error="; ".join(faults) or None,
    )


@asynccontextmanager
async def _telling(reporter: ProgressReporter) -> AsyncGenerator[Observer]:
    """An observer whose events reach the client in order, without making the auction wait for it."""
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def observe(event: Event) -> None:
        if (line := describe_event(event)) is not None:
            lines.put_nowait(line)

    async def send() -> None:
        count = 0
        while (line := await lines.get()) is not None:
            count += 1
            # A client that cannot be told goes without; its task goes on until it cancels it.
            with contextlib.suppress(Exception):
                await reporter.report_progress(count, message=line)

    sender = asyncio.create_task(send())
    try:
        yield observe
        lines.put_nowait(None)
        await sender
    finally:
        sender.cancel()


async def serve_streams(market: Market) -> None:
    """Serve whoever started this process, over standard input and output, until the input ends."""
    with relay_input() as pipe:
        serving = asyncio.create_task(create_server(market).run_stdio_async())
        try:
            await asyncio.shield(serving)
        finally:
            pipe.close()  # first: a read under way cannot be cancelled
            serving.cancel()
            await asyncio.wait([serving])


@contextmanager
def relay_input() -> Generator[FileIO]:
    """Have standard input come through a pipe, whose writing end this gives: closing it ends the input.

    A read of the input itself could not be broken off, and would keep the process from ending until something comes; it
    is left to a thread that no process waits for.
    """
    number = sys.__stdin__.fileno() if sys.__stdin__ else 0
    original = os.dup(number)
    reading, writing = os.pipe()
    os.dup2(reading, number)
    os.close(reading)
    pipe = FileIO(writing, "wb")

    def relay() -> None:
        with pipe, contextlib.suppress(OSError, ValueError):  # closed by either end
            while piece := os.read(original, PIECE):
                rest = memoryview(piece)
                while rest:
                    rest = rest[pipe.write(rest) :]

    threading.Thread(target=relay, name="standard input", daemon=True).start()
    try:
        yield pipe
    finally:
        pipe.close()
        os.dup2(original, number)


async def serve_address(market: Market, *, port: int = PORT, ready: Callable[[str], None]) -> None:
    """Serve at an address of this machine (streamable HTTP), until interrupted.

    Args:
        market: Open.
        port: Where; 0 for any that is free.
        ready: Told the address once connections are accepted.

    Raises:
        InputError: The port cannot be had.
    """
    app = create_server(market).streamable_http_app(streamable_http_path=PATH, host=HOST)
    # With the protocol named, the event loop turns Nagle's algorithm off; without, every other answer takes 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()
        except (OSError, OverflowError) as error:
            raise InputError(f"port {port} cannot be had: {error}", hint="Give another with --port.") from error
        settings = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            ws="none",
            http="h11",
            lifespan="on",
            timeout_graceful_shutdown=2,
        )
        ready(f"http://{HOST}:{listener.getsockname()[1]}{PATH}")
        await uvicorn.Server(settings).serve(sockets=[listener])
