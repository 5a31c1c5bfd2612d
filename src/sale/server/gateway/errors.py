"""Errors as clients of the OpenAI protocol expect them: a status, and `{"error": {message, type, param, code}}`.

What a client is told holds no traceback, no key and no address of an upstream.
"""

from __future__ import annotations

import orjson

from sale.errors import (
    AccessError,
    AuthenticationError,
    BudgetError,
    CapError,
    InputError,
    RateLimitError,
    RequirementError,
    SaleError,
    StoreError,
)

INVALID = "invalid_request_error"
FAILED = "api_error"
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
CLIENT_LEFT = 499
"""A status that only the ledger sees: the client went away before its answer was whole."""


class ApiError(SaleError):
    """An error as the client is told.

    Attributes:
        status: Of the response.
        name: The `code` of the error object.
        param: Which part of the request is wrong.
        kind: The `type` of the error object.
        retry_after: Seconds after which a new try makes sense.
        elsewhere: Whether another agent may succeed with the same request.
        spent: Whether the endpoint may have worked, and charge for it.
        refused: Whether the endpoint refuses just this request, which another one may take.
    """

    code = "gateway"

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        name: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        elsewhere: bool = False,
        spent: bool = False,
        refused: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.name = name
        self.param = param
        self.kind = TYPES.get(status, INVALID if status < 500 else FAILED)
        self.retry_after = retry_after
        self.elsewhere = elsewhere
        self.spent = spent
        self.refused = refused

    def __reduce__(self) -> tuple[object, ...]:
        """As every error, with its fields."""
        return (_rebuilt, (self.message, self.__dict__.copy()))

    @property
    def value(self) -> dict[str, object]:
        """The error object."""
        return {"message": self.message, "type": self.kind, "param": self.param, "code": self.name}

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """`Retry-After`, where waiting helps; whole seconds, as the header has them."""
        if self.retry_after is None:
            return []
        return [(b"retry-after", str(max(1, round(self.retry_after + 0.499))).encode())]

    def document(self) -> bytes:
        """The whole JSON document."""
        return orjson.dumps({"error": self.value})


def _rebuilt(message: str, fields: dict[str, object]) -> ApiError:
    error = ApiError(message)
    error.__dict__.update(fields)
    return error


def as_api_error(error: SaleError) -> ApiError:
    """Any error of ours as the client is told. Reasons that may name an upstream stay on the record."""
    match error:
        case ApiError():
            return error
        case AuthenticationError():
            return ApiError(str(error), status=401, name="invalid_api_key")
        case BudgetError():
            quota = ApiError(str(error), status=429, name="insufficient_quota", retry_after=error.retry_after)
            quota.kind = "insufficient_quota"
            return quota
        case RateLimitError():
            return ApiError(str(error), status=429, name="rate_limit_exceeded", retry_after=error.retry_after)
        case AccessError():
            return ApiError(str(error), status=403, name=error.code)
        case CapError():
            return ApiError(
                "an auction of this request could exceed the market's caps", status=400, name="auction_cap_exceeded"
            )
        case InputError():
            unmet = isinstance(error, RequirementError)
            return ApiError(str(error), status=400, name="requirement_unmet" if unmet else error.code)
        case StoreError():
            return ApiError("the server's records cannot be written", status=503, name="store_unavailable")
        case _:
            return ApiError("the market could not hold the auction", status=502, name=error.code)


def stopping_error() -> ApiError:
    """The server stops, and the time for requests under way is up."""
    return ApiError("the server stops; ask again", status=503, name="server_stopped", retry_after=1.0)


def internal_error() -> ApiError:
    """A mistake of the server itself."""
    return ApiError("the server made a mistake; its log says more", status=500, name="internal_error")


def no_route_error(path: str) -> ApiError:
    """No such address."""
    return ApiError(f"there is nothing at {path}", status=404, name="unknown_url")


def unknown_model(model: str, there_are: list[str]) -> ApiError:
    """No such model, and which there are."""
    shown = model if len(model) <= 100 else f"{model[:100]}…"
    return ApiError(
        f"the model {shown!r} does not exist; there are: {', '.join(there_are)}",
        status=404,
        name="model_not_found",
        param="model",
    )
