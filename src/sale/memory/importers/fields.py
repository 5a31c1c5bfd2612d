"""Fields of a foreign object, each of the type that is expected of it, or an error that names it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

from sale.memory.importers.past_work import MAX_ID, RowError, clean, shorten
from sale.memory.importers.strict_json import parse

N = TypeVar("N", int, float)
Object = Mapping[str, Any]
_EMPTY: Final[Object] = MappingProxyType({})
_MILLISECONDS: Final = 1e11
"""A number of seconds beyond this (the year 5138) is taken for milliseconds."""


def text(of: Object, *keys: str) -> str:
    """The first of some fields that is there, as text; empty where none is. Numbers are written out.

    Raises:
        RowError: It is an object or a list.
    """
    for key in keys:
        value = of.get(key)
        if isinstance(value, str):
            if value.strip():
                return clean(value)
        elif isinstance(value, bool | int | float):
            return shorten(value).strip("'") if isinstance(value, int) and abs(value) > 10**18 else str(value)
        elif value is not None:
            raise RowError(f"{key}: text was expected, not {type(value).__name__}")
    return ""


def name(of: Object, *keys: str) -> str:
    """As `text`, for what names something.

    Raises:
        RowError: It is longer than a name.
    """
    found = text(of, *keys)
    if len(found) > MAX_ID:
        raise RowError(f"{keys[0]}: {shorten(found)} is too long for a name")
    return found


def number(of: Object, *keys: str) -> float | None:
    """The first of some fields that is there, as a finite number; `None` where none is.

    Raises:
        RowError: It is not a finite number.
    """
    for key in keys:
        value = of.get(key)
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise RowError(f"{key}: a number was expected, not {type(value).__name__}")
        try:
            found = float(value)
        except (ValueError, OverflowError):
            raise RowError(f"{key}: {shorten(value)} is no number") from None
        if not math.isfinite(found):
            raise RowError(f"{key}: {shorten(value)} is not a finite number")
        return found
    return None


def whole_number(of: Object, *keys: str) -> int | None:
    """As `number`, for counts.

    Raises:
        RowError: It is not a whole number.
    """
    found = number(of, *keys)
    if found is not None and not found.is_integer():
        raise RowError(f"{keys[0]}: {shorten(found)} is no whole number")
    return None if found is None else int(found)


def total(values: Iterable[N | None]) -> N | None:
    """The sum of those numbers that are there; `None` where none is."""
    known = [one for one in values if one is not None]
    return sum(known[1:], known[0]) if known else None


def time(of: Object, *keys: str) -> datetime | None:
    """The first of some fields that is there, as a time: ISO 8601, or seconds or milliseconds since 1970.

    A time without a zone is taken for UTC, which is what programs write that leave it out.

    Raises:
        RowError: It is not a time.
    """
    for key in keys:
        value = of.get(key)
        if value is None or value == "":
            continue
        try:
            if isinstance(value, str):
                found = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
                return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS else value, UTC)
        except (ValueError, OverflowError, OSError):
            pass
        raise RowError(f"{key}: {shorten(value)} is no time")
    return None


def seconds_between(start: datetime | None, end: datetime | None) -> float:
    """Seconds from one time to another; 0 where one is not known or they are in the wrong order."""
    return max(0.0, (end - start).total_seconds()) if start and end else 0.0


def inner(of: Object, key: str) -> Object:
    """An object in a field; empty where there is none. An object written as text (a JSON column) is read.

    Raises:
        RowError: It is something else.
    """
    value = of.get(key)
    if value is None or value == "":
        return _EMPTY
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = parse(value)
    if not isinstance(value, Mapping):
        raise RowError(f"{key}: an object was expected, not {type(value).__name__}")
    return cast("Object", value)


def items(of: Object, key: str) -> Sequence[Object]:
    """A list of objects in a field; empty where there is none. Items that are not objects are left out.

    Raises:
        RowError: It is not a list.
    """
    value = of.get(key)
    if value is None or value == "":
        return ()
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = parse(value)
    if not isinstance(value, list):
        raise RowError(f"{key}: a list was expected, not {type(value).__name__}")
    return [cast("Object", one) for one in cast("list[Any]", value) if isinstance(one, Mapping)]


def describe_value(value: object) -> str:
    """Return the text of a message, or of a conversation in any of the shapes that logs use: its last user message.

    A string is itself, unless it is JSON of such a shape. Of messages the last of a user counts, or the last one. Of
    another object a field that is usually the text counts, else all of it as JSON.
    """
    return clean(_said(value, 0))


_TEXT_KEYS: Final = ("content", "text", "input", "question", "prompt", "query", "task", "output", "answer", "result")
_MAX_DEPTH: Final = 12


def _said(value: object, depth: int) -> str:
    if depth > _MAX_DEPTH or value is None:
        return ""
    if isinstance(value, str):
        if depth == 0 and value.lstrip().startswith(("[", "{")):
            try:
                return _said(parse(value), 1)
            except RowError:
                return value
        return value
    if isinstance(value, list):
        return _last(cast("list[object]", value), depth)
    if isinstance(value, Mapping):
        return _field(cast("Object", value), depth)
    return str(value) if isinstance(value, bool | float) or abs(cast("int", value)) < 10**18 else ""


def _last(values: list[object], depth: int) -> str:
    messages = [cast("Object", one) for one in values if isinstance(one, Mapping)]
    users = [one for one in messages if _role(one) in {"user", "human"}]
    if chosen := users or [one for one in messages if _role(one)]:
        return _said(chosen[-1], depth + 1)
    return "\n".join(part for one in values if (part := _said(one, depth + 1)))


def _role(message: Object) -> str:
    role = message.get("role") or message.get("type")
    return role if isinstance(role, str) and ("content" in message or "parts" in message) else ""


def _field(value: Object, depth: int) -> str:
    for key in ("messages", "parts", "choices", "message", "kwargs", *_TEXT_KEYS):
        if value.get(key) not in (None, "", [], {}):
            return _said(value[key], depth + 1)
    if "type" in value or "role" in value or not value:
        return ""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
