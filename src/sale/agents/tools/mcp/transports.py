"""The ways to an MCP server, with an end to what it may send at once.

The client of the `mcp` package reads a line, or an answer, however long it is; a server that floods would take the
memory of everybody. Here a message that is too long ends the connection, as if the server had died.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import httpx2
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from sale.config.proxies import proxy_for
from sale.errors import NotReadyError

LAST_BYTES = 4000
LAST_LINES = 5
LINE_CHARACTERS = 300
"""Characters of a server's standard error that are kept, and that are shown."""
GRACE = 1.0
"""Seconds a server has to end by itself once its input is closed."""

Incoming = MemoryObjectSendStream[SessionMessage | Exception]
Outgoing = MemoryObjectReceiveStream[SessionMessage]


@dataclass(slots=True)
class StderrTail:
    """The end of what a server's program wrote to standard error, and how it ended."""

    data: bytes = b""
    status: int | None = None
    """With which status it ended by itself."""

    def add(self, data: bytes) -> None:
        """Take in more of it."""
        self.data = (self.data + data)[-LAST_BYTES:]

    @property
    def text(self) -> str:
        """The exit status and the last lines; empty where there are none."""
        ended = "" if self.status is None else f"it ended with status {self.status}"
        words = [" ".join(line.split()) for line in self.data.decode(errors="replace").splitlines()]
        lines = [line[-LINE_CHARACTERS:] for line in words if line][-LAST_LINES:]
        wrote = f"it wrote to standard error: {' | '.join(lines)}" if lines else ""
        return "; ".join(part for part in (ended, wrote) if part)


@asynccontextmanager
async def over_streams(
    command: str, args: Sequence[str], environment: Mapping[str, str], *, longest: int, words: StderrTail
) -> AsyncGenerator[TransportStreams]:
    """Start a server and speak to it over its standard streams, one JSON message a line.

    Of what it writes to standard error the end is kept; lines that are no messages are dropped. At the end its whole
    process group is killed.

    Args:
        command: The program.
        args: Its arguments.
        environment: All the environment it sees.
        longest: Bytes of the longest message; a longer one ends the connection.
        words: Takes the end of what it writes to standard error.

    Raises:
        NotReadyError: It cannot be started.
    """
    process = await _start(command, args, environment, longest)
    incoming, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    to_send, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_read, process, incoming)
            group.start_soon(_listen, process, words)
            group.start_soon(_write, process, outgoing, incoming)
            try:
                yield received, to_send
            finally:
                group.cancel_scope.cancel()
    finally:
        for stream in (incoming, received, to_send, outgoing):
            stream.close()
        with anyio.CancelScope(shield=True):
            await _stop(process, words)


async def _start(command: str, args: Sequence[str], environment: Mapping[str, str], longest: int) -> Process:
    found = shutil.which(command)
    if found is None:
        raise NotReadyError(f"there is no program {command!r}", hint="Is it installed, and on the PATH?")
    try:
        return await asyncio.create_subprocess_exec(
            found,
            *args,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=dict(environment),
            start_new_session=True,
            limit=longest,
        )
    except (OSError, ValueError) as error:
        raise NotReadyError(f"the server {command!r} could not be started: {error}") from error


async def _read(process: Process, incoming: Incoming) -> None:
    if process.stdout is None:
        return
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, ValueError, OSError):
        async with incoming:
            while line := await process.stdout.readline():  # a ValueError where it is too long
                with contextlib.suppress(ValueError):
                    message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
                    await incoming.send(message)


async def _write(process: Process, outgoing: Outgoing, incoming: Incoming) -> None:
    if process.stdin is None:
        return
    try:
        async with outgoing:
            async for item in outgoing:
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(text.encode() + b"\n")
                await process.stdin.drain()
    except OSError:
        incoming.close()  # nobody reads any more: whoever waits for an answer must know


async def _stop(process: Process, words: StderrTail) -> None:
    """Ask it to end by closing its input, then kill all of its group."""
    if process.stdin is not None:
        process.stdin.close()
    ended = asyncio.ensure_future(_ended(process, words))
    await asyncio.wait([ended], timeout=GRACE)
    words.status = process.returncode
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.wait([ended], timeout=GRACE)
    ended.cancel()
    await asyncio.wait([ended])


async def _ended(process: Process, words: StderrTail) -> None:
    """Wait for the end, which asyncio does not see before all output is read."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_listen(process, words))
        while process.stdout is not None and await process.stdout.read(2**16):
            pass
    await process.wait()


async def _listen(process: Process, words: StderrTail) -> None:
    while process.stderr is not None and (data := await process.stderr.read(2**16)):
        words.add(data)


@asynccontextmanager
async def over_http(url: str, token: str | None, *, seconds: float, longest: int) -> AsyncGenerator[TransportStreams]:
    """Speak to a server at an address.

    Args:
        url: The address; nothing is sent to another origin.
        token: A bearer token.
        seconds: The longest wait for any part of an answer.
        longest: Bytes of the longest message; a longer one fails its call.

    Raises:
        ConfigError: The environment's proxy on the way there cannot be used.
    """
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    proxy = proxy_for(url)
    transport = _BoundedTransport(httpx2.AsyncHTTPTransport(proxy=None if proxy is None else proxy.url), longest)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(seconds), transport=transport) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=longest) as streams,
    ):
        yield streams


class _BoundedTransport(httpx2.AsyncBaseTransport):
    """Ends answers that are too long. A stream of events has an end to each event elsewhere, and none to the whole."""

    def __init__(self, inner: httpx2.AsyncHTTPTransport, longest: int) -> None:
        self._inner = inner
        self._longest = longest

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass the request on, and watch the answer."""
        response = await self._inner.handle_async_request(request)
        if "text/event-stream" not in response.headers.get("content-type", ""):
            stream = response.stream
            if isinstance(stream, httpx2.AsyncByteStream):
                response.stream = _CountedStream(stream, self._longest)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class _CountedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, longest: int) -> None:
        self._inner = inner
        self._longest = longest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._longest
        async for part in self._inner:
            left -= len(part)
            if left < 0:
                raise httpx2.ReadError(f"the answer is longer than {self._longest} bytes")
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()
