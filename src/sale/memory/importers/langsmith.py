"""Runs of LangSmith, as its API and its client give them (`Run`), as JSON or JSON lines.

A trace is one piece of work: the root run holds task, answer, time, tokens and dollars; its model is that of the root,
else of the first run of type `llm`. Feedback judges it (`feedback_stats`, the mean of a key): the first key, or the one
that `--score` names. A run without its root in the file is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sale.memory.importers import fields
from sale.memory.importers.content import Content
from sale.memory.importers.past_work import PastWork, ReadOptions, RowError, Unit, agent_name, verdict_of
from sale.types import BROKE_OFF, NO_JUDGE, Verdict

Object = Mapping[str, Any]


class LangSmithRuns:
    """Reads runs of LangSmith."""

    name = "langsmith"

    def recognises(self, content: Content, /) -> bool:
        """By the keys of a run."""
        return {"id", "run_type", "start_time"} <= set(content.first())

    def units(self, content: Content, /) -> Iterator[Unit]:
        """The traces, each with its root first."""
        traces: dict[str, list[Object]] = {}
        for place, found in content.objects():
            if isinstance(found, RowError):
                yield Unit(place=place, fault=str(found))
                continue
            trace = found.get("trace_id") or found.get("id")
            traces.setdefault(trace if isinstance(trace, str) else "", []).append(found)
        for trace, runs in traces.items():
            ordered = sorted(runs, key=lambda run: (run.get("parent_run_id") is not None, str(run.get("start_time"))))
            yield Unit(place=f"trace {trace}", parts=tuple(ordered))

    def works(self, unit: Unit, options: ReadOptions, /) -> Iterator[PastWork]:
        """The work of one trace."""
        root, runs = unit.parts[0], _with_children(unit.parts)
        identity = fields.name(root, "trace_id", "id")
        if not identity:
            raise RowError("id: the run has none")
        if root.get("parent_run_id") is not None:
            raise RowError("parent_run_id: the root of the trace is not in the file")
        calls = [run for run in runs if run.get("run_type") == "llm"]
        verdict, judge = _judged(root, options)
        start = fields.time(root, "start_time")
        error = fields.text(root, "error")
        if verdict == "unknown" and error:
            verdict, judge = "failure", BROKE_OFF
        yield PastWork(
            row=identity,
            agent=agent_name(_model([root, *calls]) or options.agent or fields.text(root, "name"), options=options),
            task=fields.describe_value(root.get("inputs")) or f"(no text) {identity}",
            task_id=fields.name(root, "reference_example_id") or identity,
            verdict=verdict,
            judged_by=judge,
            at=start,
            input_tokens=_sum(root, calls, "prompt_tokens"),
            output_tokens=_sum(root, calls, "completion_tokens"),
            dollars=_cost(root, calls),
            seconds=fields.seconds_between(start, fields.time(root, "end_time")),
            answer=fields.describe_value(root.get("outputs")),
            error=error[:500] or None,
        )


def _with_children(runs: Sequence[Object]) -> list[Object]:
    """All runs, with those that are nested in their parents, level by level."""
    found: list[Object] = []
    level = list(runs)
    while level:
        found += level
        level = [child for run in level for child in fields.items(run, "child_runs")]
    return found


def _model(runs: Sequence[Object]) -> str:
    for run in runs:
        extra = fields.inner(run, "extra")
        metadata, invoked = fields.inner(extra, "metadata"), fields.inner(extra, "invocation_params")
        name = fields.text(metadata, "ls_model_name") or fields.text(invoked, "model", "model_name")
        if name:
            return name
    return ""


def _judged(root: Object, options: ReadOptions) -> tuple[Verdict, str]:
    stats = fields.inner(root, "feedback_stats")
    key = options.score or next(iter(stats), None)
    if key is None or key not in stats:
        return "unknown", NO_JUDGE
    return verdict_of(fields.number(fields.inner(stats, key), "avg"), options), key[:100]


def _sum(root: Object, calls: Sequence[Object], key: str) -> int | None:
    own = fields.whole_number(root, key)
    if own is not None:
        return own
    return fields.total(fields.whole_number(run, key) for run in calls)


def _cost(root: Object, calls: Sequence[Object]) -> float | None:
    own = fields.number(root, "total_cost")
    if own is not None:
        return own
    return fields.total(fields.number(run, "total_cost") for run in calls)
