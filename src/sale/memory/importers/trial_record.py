"""Records of `sale trial`: what every agent did on every task of the sample, without a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sale.memory.importers import fields
from sale.memory.importers.content import Content
from sale.memory.importers.past_work import PastWork, ReadOptions, RowError, Unit, agent_name, digest, verdict_of
from sale.types import NO_JUDGE


class TrialRecord:
    """Reads records of trials."""

    name = "trial"

    def recognises(self, content: Content, /) -> bool:
        """By the first line of a record: the run, with its settings."""
        first = content.first()
        return first.get("kind") == "run" and "settings" in first

    def units(self, content: Content, /) -> Iterator[Unit]:
        """Executions without a plan, each with the line of its task."""
        tasks: dict[str, Mapping[str, Any]] = {}
        for place, found in content.objects():
            if isinstance(found, RowError):
                yield Unit(place=place, fault=str(found))
            elif found.get("kind") == "task":
                tasks[fields.name(found, "task")] = found
            elif found.get("kind") == "execution" and not found.get("strategy"):
                yield Unit(place=place, parts=(found,), shared=tasks.get(fields.name(found, "task"), {}))

    def works(self, unit: Unit, options: ReadOptions, /) -> Iterator[PastWork]:
        """One execution."""
        line = unit.parts[0]
        calls, outcome = fields.items(line, "calls"), fields.inner(line, "outcome")
        usages = [fields.inner(call, "usage") for call in calls]
        verdict = fields.text(outcome, "verdict")
        task, agent = fields.name(line, "task"), agent_name(fields.text(line, "agent"), options=options)
        yield PastWork(
            row=digest(task, fields.text(unit.shared, "text"), agent, fields.text(line, "answer")),
            agent=agent,
            task=fields.text(unit.shared, "text") or task,
            task_id=task,
            verdict=verdict_of(None if verdict == "unknown" else verdict, options),
            judged_by=fields.text(outcome, "judged_by")[:100] or NO_JUDGE,
            input_tokens=sum(fields.whole_number(usage, "input_tokens") or 0 for usage in usages),
            output_tokens=sum(fields.whole_number(usage, "output_tokens") or 0 for usage in usages),
            dollars=sum(fields.number(call, "dollars") or 0.0 for call in calls),
            seconds=fields.number(line, "seconds") or 0.0,
            answer=fields.text(line, "answer"),
            error=fields.text(line, "error") or None,
            domain=fields.name(unit.shared, "domain") or None,
        )
