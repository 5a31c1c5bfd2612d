"""A server over raw sockets in a thread of its own: what the test endpoints that write every byte have in common."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.support.hang import HANG

BACKLOG = 4096
LINE_BYTES = 2**26
"""Bytes of the longest head of a request."""


class RawServer:
    """The server; a context manager. `base_url` ends in `/v1`. What it answers is in `_connection`."""

    _port = 0
    """Where it listens; 0 before it does, for any that is free."""
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def call_soon(self, act: Callable[[], object]) -> None:
        """Have something done in the server's thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(act)

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name=type(self).__name__, daemon=True)
        self._thread.start()
        assert ready.wait(HANG), "the server did not start"
        assert self._loop is not None, "the server could not listen"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread is not None
        self.call_soon(self._stop.set)
        self._thread.join(HANG)
        assert not self._thread.is_alive(), "the server did not stop"

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer all requests of a connection, and close it."""
        raise NotImplementedError

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(ready))
        finally:
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        self._stop = asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._connection(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", self._port, backlog=BACKLOG, limit=LINE_BYTES)
        self._port = server.sockets[0].getsockname()[1]
        self._loop = asyncio.get_running_loop()
        ready.set()
        await self._stop.wait()
        server.close()
        for task in tuple(connections):
            task.cancel()
        if connections:
            await asyncio.wait(tuple(connections), timeout=5)
        await asyncio.sleep(0.01)  # transports close at the loop's next turns
