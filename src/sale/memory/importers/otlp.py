"""OpenTelemetry spans of generative AI, as OTLP JSON: one export, or a line for each as the file exporter writes them.

By the semantic conventions of OpenTelemetry for generative AI (`gen_ai.*`). A trace is one piece of work. Its agent is
`gen_ai.agent.name` of the outermost span that has one, else the model of its first call. Tokens are summed over calls
of models. An event `gen_ai.evaluation.result` is a judgement; without one the outcome is not known, except that a trace
whose outermost span has the status ERROR failed. Conventions name no cost: prices of the pool make it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

from sale.memory.importers import fields
from sale.memory.importers.content import Content
from sale.memory.importers.past_work import PastWork, ReadOptions, RowError, Unit, agent_name, verdict_of
from sale.types import BROKE_OFF, NO_JUDGE, Verdict

Span = Mapping[str, Any]
_CALLS: Final = frozenset({"chat", "text_completion", "generate_content"})
_ERROR: Final = frozenset({"2", "STATUS_CODE_ERROR"})
_EVALUATION: Final = "gen_ai.evaluation.result"
_NANOSECONDS: Final = 1e9
_MAX_DEPTH: Final = 12
_DIGITS: Final = 20
"""Of a whole number of 64 bits."""


class OtlpSpans:
    """Reads OTLP JSON."""

    name = "otlp"

    def recognises(self, content: Content, /) -> bool:
        """By `resourceSpans`."""
        return "resourceSpans" in content.first()

    def units(self, content: Content, /) -> Iterator[Unit]:
        """The traces, in the order of their first spans."""
        traces: dict[str, list[Span]] = {}
        for place, found in content.objects():
            if isinstance(found, RowError):
                yield Unit(place=place, fault=str(found))
                continue
            try:
                for span in _spans(found):
                    traces.setdefault(fields.name(span, "traceId"), []).append(span)
            except RowError as error:
                yield Unit(place=place, fault=str(error))
        for trace, spans in traces.items():
            yield Unit(place=f"trace {trace}" if trace else "spans without a trace", parts=tuple(spans))

    def works(self, unit: Unit, options: ReadOptions, /) -> Iterator[PastWork]:
        """The work of one trace; nothing where no span of it is of generative AI."""
        trace = fields.name(unit.parts[0], "traceId")
        if not trace:
            raise RowError("traceId: it is missing")
        spans = sorted(unit.parts, key=_start)
        told = [(span, _attributes(span.get("attributes"))) for span in spans]
        own = [(span, given) for span, given in told if any(key.startswith("gen_ai.") for key in given)]
        if own:
            yield _work(trace, spans, own, options)


def _work(
    trace: str, spans: Sequence[Span], own: Sequence[tuple[Span, Mapping[str, Any]]], options: ReadOptions
) -> PastWork:
    calls = [given for _, given in own if fields.text(given, "gen_ai.operation.name") in _CALLS] or [
        given for _, given in own if "gen_ai.usage.input_tokens" in given
    ]
    models = [fields.text(given, "gen_ai.request.model", "gen_ai.response.model") for given in calls]
    named = next((name for _, given in own if (name := fields.text(given, "gen_ai.agent.name"))), None)
    verdict, judge, error = _judged(spans, options)
    start, end = _start(spans[0]), max(_nanoseconds(span, "endTimeUnixNano") for span in spans)
    asked = [given for _, given in own if _first(given, "gen_ai.input.messages", "gen_ai.prompt")]
    answered = [given for _, given in own if _first(given, "gen_ai.output.messages", "gen_ai.completion")]
    return PastWork(
        row=trace,
        agent=agent_name(named or next((model for model in models if model), None), options=options),
        task=(fields.describe_value(_first(asked[0], "gen_ai.input.messages", "gen_ai.prompt")) if asked else "")
        or f"(no text) {trace}",
        task_id=trace,
        verdict=verdict,
        judged_by=judge,
        at=_time(start),
        input_tokens=fields.total(fields.whole_number(given, "gen_ai.usage.input_tokens") for given in calls),
        output_tokens=fields.total(fields.whole_number(given, "gen_ai.usage.output_tokens") for given in calls),
        seconds=max(0.0, (end - start) / _NANOSECONDS),
        answer=fields.describe_value(_first(answered[-1], "gen_ai.output.messages", "gen_ai.completion"))
        if answered
        else "",
        error=error,
    )


def _judged(spans: Sequence[Span], options: ReadOptions) -> tuple[Verdict, str, str | None]:
    for span in spans:
        for event in fields.items(span, "events"):
            if event.get("name") != _EVALUATION:
                continue
            given = _attributes(event.get("attributes"))
            name = fields.text(given, "gen_ai.evaluation.name")
            if options.score is None or options.score == name:
                score = _first(given, "gen_ai.evaluation.score.label", "gen_ai.evaluation.score.value")
                return verdict_of(score, options), name[:100] or "evaluation", None
    status = fields.inner(spans[0], "status")
    if fields.text(status, "code") in _ERROR:
        return "failure", BROKE_OFF, fields.text(status, "message") or "the trace ended in an error"
    return "unknown", NO_JUDGE, None


def _spans(export: Mapping[str, Any]) -> Iterator[Span]:
    for resource in fields.items(export, "resourceSpans"):
        for scope in fields.items(resource, "scopeSpans"):
            yield from fields.items(scope, "spans")


def _attributes(value: object) -> Mapping[str, Any]:
    """Attributes as plain values."""
    found: dict[str, Any] = {}
    for one in fields.items({"attributes": value}, "attributes"):
        if isinstance(key := one.get("key"), str):
            found[key] = _plain(one.get("value"))
    return found


def _plain(value: object, depth: int = 0) -> Any:  # noqa: ANN401
    if not isinstance(value, Mapping) or depth > _MAX_DEPTH:
        return None
    given = cast("Mapping[str, Any]", value)
    if "intValue" in given:
        return fields.whole_number(given, "intValue")
    if "arrayValue" in given:
        return [_plain(one, depth + 1) for one in fields.items(fields.inner(given, "arrayValue"), "values")]
    if "kvlistValue" in given:
        pairs = fields.items(fields.inner(given, "kvlistValue"), "values")
        return {str(pair.get("key")): _plain(pair.get("value"), depth + 1) for pair in pairs}
    return next((given[key] for key in ("stringValue", "doubleValue", "boolValue") if key in given), None)


def _first(given: Mapping[str, Any], *keys: str) -> object:
    return next((given[key] for key in keys if given.get(key) not in (None, "", [])), None)


def _start(span: Span) -> int:
    return _nanoseconds(span, "startTimeUnixNano")


def _nanoseconds(span: Span, key: str) -> int:
    """Times are whole numbers of 64 bits, written as text: as floating numbers they would lose their last digits."""
    value = span.get(key, 0)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64:
        return value
    raise RowError(f"{key}: it is no time")


def _time(nanoseconds: int) -> datetime | None:
    return datetime.fromtimestamp(nanoseconds / _NANOSECONDS, UTC) if nanoseconds else None
