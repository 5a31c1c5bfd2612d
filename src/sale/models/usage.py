"""Token counts of endpoints that report them in different ways.

Most count thoughts among `completion_tokens`; some count them beside (Gemini's and xAI's do), and only `total_tokens`,
or the details, show that there were more. They are billed all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

Fields = Mapping[str, object]


def tokens_beside(fields: Fields, read: int, written: int) -> tuple[int, int]:
    """Tokens that were taken beside `prompt_tokens` and `completion_tokens`: those read, and those written.

    Args:
        fields: The `usage` of an answer, as reported.
        read: Its `prompt_tokens`.
        written: Its `completion_tokens`.
    """
    details: object = fields.get("completion_tokens_details")
    said = cast("Fields", details).get("reasoning_tokens") if isinstance(details, Mapping) else None
    thoughts = _count(said)
    total = _count(fields.get("total_tokens"))
    if total is None:
        # Thoughts that are part of the answer cannot be more than it.
        return 0, thoughts if thoughts is not None and thoughts > written else 0
    beside = max(0, total - read - written)
    if not beside or thoughts is None or not 0 < thoughts <= beside:
        return 0, beside
    return beside - thoughts, thoughts


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**40 else None
