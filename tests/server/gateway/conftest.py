"""A gateway as `sale serve` makes it, in a thread of its own, over the test endpoint."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import uvicorn

from sale import config
from sale.market import Market
from sale.server.app import create_app, wrap_app
from sale.server.events import EventHub
from sale.server.gateway.state import GatewayState
from sale.server.serving import Server
from sale.server.store.store import ServerStore
from tests.support.endpoint import Endpoint, endpoint, running_endpoint
from tests.support.hang import HANG

__all__ = ["endpoint", "running_endpoint"]


@dataclass
class Gateway:
    """A running gateway; a context manager. Its event loop is in another thread: `do` runs a coroutine there."""

    settings: config.Settings
    database: Path
    market: Callable[[config.Settings], Market] = lambda settings: Market.from_config(settings=settings)
    base: str = ""
    _thread: threading.Thread | None = None
    _ready: threading.Event = field(default_factory=threading.Event)
    _loop: asyncio.AbstractEventLoop | None = None
    _server: uvicorn.Server | None = None
    _failure: BaseException | None = None
    state: GatewayState | None = None
    store: ServerStore | None = None

    @property
    def url(self) -> str:
        return f"{self.base}/v1"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._thread.start()
        assert self._ready.wait(HANG), "the gateway did not start"
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.should_exit = True
        self._thread.join(HANG)
        assert not self._thread.is_alive(), "the gateway did not stop"
        if self._failure is not None:
            raise self._failure

    def do(self, work: Any) -> Any:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(HANG)

    def lines(self) -> list[Any]:
        """The ledger, oldest first, once it is written."""
        assert self.store is not None
        return list(reversed(self.do(self._lines())))

    async def _lines(self) -> Any:
        assert self.store is not None
        for _ in range(100):
            await asyncio.sleep(0.35)
            if not self.store.queued:
                break
        return await self.store.recent_requests(1000)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._failure = error
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with await ServerStore.open(self.database) as store:
            self.store = store
            self.state = GatewayState(self.market(self.settings), store, EventHub(), self.settings.server)
            app = wrap_app(create_app(self.state), self.state, store)
            self._server = Server(app, self.settings.server, self.state)
            self._server.config.port = 0
            self._server.config.timeout_graceful_shutdown = 2
            serving = asyncio.create_task(self._server.serve())
            for _ in range(2000):
                if self._server.started or serving.done():
                    break
                await asyncio.sleep(0.005)
            if self._server.started:
                self.base = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
            self._ready.set()
            await serving


Opening = Callable[..., Gateway]
Serving = Callable[..., Gateway]


@pytest.fixture
def opening(endpoint: Endpoint, tmp_path: Path) -> Opening:
    """Makes a gateway over agents given as name=trait, the later the dearer; not started."""

    def make(
        server: Mapping[str, Any] | None = None, options: Mapping[str, Mapping[str, Any]] | None = None, **agents: str
    ) -> Gateway:
        pool = [
            {
                "name": name,
                "endpoint": endpoint.base_url,
                "model": f"{trait}@{name}",
                "price": {"input": 0.1 * 10**place, "output": 0.2 * 10**place},
                **(options or {}).get(name, {}),
            }
            for place, (name, trait) in enumerate(agents.items())
        ]
        settings = config.Settings.model_validate(
            {"agents": pool, "memory": {"path": tmp_path / "memory.sqlite3"}, "server": dict(server or {})}
        )
        return Gateway(settings, tmp_path / "server.sqlite3")

    return make


@pytest.fixture
def gateway(opening: Opening) -> Iterator[Gateway]:
    with opening(small="good", large="good") as running:
        yield running


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    """Makes a gateway over agents given as tables of `sale.toml`; not started."""

    def make(*agents: Mapping[str, Any], server: Mapping[str, Any] | None = None, **more: Any) -> Gateway:
        memory = {"path": tmp_path / "memory.sqlite3"}
        tables = {"agents": list(agents), "memory": memory, "server": dict(server or {}), **more}
        settings = config.Settings.model_validate(tables)
        return Gateway(settings, tmp_path / "server.sqlite3")

    return make
