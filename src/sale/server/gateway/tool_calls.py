"""Which tool call a part of a stream belongs to.

The protocol numbers calls by `index`. Some endpoints leave it out, send `null`, or send 0 for every call; then the
call's id tells, and without one the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson


class ToolCallIndex:
    """Numbers the tool calls of one answer, from 0 in the order in which they begin."""

    def __init__(self) -> None:
        """No call has begun."""
        self._ids: list[str | None] = []
        self._by_index: dict[int, int] = {}

    def place(self, call: Mapping[str, Any]) -> int:
        """The number of the call that a part of it belongs to."""
        given: object = call.get("index")
        index = given if isinstance(given, int) and not isinstance(given, bool) else None
        call_id = str(call.get("id") or "") or None
        known = self._known(index, call_id, call)
        if known is None:
            known = len(self._ids)
            self._ids.append(call_id)
        elif self._ids[known] is None:
            self._ids[known] = call_id
        if index is not None:
            self._by_index[index] = known
        return known

    def _known(self, index: int | None, call_id: str | None, call: Mapping[str, Any]) -> int | None:
        """The number of the call, where it has begun."""
        if call_id is not None and call_id in self._ids:
            return self._ids.index(call_id)
        if index is not None:
            same = self._by_index.get(index)
            return same if same is None or call_id is None or self._ids[same] is None else None
        function: object = call.get("function")
        begins = call_id is not None or bool(
            isinstance(function, dict) and cast("Mapping[str, Any]", function).get("name")
        )
        return len(self._ids) - 1 if self._ids and not begins else None


def arguments_text(given: object) -> str:
    """The arguments of a call as JSON; some endpoints send an object in place of its text."""
    if given is None or isinstance(given, str):
        return given or ""
    return orjson.dumps(given).decode()
