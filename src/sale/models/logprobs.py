"""What providers return as log-probabilities, to one shape. Anything else than numbers is left out, not guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from sale.types import TokenLogprobs


def read_logprobs(details: Mapping[str, object] | None) -> tuple[TokenLogprobs, ...] | None:
    """From the `provider_details` of a Pydantic AI response; `None` where there are none."""
    found = (details or {}).get("logprobs")
    if not isinstance(found, list):
        return None
    entries = cast("list[object]", found)
    tokens = tuple(token for entry in entries if (token := _token(entry)) is not None)
    return tokens or None


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
    return token, float(logprob)
