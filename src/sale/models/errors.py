"""The one map from foreign errors to ours. Whoever calls a model through Pydantic AI does it inside `map_errors`.

Messages are made here too, from what the endpoint says: one line, short, and without the keys the caller names, which
some endpoints repeat in their complaints.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import httpx2
import openai
from pydantic import ValidationError
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

_SLOW = "Raise the time limit, or take a faster model."
_ABSENT = "Is the endpoint running, and its URL right? `sale doctor` checks."
_FAILED = "The endpoint's own log knows more."
_ODD = "The endpoint does not answer as the OpenAI protocol says."

# First match wins, so a class stands before its base.
MAP: tuple[tuple[type[Exception], type[CallError], str], ...] = (
    (theirs.ModelRateLimitError, RateLimitedError, "Wait, or lower the load on the endpoint."),
    (theirs.ModelQuotaExceededError, RateLimitedError, "The account's quota is used up: top it up, or use another."),
    (theirs.ConcurrencyLimitExceeded, RateLimitedError, "Lower the number of calls at a time."),
    (theirs.ModelTimeoutError, CallTimeoutError, _SLOW),
    (theirs.ModelRequestTimeout, CallTimeoutError, _SLOW),
    (theirs.RunTimedOut, CallTimeoutError, _SLOW),
    (theirs.RunCancelled, CallError, "Somebody stopped the run: start it again."),
    (theirs.ModelConnectionError, UnreachableError, _ABSENT),
    (theirs.ModelUnavailableError, ServerError, _FAILED),
    (theirs.ModelServerError, ServerError, _FAILED),
    (theirs.ModelAuthenticationError, RejectedError, "Check the key that api_key_env names, and what it may use."),
    (theirs.ModelNotFoundError, RejectedError, "Check the model's name, and the URL: it usually ends in /v1."),
    (theirs.ModelContextWindowExceededError, RejectedError, "Shorten the task, or take a model that can read more."),
    (
        theirs.ModelRequestRejectedError,
        RejectedError,
        "If it refuses log-probabilities or the schema, set logprobs = 0 or json_schema = false for this agent.",
    ),
    (theirs.ModelHTTPError, RejectedError, "The endpoint's documentation knows what this status means."),
    # Without a status: the answer could not be decoded.
    (theirs.ModelAPIError, BadReplyError, _ODD),
    (theirs.ContentFilterError, RejectedError, "The endpoint's content filter refused: change the task."),
    (theirs.OutputTokenLimitExceeded, BadReplyError, "Raise answer_tokens for this agent."),
    (theirs.UnexpectedModelBehavior, BadReplyError, _ODD),
    (theirs.SuspendedResponseExpired, BadReplyError, _ODD),
    (theirs.UsageLimitExceeded, RejectedError, "Raise turns for this agent."),
    (theirs.AgentRunError, BadReplyError, _ODD),
    (theirs.UserError, RejectedError, "Check this agent's settings."),
    # What the client below Pydantic AI lets through.
    (httpx2.TimeoutException, CallTimeoutError, _SLOW),
    (httpx2.InvalidURL, RejectedError, "Correct the endpoint's URL in sale.toml."),
    (httpx2.HTTPError, UnreachableError, _ABSENT),
    (openai.APITimeoutError, CallTimeoutError, _SLOW),
    (openai.APIConnectionError, UnreachableError, _ABSENT),
    (openai.RateLimitError, RateLimitedError, "Wait, or lower the load on the endpoint."),
    (openai.InternalServerError, ServerError, _FAILED),
    (openai.OpenAIError, RejectedError, "Check this agent's settings."),
)

# What reading a hostile answer makes the libraries raise: missing keys, wrong types, endless nesting or digits.
UNREADABLE = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError, RecursionError)
FOREIGN = (theirs.AgentRunError, theirs.UserError, httpx2.HTTPError, httpx2.InvalidURL, openai.OpenAIError)

# A proxy, or the endpoint itself, gave up waiting for work that may still be done.
GIVEN_UP = frozenset({408, 504, 524})
# Nothing of the request had been sent when these were raised.
UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
# The same in other clients, which need not be installed.
_UNSENT_ELSEWHERE = frozenset(
    {
        ("httpx", "ConnectError"),
        ("httpx", "ConnectTimeout"),
        ("botocore", "EndpointConnectionError"),
        ("botocore", "ConnectTimeoutError"),
        ("requests", "ConnectTimeout"),
        ("aiohttp", "ClientConnectorError"),
    }
)

# What the wrong address, or the right one with the wrong key, comes to.
_OF_ADDRESS = (
    theirs.ModelAuthenticationError,
    theirs.ModelConnectionError,
    httpx2.HTTPError,
    openai.APIConnectionError,
)
_NOT_JSON = "expected JSON data"
"""As Pydantic AI says of an answer in another format."""
MESSAGE_LENGTH = 300
FAULTS_SHOWN = 3
HIDDEN = "‹hidden›"


def to_call_error(error: Exception, where: str, hide: Sequence[str] = (), url: str = "") -> CallError:
    """Our error for one of theirs.

    Args:
        error: What was raised.
        where: Names the agent.
        hide: Keys that must not be in the message, whoever put them there.
        url: The address of the endpoint, which the message names where it may be the wrong one.
    """
    kind, hint = next(
        ((ours, hint) for foreign, ours, hint in MAP if isinstance(error, foreign)), (BadReplyError, _ODD)
    )
    if isinstance(error, theirs.ModelHTTPError | openai.APIStatusError) and error.status_code in GIVEN_UP:
        kind, hint = CallTimeoutError, _SLOW
    elif type(error) is theirs.ModelHTTPError and error.status_code >= 500:  # a status that is in no category there
        kind, hint = ServerError, _FAILED
    text = " ".join(redact(_message(error), hide).split())
    short = text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 1] + "…"
    if url:
        short = _with_address(error, short, redact(url, hide))
    ours = kind(short, where=where, hint=hint)
    ours.unsent = _is_unsent(error)
    return ours


def _with_address(error: Exception, message: str, url: str) -> str:
    """The message with the endpoint's address, where that may be the wrong one."""
    advice = "" if url.endswith("/v1") else "; the URL usually ends in /v1"
    if isinstance(error, theirs.UnexpectedModelBehavior) and _NOT_JSON in str(error):
        return f"{url} sent a text, most likely a web page, in place of JSON{advice}"
    if isinstance(error, theirs.ModelNotFoundError):
        return f"{message} (asked: {url}{advice})"
    return f"{message} (asked: {url})" if isinstance(error, _OF_ADDRESS) else message


def redact(text: str, hide: Sequence[str]) -> str:
    """The text without the keys."""
    for secret in hide:
        text = text.replace(secret, HIDDEN) if secret else text
    return text


@contextmanager
def map_errors(where: str, hide: Sequence[str] = (), *, reading: bool = False, url: str = "") -> Generator[None]:
    """Raise our errors in place of theirs.

    Args:
        where: Names the agent.
        hide: As for `to_call_error`.
        reading: Whether nothing but a foreign library's request and reading of the answer happens inside, so that
            even a `KeyError` can only mean an answer that cannot be read.
        url: As for `to_call_error`.

    Raises:
        CallError: In place of theirs. The cause is kept for debugging, unless it repeats a key.
    """
    foreign = FOREIGN + UNREADABLE if reading else FOREIGN
    try:
        yield
    except foreign as error:
        repeats_key = any(secret in _chain(error) for secret in hide if secret)
        raise to_call_error(error, where, hide, url) from (None if repeats_key else error)


def _is_unsent(error: Exception) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        kinds = {(one.__module__.partition(".")[0], one.__name__) for one in type(cause).__mro__}
        if isinstance(cause, UNSENT) or not kinds.isdisjoint(_UNSENT_ELSEWHERE):
            return True
        cause = cause.__cause__
    return False


def _message(error: Exception) -> str:
    """Return the error's message, shortened to a sentence."""
    if isinstance(error, theirs.ModelHTTPError):
        return f"HTTP {error.status_code} for model {error.model_name!r}: {_said(error.body)}"
    if isinstance(error, theirs.ModelConnectionError):
        return f"{error.message.rstrip('.')} ({_root(error)})"
    if isinstance(error.__cause__, ValidationError):
        faults = error.__cause__.errors(include_url=False, include_input=False)
        shown = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults[:FAULTS_SHOWN])
        return f"the answer is no chat completion ({shown})"
    if isinstance(error, theirs.AgentRunError | theirs.UserError | httpx2.InvalidURL | openai.OpenAIError):
        return str(error)
    return f"the answer cannot be read ({type(error).__name__}: {error})"


def _said(body: object) -> str:
    """The endpoint's own words: `message`, or `error`, or the whole body."""
    if not isinstance(body, Mapping):
        return str(body or "no reason given")
    values = cast("Mapping[str, object]", body)
    said = values.get("message") or values.get("error") or values
    code = values.get("code")
    return f"{said} ({code})" if isinstance(code, str) and code else str(said)


def _root(error: BaseException) -> str:
    """The first cause of a failed connection: `ConnectError: All connection attempts failed`."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _chain(error: BaseException) -> str:
    """Everything a traceback of the error could show of its messages."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in seen:
            seen.append(one)
            waiting += [one.__cause__, one.__context__]
    return "\n".join(f"{one} {one!r}" for one in seen)
