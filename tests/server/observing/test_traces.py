"""Traces: the spans of a request, with the GenAI conventions, and nothing that anybody wrote."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from starlette.types import Receive, Scope, Send

from sale import FunctionAgent, Market, Price
from sale.auction.events import AuctionOpened, CallSettled
from sale.server.observing import Metrics, ObservedHub, ObservedStore, TracedApp, Traces, configure_log, mask_secrets
from sale.server.store.store import ServerStore
from sale.server.store.types import LedgerEntry
from sale.types import Call, Task, Usage
from tests.support.hang import HANG
from tests.support.ledger import noted

WRITTEN = "the quick brown fox"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exported() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exported: InMemorySpanExporter):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    return provider.get_tracer("sale")


def agent(name: str, price: float) -> FunctionAgent:
    async def plan(task: Task) -> str:
        return f"1. Say {WRITTEN} as {name} does."

    async def work(task: Task, strategy: str | None) -> str:
        return WRITTEN

    return FunctionAgent(name, price=Price(input=price, output=price, blended=price), bid=plan, execute=work)


def request_line(**changes) -> LedgerEntry:
    return noted(**{"at": datetime.now(UTC), "auction_id": None, **changes})


class Gateway:
    """An application that holds a real auction for every request, as the gateway does, and notes it."""

    def __init__(self, market: Market, hub: ObservedHub, store: ObservedStore) -> None:
        self.market, self.hub, self.store = market, hub, store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        def observe(event) -> None:
            self.hub.publish("a1", event)

        auction = await asyncio.create_task(self.market.auction(WRITTEN, observe=observe))
        work = Call(
            stage="execute",
            agent=auction.winner.agent,
            usage=Usage(input_tokens=100, output_tokens=10),
            dollars=0.25,
            seconds=0.01,
        )
        self.hub.publish("a1", CallSettled(call=work))
        await self.store.note(request_line(auction_id="a1", agent=auction.winner.agent))


async def post(app: TracedApp, path: str = "/v1/chat/completions", **headers: str) -> None:
    async def receive():
        return {"type": "http.request"}

    async def send(message) -> None:
        pass

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await app(scope, receive, send)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ServerStore]:
    async with await ServerStore.open(tmp_path / "s") as store:
        yield store


def own(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def named(spans: tuple[ReadableSpan, ...]) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans}


async def test_a_request_its_auction_its_bids_and_its_work_are_one_trace(exported, tracer, store: ServerStore):
    traces = Traces(tracer)
    metrics = Metrics()
    async with Market([agent("small", 0.1), agent("large", 1.0)]) as market:
        gateway = Gateway(market, ObservedHub(metrics, traces), ObservedStore(store, metrics, traces))
        await post(TracedApp(gateway, traces), traceparent=PARENT, authorization="Bearer sk-sale-secret")
    spans = exported.get_finished_spans()
    found = named(spans)
    request, auction = found["chat sale"], found["auction"]
    assert request.parent is not None
    assert f"{request.parent.span_id:x}" == PARENT.split("-")[2]
    assert {f"{span.context.trace_id:032x}" for span in spans if span.context} == {PARENT.split("-")[1]}
    assert auction.parent is not None
    assert auction.parent.span_id == own(request)
    bids = [span for span in spans if span.name.startswith("bid ")]
    assert {span.name for span in bids} == {"bid small", "bid large"}
    assert {span.parent.span_id for span in bids if span.parent} == {own(auction)}
    attributes = dict(request.attributes or {})
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.request.model"] == "sale"
    assert attributes["gen_ai.usage.input_tokens"] == 100
    assert attributes["gen_ai.usage.output_tokens"] == 10
    assert attributes["gen_ai.conversation.id"] == "s1"
    assert attributes["sale.auction.id"] == "a1"
    winner = str((auction.attributes or {})["sale.winner"])
    assert attributes["gen_ai.response.model"] == winner
    work = found[f"execute {winner}"]
    assert work.parent is not None
    assert work.parent.span_id == own(request)
    assert dict(work.attributes or {})["gen_ai.usage.output_tokens"] == 10
    assert work.end_time is not None
    assert work.start_time is not None
    assert work.end_time - work.start_time == pytest.approx(0.01e9, rel=0.01)
    everything = "".join(span.to_json() for span in spans)
    assert WRITTEN not in everything
    assert "secret" not in everything


async def test_contents_are_traced_only_where_asked_for(exported, tracer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SALE_TRACE_CONTENTS", "1")
    async with Market([agent("small", 0.1), agent("large", 1.0)]) as market:
        traces = Traces(tracer)
        await market.auction(WRITTEN, observe=lambda event: traces.event("a1", event))
    (auction,) = [span for span in exported.get_finished_spans() if span.name == "auction"]
    assert dict(auction.attributes or {})["gen_ai.input.messages"] == WRITTEN
    assert WRITTEN in str(dict(auction.attributes or {})["gen_ai.output.messages"])


async def test_what_fails_is_an_error_and_leaves_no_span_open(exported, tracer, store: ServerStore):
    traces = Traces(tracer)
    observed = ObservedStore(store, Metrics(), traces)

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        traces.event("a1", AuctionOpened(auction_id="a1", task=Task(text=WRITTEN), agents=("small",)))
        call = Call(
            stage="bid", agent="small", usage=Usage(), dollars=0.0, seconds=0.1, error=f"call.timeout: {WRITTEN}"
        )
        traces.event("a1", CallSettled(call=call))
        await observed.note(request_line(auction_id="a1", status=502, error="no_bids", agent=None))
        raise RuntimeError(WRITTEN)

    with pytest.raises(RuntimeError):
        await post(TracedApp(failing, traces))
    spans = named(exported.get_finished_spans())
    assert {name: span.status.status_code for name, span in spans.items()} == {
        "bid small": StatusCode.ERROR,
        "auction": StatusCode.ERROR,
        "chat sale": StatusCode.ERROR,
    }
    assert dict(spans["bid small"].attributes or {})["error.type"] == "call.timeout"
    assert dict(spans["chat sale"].attributes or {})["error.type"] == "RuntimeError"
    assert WRITTEN not in "".join(span.to_json() for span in spans.values())


async def test_other_requests_have_no_span(exported, tracer):
    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    await post(TracedApp(nothing, Traces(tracer)), "/auctions/1")
    assert exported.get_finished_spans() == ()


async def test_without_a_provider_nothing_is_done(store: ServerStore):
    traces = Traces()
    observed = ObservedStore(store, Metrics(), traces)

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        await observed.note(request_line())

    await post(TracedApp(noting, traces))
    assert (await store.recent_requests())[0].id == "r1"


CONFIGURE = """
import sys
if sys.argv[1] == "bare":
    sys.modules["opentelemetry.sdk"] = None
from sale.server.observing import configure_traces
sys.stdout.write(str(configure_traces()))
"""


@pytest.mark.parametrize(
    ("installed", "endpoint", "expected"),
    [("bare", "http://127.0.0.1:9", "False"), ("bare", "", "False"), ("all", "", "False"), ("all", "http://x", "True")],
)
def test_traces_are_sent_where_an_endpoint_is_named_and_the_extra_is_installed(installed, endpoint, expected):
    done = subprocess.run(
        [sys.executable, "-c", CONFIGURE, installed],
        capture_output=True,
        text=True,
        check=True,
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "PATH": ""},
        cwd=Path(__file__).parents[3],
        timeout=HANG,
    )
    assert done.stdout == expected
    assert ("sale[otel]" in done.stderr) == (installed == "bare" and endpoint != "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key sk-sale-AbCd1234efghIJKL5678 is bad", "key sk-sale-AbCd… is bad"),
        ("sk-proj-AAAABBBBCCCCDDDDEEEE", "sk-proj-AAAA…"),
        ("gsk_AbCd1234efghIJKL5678mnop", "gsk_AbCd…"),
        ("sk-or-v1-0123456789abcdef0123456789abcdef", "sk-or-v1-0123…"),
        ("sk-ant-api03-AAAABBBBCCCCDDDD-EEEE_FFFF", "sk-ant-api03-AAAA…"),
        ("?key=AIzaSyA0123456789abcdefghijklmnopqrstuvw", "?key=AIzaSyA0…"),
        ("github_pat_11ABCDEFG0123456789_abcdefghijkl", "github_pat_11AB…"),
        ("gho_0123456789abcdefABCDEF", "gho_0123…"),
        ("xai-0123456789abcdefABCDEF", "xai-0123…"),
        ("hf_AbCdEfGhIjKlMnOpQrSt", "hf_AbCd…"),
        ("hf-AbCd1234efghIJKL5678", "hf-AbCd…"),
        ("hf-internal-testing/tiny-random-llama", "hf-internal-testing/tiny-random-llama"),
        (
            "pk_server_beginnings is no key, nor is a skeletonization",
            "pk_server_beginnings is no key, nor is a skeletonization",
        ),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer …"),
        ("postgresql://user:hunter22@host/db", "postgresql://user:…@host/db"),
        ("session 123e4567-e89b-12d3-a456-426614174000", "session 123e4567-e89b-12d3-a456-426614174000"),
        ("a task-force of sk- keys", "a task-force of sk- keys"),
    ],
)
def test_secrets_are_masked(text: str, shown: str):
    assert mask_secrets(text) == shown


@pytest.mark.parametrize("as_json", [True, False])
def test_the_log_shows_no_key_not_even_in_a_traceback(as_json: bool):
    stream = StringIO()
    handler = configure_log(stream, as_json=as_json)
    secret = "sk-sale-0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
    try:
        logging.getLogger("sale.server").info("asked with %s", secret)
        try:
            raise ValueError(f"bad key {secret}")
        except ValueError:
            logging.getLogger("sale.server").exception("failed")
    finally:
        logging.getLogger().removeHandler(handler)
        logging.getLogger("sale").setLevel(logging.NOTSET)
    said = stream.getvalue()
    assert secret[12:] not in said
    assert "ValueError" in said
    if as_json:
        lines = [json.loads(one) for one in said.splitlines()]
        assert [(one["level"], one["logger"]) for one in lines] == [("info", "sale.server"), ("error", "sale.server")]
        assert lines[0]["message"] == "asked with sk-sale-0123…"
        assert "error" in lines[1]
