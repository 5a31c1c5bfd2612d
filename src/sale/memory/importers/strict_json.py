"""JSON from elsewhere: no NaN, no infinity, no number of thousands of digits, no nesting that exhausts a stack."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from sale.memory.importers.past_work import RowError

MAX_DEPTH: Final = 200


def parse(text: str) -> Any:  # noqa: ANN401  any JSON value
    """Strict JSON.

    Raises:
        RowError: It is none, or goes beyond a limit.
    """
    if _deeper(text):
        raise RowError(f"no JSON that is believed: nested deeper than {MAX_DEPTH}")
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise RowError(f"no JSON: {error.msg} at character {error.pos + 1}") from None
    except (ValueError, RecursionError) as error:
        raise RowError(f"no JSON that is believed: {error}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _deeper(text: str) -> bool:
    """Return True where brackets outside of strings nest too deep. Cheap: a text with few brackets is not looked at."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        depth += _STEP.get(found[0], 0)
        if depth > MAX_DEPTH:
            return True
    return False


# A string that is not closed reaches to the end; else each quote within it would look through the rest.
_STRING_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_STEP: Final = {"[": 1, "{": 1, "]": -1, "}": -1}
