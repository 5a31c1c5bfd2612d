"""The dashboard over real HTTP, from a thread with an event loop of its own: market, memory, store and hub are real."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
import uvicorn
from starlette.applications import Starlette

from sale import Market
from sale.auction.events import AuctionOpened, Event
from sale.memory.store import AuctionMemory
from sale.models.scripted import persona
from sale.server.dashboard import DashboardSettings, routes
from sale.server.dashboard.live_sharing import CHANNEL, LiveSharing
from sale.server.events import EventHub
from sale.server.store.announcements import Announcements
from sale.server.store.database import StoreDatabase
from sale.server.store.store import ServerStore
from sale.types import AuctionRules, Outcome, Result, Task, Verdict, Weights
from tests.memory.builders import HashEmbedder
from tests.support.hang import HANG
from tests.support.scripted import contractor

T = TypeVar("T")
PLANS = {
    "small": ("1. Guess the total.\n2. Answer.", "1. Add the numbers in pairs.\n2. Answer with the total."),
    "middle": ("1. Add the numbers one by one.\n2. Check the total.\n3. Answer.", None),
    "large": ("1. Derive the formula.\n2. Consider alternatives.\n3. Apply it.\n4. Check it.\n5. Answer.", None),
}
PRICES = {"small": 0.05, "middle": 0.2, "large": 1.0}


class Says:
    """A verifier with one verdict."""

    def __init__(self, verdict: Verdict, detail: str = "") -> None:
        self._outcome = Outcome(verdict=verdict, judged_by="tests", detail=detail)

    async def verify(self, task: Task, answer: str) -> Outcome:
        return self._outcome


def agents(plans: Mapping[str, tuple[str, str | None]] | None = None) -> list[Any]:
    """Three that plan, judge and answer: the longer a plan, the better they like it."""
    return [
        contractor(
            name,
            persona(
                plan=plan,
                refined=refined,
                opinion=lambda text: min(5, 1 + text.count("\n") + 2 * ("pairs" in text)),
                answer=f"It is 55, says {name}.",
                certainty=0.9,
            ),
            price=PRICES.get(name, 0.5),
        )
        for name, (plan, refined) in (plans or PLANS).items()
    ]


@asynccontextmanager
async def sharing(hub: EventHub, url: str | None) -> AsyncGenerator[LiveSharing | None]:
    """Auctions shared with other gateways, over the database at the URL."""
    if url is None:
        yield None
        return
    database = await StoreDatabase.open(url)
    try:
        async with LiveSharing(hub, Announcements(database, CHANNEL)) as shared:
            yield shared
    finally:
        await database.close()


class Served:
    """A dashboard at an address, and the market behind it."""

    def __init__(
        self,
        place: Path,
        *,
        password: str | None = None,
        pool: Sequence[Any] | None = None,
        prior: Weights | None = None,
        weights: Weights | None = None,
        keeps: bool = True,
        allowance: float | None = None,
        shares: str | None = None,
    ) -> None:
        self._place = place
        self._rules = AuctionRules(examples=2, allowance=allowance)
        self._prior = prior
        self._weights = weights
        self._settings = DashboardSettings(password=password)
        self._keeps = keeps
        self._shares = shares
        self._pool = list(pool or agents())
        self._loop = asyncio.new_event_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.hub = EventHub()
        self.client = httpx2.Client(base_url=self.address, trust_env=False, timeout=HANG)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()), daemon=True)

    async def _run(self) -> None:
        async def opener() -> AuctionMemory:
            return await AuctionMemory.open(self._place / "memory.sqlite3", embedder=HashEmbedder())

        place = self._place / "server.sqlite3"
        async with (
            Market(
                self._pool, memory=opener, rules=self._rules, prior=self._prior, weights=self._weights
            ) as self.market,
            await ServerStore.open(place) as store,
            sharing(self.hub, self._shares) as others,
        ):
            self.store = store
            self.others = others
            kept = store if self._keeps else None
            app = Starlette(routes=routes(lambda: self.market, kept, self.hub, self._settings, others))
            config = uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=1)
            self._server = uvicorn.Server(config)
            self._ready.set()
            await self._server.serve(sockets=[self._socket])

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(HANG)
        self.wait(lambda: self._server.started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self._loop.call_soon_threadsafe(self.hub.close)
        self._server.should_exit = True
        self._thread.join(HANG)
        self._socket.close()
        assert not self._thread.is_alive()
        self._loop.close()

    def wait(self, condition: Callable[[], object], seconds: float = HANG) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "it did not come to pass"
            time.sleep(0.02)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Something in the loop of the server."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(HANG)

    def remembered(self, act: Callable[[AuctionMemory], Coroutine[Any, Any, T]]) -> T:
        """Something with the memory."""

        async def go() -> T:
            memory = await self.market.memory()
            assert memory is not None
            return await act(memory)

        return self.do(go())

    def run(
        self,
        text: str = "Add the numbers from 1 to 10.",
        verdict: Verdict | None = "success",
        *,
        domain: str | None = None,
        detail: str = "",
    ) -> Result:
        """One task through the market, told to the hub."""
        auction_id = ""

        def observe(event: Event) -> None:
            nonlocal auction_id
            if isinstance(event, AuctionOpened):
                auction_id = event.auction_id
            self.hub.publish(auction_id, event)

        verifier = None if verdict is None else Says(verdict, detail)
        return self.do(self.market.run(Task(text=text, domain=domain), verifier=verifier, observe=observe))

    def page(self, path: str, status: int = 200) -> str:
        reply = self.client.get(path)
        assert reply.status_code == status, reply.text
        return reply.text

    def post(self, path: str, page: str, *, token: str | None = None, origin: str | None = None, **fields: str) -> Any:
        """A form of a page, with that page's token unless another is given."""
        own = token if token is not None else self.token(page)
        headers = {"origin": origin or self.address}
        return self.client.post(path, data={"token": own, **fields}, headers=headers)

    def token(self, page: str) -> str:
        found = re.search(r'name="token" value="([0-9a-f]+)"', self.page(page))
        assert found, f"no form on {page}"
        return found[1]
