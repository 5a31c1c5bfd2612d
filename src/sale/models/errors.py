"""The one map from Pydantic AI's errors to ours. Whoever calls a model through Pydantic AI does it inside `mapped`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from pydantic_ai import exceptions as theirs

from sale.errors import (
    BadReplyError,
    CallError,
    CallTimeoutError,
    RateLimitedError,
    RejectedError,
    ServerError,
    UnreachableError,
)

# First match wins, so a class stands before its base.
MAP: tuple[tuple[type[Exception], type[CallError]], ...] = (
    (theirs.ModelRateLimitError, RateLimitedError),
    (theirs.ModelQuotaExceededError, RateLimitedError),
    (theirs.ModelTimeoutError, CallTimeoutError),
    (theirs.ModelRequestTimeout, CallTimeoutError),
    (theirs.ModelConnectionError, UnreachableError),
    (theirs.ModelUnavailableError, ServerError),
    (theirs.ModelServerError, ServerError),
    (theirs.ModelRequestRejectedError, RejectedError),
    (theirs.ModelAPIError, ServerError),
    (theirs.UnexpectedModelBehavior, BadReplyError),
)

HINTS: dict[type[CallError], str] = {
    RateLimitedError: "Wait, lower the load, or check the account's quota.",
    CallTimeoutError: "Raise the time limit, or take a faster model.",
    UnreachableError: "Is the endpoint running, and its URL right? `sale doctor` checks.",
    ServerError: "The endpoint's own log knows more.",
    RejectedError: "Check the key, the model's name, and the length of the prompt.",
    BadReplyError: "The endpoint does not answer as the OpenAI protocol says.",
}

MESSAGE_LENGTH = 300


def to_call_error(error: Exception, where: str) -> CallError:
    """Our error for one of theirs; `where` names the agent."""
    kind = next((ours for foreign, ours in MAP if isinstance(error, foreign)), BadReplyError)
    if isinstance(error, theirs.ModelHTTPError) and kind is ServerError and error.status_code < 500:
        kind = RejectedError
    text = " ".join(str(error).split())
    return kind(text[:MESSAGE_LENGTH], where=where, hint=HINTS[kind])


@contextmanager
def mapped(where: str) -> Generator[None]:
    """Raise our errors in place of Pydantic AI's."""
    try:
        yield
    except (theirs.AgentRunError, theirs.UserError) as error:
        raise to_call_error(error, where) from error
