"""Spend logs of the LiteLLM proxy: rows of its table `LiteLLM_SpendLogs`, as `/spend/logs` gives them or as CSV.

A row is one call, so it is work as far as one call was the task. It holds no judgement: only a call that failed has an
outcome. The task's text is there where the proxy stores prompts (`store_prompts_in_spend_logs`).
"""

from __future__ import annotations

from collections.abc import Iterator

from sale.memory.importers import fields
from sale.memory.importers.content import Content
from sale.memory.importers.past_work import PastWork, ReadOptions, RowError, Unit, agent_name
from sale.types import BROKE_OFF, NO_JUDGE

_KEYS = {"request_id", "spend", "model"}
_FAILED = "failure"


class LiteLLMSpend:
    """Reads spend logs of LiteLLM."""

    name = "litellm"

    def recognises(self, content: Content, /) -> bool:
        """By the columns of the table."""
        return (set(content.columns()) if content.tabular else set(content.first())) >= _KEYS

    def units(self, content: Content, /) -> Iterator[Unit]:
        """The rows."""
        for place, found in content.records() if content.tabular else content.objects():
            if isinstance(found, RowError):
                yield Unit(place=place, fault=str(found))
            else:
                yield Unit(place=place, parts=(found,))

    def works(self, unit: Unit, options: ReadOptions, /) -> Iterator[PastWork]:
        """One call."""
        row = unit.parts[0]
        request = fields.name(row, "request_id")
        if not request:
            raise RowError("request_id: it is missing")
        metadata = fields.inner(row, "metadata")
        failed = fields.text(row, "status") == _FAILED or fields.text(metadata, "status") == _FAILED
        start = fields.time(row, "startTime", "starttime")
        asked = (fields.describe_value(row.get(name)) for name in ("messages", "proxy_server_request"))
        yield PastWork(
            row=request,
            agent=agent_name(fields.text(row, "model_group") or fields.text(row, "model"), options=options),
            task=next(filter(None, asked), f"(no text) {request}"),
            task_id=request,
            verdict="failure" if failed else "unknown",
            judged_by=BROKE_OFF if failed else NO_JUDGE,
            at=start,
            input_tokens=fields.whole_number(row, "prompt_tokens"),
            output_tokens=fields.whole_number(row, "completion_tokens"),
            dollars=fields.number(row, "spend"),
            seconds=fields.seconds_between(start, fields.time(row, "endTime", "endtime")),
            answer=fields.describe_value(row.get("response")),
            error="the call failed" if failed else None,
        )
