"""Request fields that an endpoint refuses in requests written by the gateway, learnt from its refusals.

A request of another protocol is translated, and some of what it says is said in fields that not every endpoint takes.
Where an endpoint refuses one of these by name, the request is sent once more without it (`max_tokens`: under its other
name), and for an hour later requests leave it out at once. Not where the endpoint has taken the field before: then it
refused what was in it (a fifth mark for caches, an effort that it does not know), and other requests keep theirs. Chat
completions that a client wrote itself are never changed like this.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, cast

from sale.models.address import Address
from sale.server.gateway.errors import ApiError

Json = dict[str, Any]

CACHE_MARKS: Final = "cache_control"
USAGE_IN_STREAMS: Final = "stream_options"
"""The gateway asks for usage in every stream. Where that is refused, tokens are estimated."""
RENAMED: Final = {"max_tokens": "max_completion_tokens"}
"""Names to use where a field's own is refused. Older endpoints know the first, newer models of OpenAI the other."""
SIGNS: Final[Mapping[str, tuple[str, ...]]] = {
    CACHE_MARKS: (CACHE_MARKS, "content", "expected a string"),
    "logprobs": ("logprobs",),
    "max_tokens": ("max_tokens",),
    "metadata": ("metadata",),
    "parallel_tool_calls": ("parallel_tool_calls", "parallel tool"),
    "prompt_cache_key": ("prompt_cache_key",),
    "prompt_cache_retention": ("prompt_cache_retention",),
    "reasoning_effort": ("reasoning", "thinking"),
    "safety_identifier": ("safety_identifier",),
    "service_tier": ("service_tier",),
    USAGE_IN_STREAMS: ("stream_options",),
    "top_k": ("top_k",),
    "top_logprobs": ("logprobs",),
    "verbosity": ("verbosity",),
}
"""By what words a refusal names a field. An endpoint that takes no lists as content complains of `content`."""
REFUSALS: Final = frozenset({400, 422})


KEPT_SECONDS: Final = 3600.0
"""Seconds for which a field that was refused is left out."""
Place = tuple[str, str]
"""An endpoint's address, and the model there."""


class Dialects:
    """Request fields that the endpoints of one process refuse, and those that they have taken."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is known; `clock` gives the time in seconds."""
        self._clock = clock
        self._refused: dict[Place, dict[str, float]] = {}
        self._taken: dict[Place, frozenset[str]] = {}

    def refused_by(self, address: Address) -> frozenset[str]:
        """The fields that an endpoint is known to refuse."""
        found = self._refused.get((address.base_url, address.model))
        if not found:
            return frozenset()
        now = self._clock()
        return frozenset(name for name, until in found.items() if now < until)

    def learn(self, address: Address, refused: Collection[str], taken: frozenset[str]) -> None:
        """Remember what became of the fields of a request that was answered.

        Args:
            address: Whose.
            refused: Those that it was answered without.
            taken: Those that it was answered with.
        """
        place = (address.base_url, address.model)
        before = self._taken.get(place, frozenset())
        if not taken <= before:
            self._taken[place] = before = before | taken
        fresh = set(refused) - self.refused_by(address) - before
        if fresh:
            self._refused.setdefault(place, {}).update(dict.fromkeys(fresh, self._clock() + KEPT_SECONDS))


def refused_fields(error: ApiError, among: Collection[str]) -> frozenset[str]:
    """Those fields that an endpoint's refusal names."""
    if error.status not in REFUSALS or error.elsewhere:
        return frozenset()
    told = f"{error.param or ''} {error.message}".lower()
    return frozenset(name for name in among if any(sign in told for sign in SIGNS[name]))


def fit_body(body: Json, refused: Collection[str]) -> Json:
    """The body without the fields refused."""
    found = {RENAMED.get(name, name) if name in refused else name: value for name, value in body.items()}
    for name in refused:
        found.pop(name, None)
    if CACHE_MARKS in refused:
        found["messages"] = [_unmarked_message(one) for one in found["messages"]]
        if found.get("tools"):
            found["tools"] = [_unmarked(one) for one in found["tools"]]
    return found


def _unmarked_message(message: Json) -> Json:
    """A message without marks; content that is nothing but text is one text then."""
    content: object = message.get("content")
    if not isinstance(content, list):
        return message
    parts = [_unmarked(part) for part in cast("list[Json]", content)]
    if all(part.get("type") == "text" for part in parts):
        return message | {"content": "\n\n".join(str(part.get("text")) for part in parts)}
    return message | {"content": parts}


def _unmarked(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if name != CACHE_MARKS}
