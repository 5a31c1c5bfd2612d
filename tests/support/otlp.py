"""OTLP JSON as the SDK of OpenTelemetry makes it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def export(tracer_work: Callable[[Any], None]) -> dict[str, Any]:
    """OTLP JSON of what is traced by the SDK of OpenTelemetry. Ids are hexadecimal in it, by the specification."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer_work(provider.get_tracer("test"))
    found = MessageToDict(encode_spans(memory.get_finished_spans()))
    for resource in found["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for key in ("traceId", "spanId", "parentSpanId"):
                    if key in span:
                        span[key] = base64.b64decode(span[key]).hex()
    return found
