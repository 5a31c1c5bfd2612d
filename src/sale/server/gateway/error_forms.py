"""Errors in Anthropic's form: `{"type": "error", "error": {type, message}, "request_id"}`."""

from __future__ import annotations

from typing import Any, Final

import orjson

from sale.server.gateway.errors import ApiError
from sale.server.store.types import new_id

PREFIX: Final = "/v1/messages"
"""Addresses whose errors have this form."""
TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
Headers = list[tuple[bytes, bytes]]


def new_request_id() -> str:
    """An id that tells one request from all others."""
    return f"req_{new_id()}"


def message_error(error: ApiError, request_id: str) -> dict[str, Any]:
    """An error as the Messages API says it."""
    kind = TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
    where = f"{error.param}: " if error.param and error.param not in error.message else ""
    told = {"type": kind, "message": where + error.message}
    return {"type": "error", "error": told, "request_id": request_id}


def error_response(path: str, error: ApiError) -> tuple[bytes, Headers]:
    """The body and the headers of an error, in the form of the protocol that a path belongs to."""
    if path != PREFIX and not path.startswith(f"{PREFIX}/"):
        return error.document(), error.headers
    request_id = new_request_id()
    headers = [*error.headers, (b"request-id", request_id.encode())]
    if error.name and error.name.isascii() and error.name.isprintable():
        headers.append((b"x-sale-error", error.name.encode()))
    if error.kind == "insufficient_quota":  # waiting does not help, whatever the status says
        headers.append((b"x-should-retry", b"false"))
    return orjson.dumps(message_error(error, request_id)), headers
