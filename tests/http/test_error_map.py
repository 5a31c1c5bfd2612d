"""The one map of foreign errors is complete, and nothing that should pass through it is caught."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import ssl

import httpx2
import openai
import pytest
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
from sale.models.errors import FOREIGN, MAP, map_errors, redact, to_call_error

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions")


def public_run_errors() -> list[type[theirs.AgentRunError]]:
    found = [getattr(theirs, name) for name in theirs.__all__]
    return [one for one in found if inspect.isclass(one) and issubclass(one, theirs.AgentRunError)]


def made(kind: type[Exception]) -> Exception:
    if kind is theirs.ModelHTTPError:
        return theirs.ModelHTTPError(418, "m")
    if kind is theirs.ModelRequestTimeout:
        return theirs.ModelRequestTimeout("m", 1.0)
    return kind("m", "it broke") if issubclass(kind, theirs.ModelAPIError) else kind("it broke")


def test_there_is_something_to_map() -> None:
    assert len(public_run_errors()) >= 20


@pytest.mark.parametrize("kind", public_run_errors())
def test_every_run_error_has_a_row_that_is_reached(kind: type[theirs.AgentRunError]) -> None:
    found = to_call_error(made(kind), "alice")
    assert isinstance(found, CallError)
    assert found.where == "alice"
    assert found.hint
    assert found.message
    first = next(foreign for foreign, _, _ in MAP if issubclass(kind, foreign))
    assert first is not theirs.AgentRunError or kind is first, f"{kind.__name__} only has the catch-all's row"


def test_no_row_is_hidden_by_one_before_it() -> None:
    for position, (foreign, _, _) in enumerate(MAP):
        before = [row[0] for row in MAP[:position]]
        assert not any(issubclass(foreign, earlier) for earlier in before), foreign


def test_every_row_is_caught() -> None:
    assert all(issubclass(foreign, FOREIGN) for foreign, _, _ in MAP)


CASES: list[tuple[Exception, type[CallError]]] = [
    (theirs.ModelRateLimitError("m", "x"), RateLimitedError),
    (theirs.ModelQuotaExceededError("m", "x"), RateLimitedError),
    (theirs.ModelTimeoutError("m", "x"), CallTimeoutError),
    (theirs.ModelRequestTimeout("m", 1.0), CallTimeoutError),
    (theirs.ModelConnectionError("m", "x"), UnreachableError),
    (theirs.ModelOverloadedError("m", "x"), ServerError),
    (theirs.ModelServerError("m", "x"), ServerError),
    (theirs.ModelAuthenticationError("m", "x"), RejectedError),
    (theirs.ModelContextWindowExceededError("m", "x"), RejectedError),
    (theirs.ContentFilterError("x"), RejectedError),
    (theirs.UserError("x"), RejectedError),
    (theirs.ModelAPIError("m", "Failed to decode response as JSON"), BadReplyError),
    (theirs.UnexpectedModelBehavior("x"), BadReplyError),
    (theirs.ModelHTTPError(418, "m"), RejectedError),
    (theirs.ModelHTTPError(408, "m"), CallTimeoutError),
    (theirs.ModelHTTPError(524, "m"), CallTimeoutError),
    (theirs.ModelHTTPError(599, "m"), ServerError),
    (theirs.ModelHTTPError.for_category(theirs.ModelServerError, status_code=504, model_name="m"), CallTimeoutError),
    (theirs.ModelHTTPError.for_category(theirs.ModelServerError, status_code=502, model_name="m"), ServerError),
    (theirs.ModelHTTPError.for_category(theirs.ModelNotFoundError, status_code=404, model_name="m"), RejectedError),
    (httpx2.ReadTimeout("x"), CallTimeoutError),
    (httpx2.ConnectError("x"), UnreachableError),
    (httpx2.TooManyRedirects("x"), UnreachableError),
    (httpx2.InvalidURL("x"), RejectedError),
    (openai.APITimeoutError(REQUEST), CallTimeoutError),
    (openai.APIConnectionError(request=REQUEST), UnreachableError),
    (openai.OpenAIError("x"), RejectedError),
]


@pytest.mark.parametrize(("error", "kind"), CASES, ids=lambda value: getattr(value, "__name__", type(value).__name__))
def test_the_class_says_what_to_do_next(error: Exception, kind: type[CallError]) -> None:
    with pytest.raises(CallError) as raised, map_errors("alice"):
        raise error
    assert type(raised.value) is kind
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    ("error", "resendable"),
    [
        (theirs.ModelRateLimitError("m", "x"), True),
        (theirs.ModelServerError("m", "x"), True),
        (httpx2.ConnectError("x"), True),
        (httpx2.ConnectTimeout("x"), True),
        (httpx2.ReadTimeout("x"), False),
        (httpx2.RemoteProtocolError("x"), False),
        (theirs.ModelHTTPError(408, "m"), False),
        (theirs.ModelHTTPError(504, "m"), False),
        (theirs.ModelHTTPError(524, "m"), False),
        (theirs.UserError("x"), False),
    ],
    ids=lambda value: str(value),
)
def test_a_request_that_may_be_under_way_is_told_from_others(error: Exception, *, resendable: bool) -> None:
    # A cause that repeats a key is left out; whether the request was sent is known all the same.
    with pytest.raises(CallError) as raised, map_errors("alice", hide=("x",)):
        raise error
    assert raised.value.resendable is resendable
    assert pickle.loads(pickle.dumps(raised.value)).resendable is resendable


@pytest.mark.parametrize(
    ("module", "name", "unsent"),
    [
        ("httpx", "ConnectError", True),
        ("botocore.exceptions", "EndpointConnectionError", True),
        ("botocore.exceptions", "ReadTimeoutError", False),
        ("connectrpc.errors", "ConnectError", False),
    ],
)
def test_other_clients_say_by_their_class_that_nothing_was_sent(module: str, name: str, *, unsent: bool) -> None:
    assert to_call_error(type(name, (Exception,), {"__module__": module})("x"), "alice").unsent is unsent


UNREADABLE = [KeyError("choices"), IndexError(), AttributeError("x"), TypeError("x"), RecursionError(), OverflowError()]


@pytest.mark.parametrize("error", UNREADABLE, ids=lambda error: type(error).__name__)
def test_what_reading_raises_is_a_bad_reply_while_reading_and_a_bug_elsewhere(error: Exception) -> None:
    with pytest.raises(BadReplyError, match=type(error).__name__), map_errors("alice", reading=True):
        raise error
    with pytest.raises(type(error)), map_errors("alice"):
        raise error


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), KeyboardInterrupt(), TimeoutError(), BadReplyError("ours"), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not_the_endpoints_fault_passes_through(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, map_errors("alice", reading=True):
        raise error
    assert raised.value is error


def test_a_long_or_many_lined_message_becomes_one_short_line() -> None:
    error = to_call_error(theirs.UnexpectedModelBehavior("no\n\n  good " * 100), "alice")
    assert "\n" not in error.message
    assert len(error.message) == 300
    assert error.message.endswith("…")


def test_a_key_is_hidden_before_the_message_is_cut() -> None:
    key = "sk-" + "k" * 60
    error = to_call_error(theirs.UnexpectedModelBehavior("x" * 270 + key), "alice", [key])
    assert "kkk" not in error.message
    assert redact(f"a {key} b", [key, ""]) == "a ‹hidden› b"


def test_a_cause_that_repeats_a_key_is_not_chained() -> None:
    plain = theirs.UnexpectedModelBehavior("bad")
    for error, chained in ((plain, True), (theirs.UnexpectedModelBehavior("bad sk-1"), False)):
        with pytest.raises(BadReplyError) as raised, map_errors("alice", ["sk-1"]):
            raise error
        assert (raised.value.__cause__ is error) == chained
    deep = theirs.UnexpectedModelBehavior("bad")
    deep.__cause__ = ssl.SSLError("sk-1")
    with pytest.raises(BadReplyError) as raised, map_errors("alice", ["sk-1"]):
        raise deep
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
