"""Log-probabilities of all providers in one shape. Invalid ones are left out, not guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from sale.types import TokenLogprobs

# Rounding can put a certain token's a little above zero; below the floor, infinities included, is no measurement.
MAX_LOGPROB = 0.01
MIN_LOGPROB = -1e6


def read_logprobs(details: Mapping[str, object] | None) -> tuple[TokenLogprobs, ...] | None:
    """From the `provider_details` of a Pydantic AI response; `None` where there are none."""
    return _tokens((details or {}).get("logprobs")) or None


def usable_entries(content: object) -> list[dict[str, object]]:
    """A list as in `choices[].logprobs.content` with only what is a token and its log-probability."""
    return [
        {
            "token": token.token,
            "logprob": token.logprob,
            "top_logprobs": [{"token": text, "logprob": logprob} for text, logprob in token.top],
        }
        for token in _tokens(content)
    ]


def _tokens(content: object) -> tuple[TokenLogprobs, ...]:
    if not isinstance(content, list):
        return ()
    entries = cast("list[object]", content)
    return tuple(token for entry in entries if (token := _token(entry)) is not None)


def _token(entry: object) -> TokenLogprobs | None:
    pair = _pair(entry)
    if pair is None:
        return None
    top = cast("Mapping[str, object]", entry).get("top_logprobs")
    alternatives = cast("Sequence[object]", top) if isinstance(top, list) else ()
    return TokenLogprobs(
        token=pair[0],
        logprob=pair[1],
        top=tuple(found for one in alternatives if (found := _pair(one)) is not None),
    )


def _pair(entry: object) -> tuple[str, float] | None:
    if not isinstance(entry, dict):
        return None
    values = cast("Mapping[str, object]", entry)
    token, logprob = values.get("token"), values.get("logprob")
    if not isinstance(token, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    if not MIN_LOGPROB <= logprob <= MAX_LOGPROB:  # false for NaN too
        return None
    return token, min(float(logprob), 0.0)
