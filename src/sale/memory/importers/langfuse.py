"""Exports of Langfuse, as JSON or JSON lines: traces as `/api/public/traces/{id}` gives them, or observations.

A trace is one piece of work: the model is that of its first generation, tokens and dollars are sums over generations,
or the trace's own total. A score of a trace judges it: the one `--score` names, or the first but for categories without
a verdict. Observations without their trace are put together by `traceId`, and are not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sale.memory.importers import fields
from sale.memory.importers.content import Content
from sale.memory.importers.past_work import PastWork, ReadOptions, RowError, Unit, agent_name, verdict_of
from sale.types import NO_JUDGE, Verdict

Object = Mapping[str, Any]
_TRACE_KEYS: Final = frozenset({"observations", "scores", "totalCost", "sessionId", "htmlPath", "userId"})
_NO_CALL: Final = frozenset({"SPAN", "EVENT", "TOOL", "RETRIEVER", "EMBEDDING", "GUARDRAIL", "EVALUATOR"})


class LangfuseExport:
    """Reads exports of Langfuse."""

    name = "langfuse"

    def recognises(self, content: Content, /) -> bool:
        """By `traceId` and `type` of an observation, or by the keys of a trace."""
        keys = set(content.first())
        return {"traceId", "type", "id"} <= keys or ({"id", "timestamp"} <= keys and bool(_TRACE_KEYS & keys))

    def units(self, content: Content, /) -> Iterator[Unit]:
        """The traces; observations that come without theirs, by trace."""
        loose: dict[str, list[Object]] = {}
        for place, found in content.objects():
            if isinstance(found, RowError):
                yield Unit(place=place, fault=str(found))
            elif "traceId" in found and "timestamp" not in found:
                trace = found["traceId"]
                loose.setdefault(trace if isinstance(trace, str) else "", []).append(found)
            else:
                yield Unit(place=place, parts=(), shared=found)
        for trace, parts in loose.items():
            yield Unit(place=f"trace {trace}", parts=tuple(parts), shared={"id": trace})

    def works(self, unit: Unit, options: ReadOptions, /) -> Iterator[PastWork]:
        """The work of one trace."""
        trace = unit.shared
        identity = fields.name(trace, "id")
        if not identity:
            raise RowError("id: the trace has none")
        parts = sorted(
            unit.parts or fields.items(trace, "observations"), key=lambda one: str(one.get("startTime") or "")
        )
        calls = [one for one in parts if _is_call(one)]
        verdict, judge = _judged(trace, options)
        cost = fields.total(_cost(one) for one in calls)
        start = fields.time(trace, "timestamp") or fields.time(parts[0] if parts else {}, "startTime")
        end = max((when for one in parts if (when := fields.time(one, "endTime"))), default=None)
        metadata = fields.inner(trace, "metadata")
        model = next((name for one in calls if (name := fields.text(one, "model", "providedModelName"))), None)
        asked = (fields.describe_value(one.get("input")) for one in (trace, *parts))
        answered = (fields.describe_value(one.get("output")) for one in (trace, *reversed(parts)))
        yield PastWork(
            row=identity,
            agent=agent_name(
                fields.text(metadata, "agent") or model or options.agent or fields.text(trace, "name"), options=options
            ),
            task=next(filter(None, asked), f"(no text) {identity}"),
            task_id=identity,
            verdict=verdict,
            judged_by=judge,
            at=start,
            input_tokens=_tokens(calls, "input", "promptTokens", "inputUsage"),
            output_tokens=_tokens(calls, "output", "completionTokens", "outputUsage"),
            dollars=fields.number(trace, "totalCost") if trace.get("totalCost") is not None else cost,
            seconds=fields.number(trace, "latency") or fields.seconds_between(start, end),
            answer=next(filter(None, answered), ""),
            error=next(
                (fields.text(one, "statusMessage") or "error" for one in parts if one.get("level") == "ERROR"), None
            ),
        )


def _is_call(one: Object) -> bool:
    return fields.text(one, "type") not in _NO_CALL and bool(
        one.get("model") or one.get("usageDetails") or one.get("usage")
    )


def _judged(trace: Object, options: ReadOptions) -> tuple[Verdict, str]:
    for score in fields.items(trace, "scores"):
        name = fields.text(score, "name")
        if options.score not in {None, name}:
            continue
        try:
            return verdict_of(_value(score), options), name[:100] or "score"
        except RowError:
            # A category without a verdict, `language: English` say, is no fault unless it was asked for.
            if options.score is not None or fields.text(score, "dataType") != "CATEGORICAL":
                raise
    return "unknown", NO_JUDGE


def _value(score: Object) -> object:
    """A score's value. That of a category is its word; the number beside it is 0 where the category has none.

    Raises:
        RowError: It is a category without a word.
    """
    value, word = score.get("value"), score.get("stringValue")
    if fields.text(score, "dataType") != "CATEGORICAL":
        return word if value is None else value
    said = next((one for one in (word, value) if isinstance(one, str) and one.strip()), None)
    if said is None:
        raise RowError("score: it is a category, and stringValue does not say which")
    return said


def _cost(one: Object) -> float | None:
    details = fields.inner(one, "costDetails")
    found = fields.number(details, "total")
    return found if found is not None else fields.number(one, "totalCost", "calculatedTotalCost", "totalPrice")


def _tokens(calls: Sequence[Object], key: str, *older: str) -> int | None:
    def counted(one: Object) -> int | None:
        for place in (fields.inner(one, "usageDetails"), fields.inner(one, "usage")):
            if (found := fields.whole_number(place, key)) is not None:
                return found
        return fields.whole_number(one, *older)

    return fields.total(map(counted, calls))
