"""Prometheus metrics. Labels are taken from short lists and from names in the settings, never from what users send.

With `PROMETHEUS_MULTIPROC_DIR` set, as prometheus-client defines it, every process answers for all of them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, cast

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from sale import config
from sale.auction.events import AgentDropped, AuctionOpened, Awarded, CallSettled, Event
from sale.errors import AccessError, AuthenticationError, BudgetError, RateLimitError, StoreError
from sale.server.client_address import is_direct, is_own_place
from sale.server.shadow_report import ALARMS
from sale.server.store.types import Holder, LedgerEntry

SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"
PATHS: Final = frozenset(
    {
        *("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/feedback", "/v1/models"),
    }
)
OTHER: Final = "other"
NOBODY: Final = "none"
MAX_AGENTS: Final = 200
"""Agents told apart; settings may be read again and again with others."""
AUCTIONS: Final = 1000
"""Auctions under way whose beginning is remembered."""
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
REASONS: Final[tuple[tuple[type[AccessError], str], ...]] = (
    (AuthenticationError, "authentication"),
    (RateLimitError, "rate_limit"),
    (BudgetError, "budget"),
)


T = TypeVar("T", bound=Counter | Histogram)


class KeyChecker(Protocol):
    """Knows keys."""

    async def check(self, secret: str | None) -> Holder:
        """Return the holder of this key.

        Raises:
            AuthenticationError: No key, or an invalid one.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestMetrics:
    """The metrics of requests of one kind."""

    requests: Counter
    seconds: Histogram
    counters: tuple[Counter, ...]
    """Tokens of input, of output and from a cache; dollars of work and of auctions."""


class Metrics:
    """The server's metrics, in a registry of their own."""

    def __init__(self) -> None:
        """All at zero."""
        self.registry = CollectorRegistry()
        self._agents: set[str] = set()
        self._children: dict[tuple[object, tuple[str, ...]], Any] = {}
        self._kinds: dict[tuple[str, str, str, str], RequestMetrics] = {}
        self._is_shared = config.is_set(SHARED)
        self._began: OrderedDict[str, float] = OrderedDict()
        self._measures: list[tuple[Gauge, Callable[[], int]]] = []
        self._requests = self._counter("sale_requests", "Requests answered.", "path", "agent", "status")
        self._seconds = self._histogram("sale_request_seconds", "From request to the last byte.", "path", "streamed")
        self._first = self._histogram("sale_first_token_seconds", "From request to the first token.", "agent")
        self._wait = self._histogram("sale_wait_seconds", "What a request waited before its agent was asked.")
        self._tokens = self._counter("sale_tokens", "Tokens of requests' work.", "agent", "kind")
        self._dollars = self._counter("sale_dollars", "Dollars spent.", "agent", "kind")
        self._largest = self._counter("sale_largest_dollars", "What the largest agent would have cost: an estimate.")
        self._auctions = self._counter("sale_auctions", "Auctions awarded.", "winner")
        self._auction_seconds = self._histogram("sale_auction_seconds", "From task to award.")
        self._calls = self._counter("sale_calls", "Model calls.", "agent", "stage", "outcome")
        self._dropped = self._counter("sale_bids_dropped", "Agents that left an auction.", "agent", "stage")
        self._refusals = self._counter("sale_refusals", "Requests refused.", "reason")
        self._sessions = self._gauge("sale_sessions_open", "Conversations kept in mind.")
        self._queue = self._gauge("sale_ledger_queue", "Requests waiting to be written to the ledger.")
        about = "1 where the market does worse than the incumbent: by cost, or by quality."
        self._alarm = Gauge("sale_shadow_alarm", about, ("kind",), registry=self.registry, multiprocess_mode="livemax")

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, *labels: str) -> Histogram:
        return Histogram(name, about, labels, registry=self.registry, buckets=SECONDS)

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(name, about, registry=self.registry, multiprocess_mode="livesum")

    def measure(self, *, sessions: Callable[[], int], queued: Callable[[], int]) -> None:
        """Set the gauges that are read whenever the metrics are asked for; for other processes, when a request ends."""
        self._measures = [(self._sessions, sessions), (self._queue, queued)]

    def raise_alarms(self, alarms: Collection[str]) -> None:
        """Set the alarms of the shadow, and take back the others."""
        for kind in ALARMS:
            self._alarm.labels(kind).set(kind in alarms)

    def request(self, line: LedgerEntry) -> None:
        """A request has ended."""
        path = line.path if line.path in PATHS else OTHER
        of = self._of_requests(path, self._agent(line.agent), _status(line.status), "yes" if line.streamed else "no")
        of.requests.inc()
        of.seconds.observe(line.seconds)
        if line.first_token_seconds is not None:
            self._child(self._first, self._agent(line.agent)).observe(line.first_token_seconds)
        self._wait.observe(line.wait_seconds)
        counted = (line.input_tokens, line.output_tokens, line.cached_tokens, line.work_dollars, line.auction_dollars)
        for counter, amount in zip(of.counters, counted, strict=True):
            if amount > 0:
                counter.inc(amount)
        self._largest.inc(max(line.largest_dollars, 0.0))
        if self._is_shared:  # another process may be asked for the metrics
            self._look()

    def count_refusal(self, error: AccessError) -> None:
        """A request was refused."""
        found = next((reason for kind, reason in REASONS if isinstance(error, kind)), OTHER)
        self._refusals.labels(found).inc()

    def event(self, auction_id: str, event: Event) -> None:
        """Something happened in an auction."""
        match event:
            case AuctionOpened():
                self._began[auction_id] = time.monotonic()
                while len(self._began) > AUCTIONS:
                    self._began.popitem(last=False)
            case Awarded(auction=auction):
                self._auctions.labels(self._agent(auction.winner.agent)).inc()
                if (began := self._began.pop(auction_id, None)) is not None:
                    self._auction_seconds.observe(time.monotonic() - began)
            case AgentDropped(dropout=dropout):
                self._dropped.labels(self._agent(dropout.agent), dropout.stage).inc()
            case CallSettled(call=call):
                outcome = "error" if call.error else "ok"
                self._child(self._calls, self._agent(call.agent), call.stage, outcome).inc()
            case _:
                pass

    def text(self) -> bytes:
        """All metrics, of all processes that share them, in Prometheus's text format."""
        self._look()
        if not self._is_shared:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return generate_latest(together)

    def _of_requests(self, path: str, agent: str, status: str, streamed: str) -> RequestMetrics:
        """The metrics of requests of one kind, at hand: to look each up takes longer than to count."""
        key = (path, agent, status, streamed)
        found = self._kinds.get(key)
        if found is None:
            found = self._kinds[key] = RequestMetrics(
                requests=self._requests.labels(path, agent, status),
                seconds=self._seconds.labels(path, streamed),
                counters=(
                    *(self._tokens.labels(agent, kind) for kind in ("input", "output", "cached")),
                    *(self._dollars.labels(agent, kind) for kind in ("work", "auction")),
                ),
            )
        return found

    def _child(self, metric: T, *labels: str) -> T:
        """A metric with its labels, at hand: to look one up in the library takes longer than to count."""
        found = self._children.get((metric, labels))
        if found is None:
            found = self._children[metric, labels] = metric.labels(*labels)
        return cast("T", found)

    def _look(self) -> None:
        for gauge, measure in self._measures:
            gauge.set(measure())

    def _agent(self, name: str | None) -> str:
        if name is None:
            return NOBODY
        if name not in self._agents:
            if len(self._agents) >= MAX_AGENTS:
                return OTHER
            self._agents.add(name)
        return name


def _status(status: int) -> str:
    return str(status) if 100 <= status <= 599 else OTHER


def routes(metrics: Metrics, keys: KeyChecker) -> list[BaseRoute]:
    """`GET /metrics`, for whoever asks from this machine, or shows a key.

    Behind a proxy on the same machine everybody comes from this machine; a request that says it was forwarded needs a
    key like any other, and so does one under a name that is not this machine's: a page elsewhere can point it here.
    """

    async def show(request: Request) -> Response:
        if not (is_direct(request.scope) and is_own_place(request.headers.get("host", "localhost"))):
            scheme, _, secret = request.headers.get("authorization", "").partition(" ")
            try:
                await keys.check(secret if scheme.lower() == "bearer" else None)
            except AuthenticationError as error:
                return PlainTextResponse(f"{error}\n", 401, headers={"www-authenticate": "Bearer"})
            except StoreError:
                return PlainTextResponse("the server's records cannot be read\n", 503)
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    return [Route("/metrics", show, methods=["GET"])]
