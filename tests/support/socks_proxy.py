"""A real SOCKS5 proxy on the loopback that takes every host for one address, as if names were resolved behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@asynccontextmanager
async def socks_proxy(port: int) -> AsyncGenerator[tuple[str, list[str]]]:
    """The address of the proxy, and what it was asked to connect to; everything ends at a port of this machine."""
    asked: list[str] = []
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there: asyncio.StreamWriter | None = None
        if task := asyncio.current_task():
            serving.add(task)
        try:
            _, methods = await reader.readexactly(2)
            await reader.readexactly(methods)
            writer.write(b"\x05\x00")
            _, _, _, kind = await reader.readexactly(4)
            assert kind == 3, "it has to give the name, and leave the look-up to the proxy"
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
            asked.append(f"{host}:{int.from_bytes(await reader.readexactly(2), 'big')}")
            back, there = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, there))
                group.create_task(_pass_on(back, writer))
        finally:
            for one in (writer, there):
                if one is not None:
                    one.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
        finally:
            for one in serving:
                one.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
