"""A plain table with a header: CSV, or JSON lines with the same keys.

`agent` and one of `task` (an id) and `text` are needed. `success` is true, false, a number or empty; `dollars`,
`tokens` (or `input_tokens` and `output_tokens`), `seconds`, `at`, `answer`, `domain` and `id` may be left out or empty.
Rows of one `task` are work on the same task, whose text need be given only once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from sale.errors import InputError
from sale.memory.importers import fields
from sale.memory.importers.content import Content
from sale.memory.importers.past_work import PastWork, ReadOptions, RowError, Unit, agent_name, digest, verdict_of
from sale.types import NO_JUDGE

_COUNTS = ("dollars", "tokens", "input_tokens", "output_tokens", "seconds")
_COLUMNS = frozenset({"task", "text", "agent", "success", "at", "answer", "domain", "id", *_COUNTS})


class PlainTable:
    """Reads tables of past work."""

    name = "csv"

    def recognises(self, content: Content, /) -> bool:
        """By a task or a text, and an agent or an outcome."""
        keys = set(content.columns() if content.tabular else content.first())
        return bool(keys & {"task", "text"}) and bool(keys & {"agent", "success"})

    def units(self, content: Content, /) -> Iterator[Unit]:
        """The rows, with the text of their task where another row has it.

        Raises:
            InputError: The table has a column that is not known.
        """
        if content.tabular and (unknown := sorted(set(content.columns()) - _COLUMNS)):
            raise InputError(
                f"unknown column {fields.shorten(unknown[0])}",
                where=content.name,
                hint=f"There are {', '.join(sorted(_COLUMNS))}.",
            )
        found = list(content.records() if content.tabular else content.objects())
        rows = [row for _, row in found if not isinstance(row, RowError)]
        texts = {str(row["task"]): row["text"] for row in rows if row.get("task") and row.get("text")}
        alike: Counter[str] = Counter()
        for place, row in found:
            if isinstance(row, RowError):
                yield Unit(place=place, fault=str(row))
                continue
            same = json.dumps(row, sort_keys=True)
            alike[same] += 1
            shared = {"row": digest(same, str(alike[same])), "text": texts.get(str(row.get("task")), "")}
            yield Unit(place=place, parts=(row,), shared=shared)

    def works(self, unit: Unit, options: ReadOptions, /) -> Iterator[PastWork]:
        """One row."""
        row = unit.parts[0]
        if unknown := sorted(set(row) - _COLUMNS):
            raise RowError(f"unknown column {fields.shorten(unknown[0])}; there are {', '.join(sorted(_COLUMNS))}")
        task = fields.name(row, "task")
        verdict = verdict_of(row.get("success"), options)
        tokens, written = fields.whole_number(row, "tokens"), fields.whole_number(row, "output_tokens")
        yield PastWork(
            row=fields.name(row, "id") or str(unit.shared["row"]),
            agent=agent_name(fields.text(row, "agent"), options=options),
            task=fields.text(row, "text") or fields.text(unit.shared, "text") or task,
            task_id=task,
            verdict=verdict,
            judged_by=NO_JUDGE if verdict == "unknown" else "the table",
            at=fields.time(row, "at"),
            input_tokens=fields.whole_number(row, "input_tokens") if tokens is None else tokens - (written or 0),
            output_tokens=written,
            dollars=fields.number(row, "dollars"),
            seconds=fields.number(row, "seconds") or 0.0,
            answer=fields.text(row, "answer"),
            domain=fields.name(row, "domain") or None,
        )
