"""Between the gateway and what it tells anyway: the store, the hub, the client. Everything is passed on unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from sale.auction.events import Event
from sale.errors import AccessError
from sale.server.events import EventHub
from sale.server.observing.metrics import Metrics
from sale.server.observing.traces import Traces
from sale.server.store.allowances import SharedAllowance
from sale.server.store.answers import AnswerIds
from sale.server.store.beginnings import Beginnings
from sale.server.store.rates import RateLimits
from sale.server.store.responses import ResponseHistory
from sale.server.store.shadow import ShadowLedger
from sale.server.store.store import ServerStore
from sale.server.store.types import Holder, KeyInfo, LedgerEntry, Reservation, Session


class EventWatcher(Protocol):
    """Sees what happens in auctions."""

    def event(self, auction_id: str, event: Event) -> None:
        """Something happened in an auction. Does not wait, and does not fail."""
        ...


class ObservedHub(EventHub):
    """A hub whose events are counted and traced, too."""

    def __init__(self, *watchers: EventWatcher) -> None:
        """Begin with the watchers as the only listeners."""
        super().__init__()
        self._watchers = watchers

    def publish(self, auction_id: str, event: Event) -> None:
        """Tell everybody, at once."""
        super().publish(auction_id, event)
        for watcher in self._watchers:
            watcher.event(auction_id, event)


class ObservedStore:
    """The store as the gateway knows it, with requests and refusals counted and traced."""

    def __init__(self, store: ServerStore, metrics: Metrics, traces: Traces | None = None) -> None:
        """Opens nothing; closing the store is the caller's."""
        self._store = store
        self._metrics = metrics
        self._traces = traces

    @property
    def rates(self) -> RateLimits:
        """As the store's."""
        return self._store.rates

    @property
    def responses(self) -> ResponseHistory:
        """As the store's."""
        return self._store.responses

    @property
    def answers(self) -> AnswerIds:
        """As the store's."""
        return self._store.answers

    @property
    def beginnings(self) -> Beginnings:
        """As the store's."""
        return self._store.beginnings

    @property
    def allowance(self) -> SharedAllowance:
        """As the store's."""
        return self._store.allowance

    @property
    def shadow(self) -> ShadowLedger:
        """As the store's."""
        return self._store.shadow

    async def admit(self, secret: str | None) -> Holder:
        """As the store's."""
        try:
            return await self._store.admit(secret)
        except AccessError as error:
            self._metrics.count_refusal(error)
            raise

    async def reserve(self, holder: Holder, dollars: float, tokens: int) -> Reservation:
        """As the store's."""
        try:
            return await self._store.reserve(holder, dollars, tokens)
        except AccessError as error:
            self._metrics.count_refusal(error)
            raise

    async def note(self, line: LedgerEntry, *, committed: bool = False) -> None:
        """As the store's. What is noted before its answer has ended is counted at its end."""
        if committed:
            await self._store.note(line, committed=True)
            return
        self._metrics.request(line)
        if self._traces is not None:
            self._traces.record_entry(line)
        await self._store.note(line)

    async def settle(self, reservation: Reservation, *, dollars: float, tokens: int) -> None:
        """As the store's."""
        await self._store.settle(reservation, dollars=dollars, tokens=tokens)

    async def keys(self) -> tuple[KeyInfo, ...]:
        """As the store's."""
        return await self._store.keys()

    async def session(self, session_id: str, key_id: str | None, *, fresh: bool = False) -> Session | None:
        """As the store's."""
        return await self._store.session(session_id, key_id, fresh=fresh)

    async def session_of_auction(self, auction_id: str, key_id: str | None) -> Session | None:
        """As the store's."""
        return await self._store.session_of_auction(auction_id, key_id)

    async def recent_requests(
        self, limit: int = 50, *, session_id: str | None = None, key_id: str | None = None
    ) -> tuple[LedgerEntry, ...]:
        """As the store's."""
        return await self._store.recent_requests(limit, session_id=session_id, key_id=key_id)

    async def sessions_by_digest(self, digests: Sequence[str], key_id: str | None) -> Sequence[Session]:
        """As the store's."""
        return await self._store.sessions_by_digest(digests, key_id)

    def put_session(self, session: Session) -> None:
        """As the store's."""
        self._store.put_session(session)

    async def recent_sessions(self, limit: int) -> tuple[Session, ...]:
        """As the store's."""
        return await self._store.recent_sessions(limit)

    async def probe(self) -> None:
        """As the store's."""
        await self._store.probe()


class TracedApp:
    """An ASGI application whose API requests have a span each."""

    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        """Around `app`."""
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        told = (b"traceparent", b"tracestate")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in told}
        with self._traces.request(scope["path"][:CLIPPED], headers):
            await self._app(scope, receive, send)


CLIPPED = 64
"""Of a path, which may be anything."""
