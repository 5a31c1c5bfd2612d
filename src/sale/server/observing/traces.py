"""OpenTelemetry traces with the GenAI conventions: a span for each request, auction, and model call.

Spans are made through OpenTelemetry's interface, which does nothing until a provider is set up: the `otel` extra
does, where an endpoint is named; so does whoever starts the server under an agent of their own. What users and models
wrote is left out unless asked for.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Final

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from sale import config
from sale.auction.events import AgentDropped, AuctionOpened, Awarded, CallSettled, Event
from sale.server.observing.log import mask_secrets
from sale.server.store.types import LedgerEntry
from sale.types import Call

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
CONTENTS: Final = "SALE_TRACE_CONTENTS"
"""Set to anything, traces hold what users and models wrote."""
AUCTIONS: Final = 1000
CLIPPED: Final = 128
SYSTEM: Final = "sale"
log = logging.getLogger(__name__)


def configure_traces() -> bool:
    """Send spans to the endpoint that OpenTelemetry's own variables name, if they name one.

    Returns:
        Whether spans are sent. Without the `otel` extra they are not, and the log says so.
    """
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):  # somebody has set one up already
        return True
    if not any(config.is_set(name) for name in ENDPOINTS):
        return False
    try:
        sdk = import_module("opentelemetry.sdk.trace")
        export = import_module("opentelemetry.sdk.trace.export")
        exporter = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        resources = import_module("opentelemetry.sdk.resources")
    except ModuleNotFoundError as error:
        log.warning("no traces are sent: %s is not installed; pip install 'sale[otel]'", error.name)
        return False
    provider = sdk.TracerProvider(resource=resources.Resource.create({"service.name": SYSTEM}))
    provider.add_span_processor(export.BatchSpanProcessor(exporter.OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return True


class Traces:
    """Spans of what the server does."""

    def __init__(self, tracer: Tracer | None = None, *, contents: bool | None = None) -> None:
        """Nothing is open.

        Args:
            tracer: OpenTelemetry's for `sale` unless given.
            contents: Put what users and models wrote into spans; as `SALE_TRACE_CONTENTS` says unless given.
        """
        self._tracer = trace.get_tracer(SYSTEM) if tracer is None else tracer
        self._contents = config.is_set(CONTENTS) if contents is None else contents
        self._auctions: OrderedDict[str, Span] = OrderedDict()

    @contextmanager
    def request(self, path: str, headers: Mapping[str, str]) -> Generator[Span]:
        """The span of one HTTP request, below the caller's if it sent a `traceparent`; current inside."""
        above = propagate.extract(headers)
        with self._tracer.start_as_current_span(
            f"POST {path}",
            context=above,
            kind=SpanKind.SERVER,
            attributes={"http.request.method": "POST", "url.path": path},
            record_exception=False,  # its text may be anybody's
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR))
                span.set_attribute("error.type", type(error).__name__)
                raise

    def record_entry(self, line: LedgerEntry) -> None:
        """Add the result of the request whose span is current."""
        if line.auction_id is not None and (left := self._auctions.pop(line.auction_id, None)) is not None:
            left.set_status(Status(StatusCode.ERROR, "not awarded"))
            left.end()
        span = trace.get_current_span()
        if not span.is_recording():
            return
        operation = "embeddings" if line.path.endswith("/embeddings") else "chat"
        model = mask_secrets(line.model[:CLIPPED])
        span.update_name(f"{operation} {model}" if model else operation)
        _set(span, _of_line(line, operation, model))
        if line.error is not None:
            span.set_status(Status(StatusCode.ERROR, line.error))

    def event(self, auction_id: str, event: Event) -> None:
        """Something happened in an auction, or in the work after it."""
        match event:
            case AuctionOpened(task=task, agents=agents):
                attributes: dict[str, AttributeValue] = {"sale.auction.id": auction_id, "sale.agents": list(agents)}
                if self._contents:
                    attributes["gen_ai.input.messages"] = task.text
                self._auctions[auction_id] = self._tracer.start_span("auction", attributes=attributes)
                while len(self._auctions) > AUCTIONS:
                    self._auctions.popitem(last=False)[1].end()
            case Awarded(auction=auction):
                if (span := self._auctions.pop(auction_id, None)) is not None:
                    winner = auction.winner
                    _set(span, {"sale.winner": winner.agent, "sale.auction_dollars": auction.settlement.dollars})
                    if self._contents:
                        _set(span, {"gen_ai.output.messages": winner.strategy.text})
                    span.end()
            case CallSettled(call=call):
                self._call(auction_id, call)
            case AgentDropped(dropout=dropout):
                if (span := self._auctions.get(auction_id)) is not None:
                    span.add_event("dropout", {"gen_ai.agent.name": dropout.agent, "sale.stage": dropout.stage})
            case _:
                pass

    def _call(self, auction_id: str, call: Call) -> None:
        """A call that has ended; it began as many seconds ago as it took."""
        auction = self._auctions.get(auction_id)
        above = context.get_current() if auction is None else trace.set_span_in_context(auction)
        ended = time.time_ns()
        span = self._tracer.start_span(
            f"{call.stage} {call.agent}",
            context=above,
            kind=SpanKind.CLIENT,
            start_time=ended - int(call.seconds * 1e9),
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": SYSTEM,
                "gen_ai.request.model": call.agent,
                "gen_ai.agent.name": call.agent,
                "gen_ai.usage.input_tokens": call.usage.input_tokens,
                "gen_ai.usage.output_tokens": call.usage.output_tokens,
                "sale.stage": call.stage,
                "sale.dollars": call.dollars,
            },
        )
        if call.error:
            span.set_status(Status(StatusCode.ERROR))
            _set(span, {"error.type": call.error.partition(":")[0].partition(" ")[0][:CLIPPED]})
        span.end(end_time=ended)


def _of_line(line: LedgerEntry, operation: str, model: str) -> dict[str, AttributeValue | None]:
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": SYSTEM,
        "gen_ai.request.model": model or None,
        "gen_ai.response.model": line.agent,
        "gen_ai.agent.name": line.agent,
        "gen_ai.conversation.id": None if line.session_id is None else mask_secrets(line.session_id),
        "gen_ai.request.stream": line.streamed,
        "gen_ai.usage.input_tokens": line.input_tokens,
        "gen_ai.usage.output_tokens": line.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": line.cached_tokens,
        "gen_ai.response.time_to_first_chunk": line.first_token_seconds,
        "http.response.status_code": line.status,
        "error.type": line.error,
        "sale.auction.id": line.auction_id,
        "sale.key.id": line.key_id,
        "sale.work_dollars": line.work_dollars,
        "sale.auction_dollars": line.auction_dollars,
        "sale.largest_dollars": line.largest_dollars,
        "sale.wait_seconds": line.wait_seconds,
    }


def _set(span: Span, attributes: Mapping[str, AttributeValue | None]) -> None:
    span.set_attributes({name: value for name, value in attributes.items() if value is not None})
