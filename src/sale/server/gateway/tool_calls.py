"""Tool calls of one answer, put together from the parts of a stream.

The protocol numbers calls by `index`. Some endpoints leave it out, send `null`, or send 0 for every call. Then the
call's id tells which call a part is of; without one, its name and whether the call before is whole; and without any of
these, the order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

Json = dict[str, Any]


@dataclass(slots=True)
class _PartialCall:
    id: str | None
    name: str = ""
    arguments: str = ""

    @property
    def is_whole(self) -> bool:
        try:
            return isinstance(orjson.loads(self.arguments), dict)
        except orjson.JSONDecodeError:
            return False


class ToolCallIndex:
    """Numbers the tool calls of one answer, from 0 in the order in which they begin."""

    def __init__(self) -> None:
        """No call has begun."""
        self._calls: list[_PartialCall] = []
        self._by_index: dict[int, int] = {}

    @property
    def value(self) -> list[Json]:
        """The calls so far, as a message holds them, without their ids."""
        named = [{"name": one.name, "arguments": one.arguments} for one in self._calls]
        return [{"type": "function", "function": function} for function in named]

    def add(self, parts: Sequence[object], *, whole: bool = False) -> list[int]:
        """Take the `tool_calls` of a delta, and return the numbers of the calls that its parts belong to.

        Args:
            parts: As they came; what is not an object is left out.
            whole: Whether they are of a message, where each is a call of its own.
        """
        found = [cast("Json", part) for part in parts if isinstance(part, dict)]
        return [self._add(part, len(found) - place, whole=whole) for place, part in enumerate(found)]

    def _add(self, part: Mapping[str, Any], left: int, *, whole: bool) -> int:
        given: object = part.get("index")
        index = given if isinstance(given, int) and not isinstance(given, bool) else None
        call_id = str(part.get("id") or "") or None
        function: object = part.get("function")
        fields = cast("Json", function) if isinstance(function, dict) else Json()
        name, arguments = str(fields.get("name") or ""), arguments_text(fields.get("arguments"))
        known = None if whole else self._known(index, call_id, name, arguments, left)
        if known is None:
            known = len(self._calls)
            self._calls.append(_PartialCall(id=call_id))
        call = self._calls[known]
        call.id, call.name, call.arguments = call.id or call_id, call.name or name, call.arguments + arguments
        if index is not None:
            self._by_index[index] = known
        return known

    def _known(self, index: int | None, call_id: str | None, name: str, arguments: str, left: int) -> int | None:
        """The number of the call, where it has begun.

        Args:
            index: As the endpoint numbers it.
            call_id: Its id.
            name: Of the function.
            arguments: Those of this part.
            left: Number of parts of this delta from this one on.
        """
        same_id = next((place for place, one in enumerate(self._calls) if call_id and one.id == call_id), None)
        if same_id is not None:
            return same_id
        if index is None:
            last = len(self._calls) - left  # parts that nothing tells apart are of the latest calls, in order
            return max(last, 0) if self._calls and not call_id and not name else None
        same = self._by_index.get(index)
        if same is None:
            return None
        call = self._calls[same]
        if call_id is not None:
            return same if call.id is None else None
        another = bool(name and call.name) and (name != call.name or bool(arguments and call.is_whole))
        return None if another else same


def arguments_text(given: object) -> str:
    """The arguments of a call as JSON; some endpoints send an object in place of its text."""
    if given is None or isinstance(given, str):
        return given or ""
    return orjson.dumps(given).decode()
