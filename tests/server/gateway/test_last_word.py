"""A server that stops tells clients so, and waits for none that does not read."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from sale.server.gateway.chat import TurnEndpoint, read_chat
from sale.server.gateway.embeddings import EmbeddingsEndpoint
from sale.server.gateway.passthrough import PassThroughEndpoint
from sale.server.gateway.replays import Replays
from sale.server.store.types import Holder, LedgerEntry
from sale.types import Price
from tests.support.hang import HANG
from tests.support.virtual_time import VirtualLoop

PRICE = Price(input=1.0, output=1.0, blended=1.0)


@pytest.mark.parametrize("path", ["chat/completions", "embeddings", "completions"])
def test_a_client_that_does_not_read_is_not_waited_for(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[LedgerEntry] = []
    under_way = asyncio.Event()
    holder = Holder(key_id=None, name="", agents=None)

    async def admit(_: object) -> Holder:
        return holder

    async def note(line: LedgerEntry) -> None:
        noted.append(line)

    async def leave() -> None: ...

    def read(*_: object) -> tuple[object, None, dict[str, object]]:
        return SimpleNamespace(name="only"), None, {}

    async def work(*_: object) -> None:
        under_way.set()
        await asyncio.Event().wait()

    messages = [{"type": "http.request", "body": b'{"model": "only", "messages": [{"role": "user", "content": "x"}]}'}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(_: object) -> None:
        await asyncio.Event().wait()

    handle = SimpleNamespace(enter=lambda: None, leave=leave, incumbent=SimpleNamespace(price=PRICE))
    state: Any = SimpleNamespace(
        track_request=nullcontext,
        store=SimpleNamespace(admit=admit, note=note),
        settings=SimpleNamespace(body_mb=1, embeddings=None, ledger="after"),
        handle=handle,
        replays=Replays(),
        draining=False,
    )
    monkeypatch.setattr(EmbeddingsEndpoint, "_paid", work)
    monkeypatch.setattr(PassThroughEndpoint, "_paid", work)
    monkeypatch.setattr(PassThroughEndpoint, "_read", read)
    monkeypatch.setattr("sale.server.gateway.chat.Turn.run", work)
    endpoints: dict[str, Any] = {
        "chat/completions": TurnEndpoint(state, read_chat),
        "embeddings": EmbeddingsEndpoint(state),
        "completions": PassThroughEndpoint(state, "completions"),
    }

    async def run() -> None:
        scope = {"type": "http", "path": f"/v1/{path}", "headers": []}
        request = asyncio.create_task(endpoints[path](scope, receive, send))
        begun = asyncio.create_task(under_way.wait())
        await asyncio.wait({request, begun}, return_when=asyncio.FIRST_COMPLETED)
        assert begun.done(), "the request ended before its work began"
        state.draining = True
        request.cancel()
        async with asyncio.timeout(HANG):
            await request

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())
    assert [(line.status, line.error) for line in noted] == [(503, "server_stopped")]
