"""The limit of a request's messages, parts, tools and fields: each takes time, however small it is."""

from __future__ import annotations

from typing import Any, Final, cast

from sale.server.gateway.errors import ApiError

Json = dict[str, Any]

MAX_PIECES: Final = 20_000
"""Messages, items, parts of their content, calls, tools and fields of one request together."""
LISTED: Final = (
    *("messages", "system", "tools", "functions", "stop", "stop_sequences", "include"),
    *("content", "source", "output", "tool_calls", "summary"),
)
"""Fields of a request, and of its pieces, that hold pieces."""


def check_pieces(body: Json, param: str | None = None) -> None:
    """See that a request has not too many pieces.

    Args:
        body: In any of the protocols.
        param: The field that makes them many, for the error.

    Raises:
        ApiError: It has.
    """
    given: object = body.get("input")  # may be a million tokens to be embedded, or a call's: these are not pieces
    items = cast("list[object]", given) if isinstance(given, list) else []
    level: list[Json] = [cast("Json", one) for one in items if isinstance(one, dict)]
    count = len(level) + len(body)
    level.append(body)
    while level and count <= MAX_PIECES:
        below: list[Json] = []
        for piece in level:
            for name in LISTED:
                value: object = piece.get(name)
                if isinstance(value, list):
                    found = cast("list[object]", value)
                    count += len(found)
                    if count > MAX_PIECES:
                        break
                    below += [cast("Json", one) for one in found if isinstance(one, dict)]
                elif isinstance(value, dict):
                    count += 1
                    below.append(cast("Json", value))
        level = below
    if count > MAX_PIECES:
        what = "with what it goes on with, the request" if param else "the request"
        raise ApiError(
            f"{what} has more than {MAX_PIECES:,} messages, parts, tools and fields",
            status=413,
            name="request_too_large",
            param=param,
        )
