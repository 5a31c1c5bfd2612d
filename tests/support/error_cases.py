"""The errors the test endpoint answers with, and the traits it knows; `tests.support.endpoint` says what they mean."""

from __future__ import annotations

import re

from starlette.responses import JSONResponse, Response

from tests.support.replies import Ask

_NAMES = """
good hang stall hang-as-juror 500-as-juror 401-as-juror 500-at-work cut redirect 429-then-good 429-always quota
500-then-good
429-nan 429-inf 429-past
500-always 503-always 401 404-model echo-key context-too-long reject-logprobs reject-schema reject-max-tokens
malformed-json garbage html not-openai error-in-200 raw empty-text null-text empty-choices null-choices refusal
no-usage zero-usage negative-usage odd-usage no-logprobs weird-logprobs truncated thinking thinking-cut
thinking-headless reasoning-field prose-ballot fenced-ballot out-of-range-ballot prose-then-ballot tool-caller
tool-loops-forever tool-bad-arguments tool-unknown
"""
TRAITS = frozenset(_NAMES.split())
NUMBERED = re.compile(r"(score|slow|500-after)-\d+")
SOON = "20"
"""Milliseconds a client is asked to wait before it tries again, where a test waits for it."""


def refusal(ask: Ask) -> Response | None:
    """The error this request meets, if it meets one."""
    key = ask.headers.get("authorization", "")
    after = ask.number("500-after-")
    rules: tuple[tuple[bool, int, str, str | None, dict[str, str]], ...] = (
        (ask.has("429-then-good") and ask.turn == 1, 429, "Slow down.", None, {"retry-after-ms": SOON}),
        (ask.has("429-always"), 429, "Slow down.", "rate_limit_exceeded", {"retry-after": "1"}),
        (ask.has("429-nan"), 429, "Slow down.", None, {"retry-after": "nan"}),
        (ask.has("429-inf"), 429, "Slow down.", None, {"retry-after": "-inf"}),
        (ask.has("429-past"), 429, "Slow down.", None, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        (ask.has("quota"), 429, "You exceeded your current quota.", "insufficient_quota", {}),
        (ask.has("500-then-good") and ask.turn == 1, 500, "Oops.", None, {"retry-after-ms": SOON}),
        (ask.has("500-as-juror") and ask.judging, 500, "Oops.", None, {}),
        (ask.has("500-at-work") and not (ask.judging or ask.planning), 500, "Oops.", None, {}),
        (ask.has("401-as-juror") and ask.judging, 401, "Incorrect API key provided.", "invalid_api_key", {}),
        (ask.has("500-always"), 500, "Oops.", None, {"retry-after-ms": SOON}),
        (ask.has("503-always"), 503, "Overloaded.", None, {"retry-after-ms": SOON}),
        (after is not None and ask.turn > after, 500, "Oops.", None, {"retry-after-ms": SOON}),
        (ask.has("401"), 401, "Incorrect API key provided.", "invalid_api_key", {}),
        (ask.has("echo-key"), 400, f"Bad request with header {key!r}", None, {}),
        (
            ask.has("404-model") or not all(t in TRAITS or NUMBERED.fullmatch(t) for t in ask.traits),
            404,
            f"The model {ask.body.get('model')!r} does not exist.",
            "model_not_found",
            {},
        ),
        (
            ask.has("context-too-long"),
            400,
            "This model's maximum context length is 128 tokens.",
            "context_length_exceeded",
            {},
        ),
        (
            ask.has("reject-logprobs") and bool(ask.body.get("logprobs")),
            400,
            "logprobs are not supported by this model.",
            "unsupported_parameter",
            {},
        ),
        (
            ask.has("reject-schema") and ask.schema is not None,
            400,
            "response_format is not supported by this model.",
            "unsupported_parameter",
            {},
        ),
        (
            ask.has("reject-max-tokens") and "max_tokens" in ask.body,
            400,
            "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
            "unsupported_parameter",
            {},
        ),
    )
    for met, status, message, code, headers in rules:
        if met:
            error = {"message": message, "type": "error", "param": None, "code": code}
            return JSONResponse({"error": error}, status_code=status, headers=headers)
    return None
