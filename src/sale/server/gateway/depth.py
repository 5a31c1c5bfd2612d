"""The limit of JSON's depth: its parser reads more levels than its writer writes, and recursion has a limit too."""

from __future__ import annotations

from itertools import chain
from typing import Any, Final, cast

DEEPEST: Final = 200
"""Levels of lists and objects. `orjson` writes 254, and the gateway puts a few around what it was sent."""


def is_deep(raw: bytes, value: object) -> bool:
    """Return whether a value has more levels than are served.

    Args:
        raw: The value as it came. Where it has few brackets it cannot be deep, and the value is not looked at.
        value: The same, read.
    """
    if len(raw) <= DEEPEST or raw.count(b"[") + raw.count(b"{") <= DEEPEST:
        return False
    level = _containers([value])
    for _ in range(DEEPEST):
        if not level:
            return False
        level = _containers(chain.from_iterable(one.values() if isinstance(one, dict) else one for one in level))
    return bool(level)


def _containers(values: Any) -> list[dict[str, Any] | list[Any]]:  # noqa: ANN401  as JSON is
    return [cast("dict[str, Any] | list[Any]", one) for one in values if isinstance(one, dict | list)]
