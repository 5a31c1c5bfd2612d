"""Cookies of an endpoint are kept by nobody: one pool of connections serves the keys of all agents."""

from __future__ import annotations

import asyncio
import contextlib

from sale.models.address import Address
from sale.server.gateway.upstream import Upstream

ANSWER = b"HTTP/1.1 200 OK\r\nset-cookie: who=me; Path=/\r\ncontent-length: 2\r\n\r\n{}"


def test_a_cookie_does_not_come_back() -> None:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):  # the client has what it asked for
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                heads.append(head.lower())
                writer.write(ANSWER)
        writer.close()

    async def ask_twice() -> None:
        server = await asyncio.start_server(answer, "localhost", 0)
        upstream = Upstream()
        address = Address(base_url=f"http://localhost:{server.sockets[0].getsockname()[1]}/v1", model="m", api_key=None)
        for _ in range(2):
            async with upstream.post(address, "/chat/completions", b"{}", silence=10.0) as response:
                assert await response.read_body() == b"{}"
        await upstream.aclose()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)  # the connection is let go

    asyncio.run(ask_twice())
    assert len(heads) == 2
    assert not any(b"cookie:" in head for head in heads)
