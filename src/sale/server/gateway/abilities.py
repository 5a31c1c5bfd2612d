"""Requests that an agent cannot do: as its settings say, or learned from refusals that others did not share.

What the settings say an agent refuses it is never asked, and where all refuse it the client is told so. The length of a
request is an estimate, so where it is too long for all, they are asked.

An endpoint may refuse what another one takes: images, a parameter, a role, a request of this length. The turn then goes
to the next best bid. If that one is answered, what the refusal names is kept for an hour: the agent is not asked for
such requests while another one can be. All this ends with the market, so settings that are read again begin anew.

A refusal may be of one value alone, which another endpoint did not mind: a tool's name that is too long, a limit that
is too large. Other requests are not to go by that. So nothing is kept of a refusal that names a place within a
field, or says that a field's value is out of bounds, and nothing that the agent has taken before.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from sale.server.gateway.errors import ApiError
from sale.server.gateway.token_estimate import LIMITS

Json = dict[str, Any]

EVERYBODYS: Final = frozenset({"model", "messages", "stream"})
"""Fields of a request that tell nothing of what it needs."""
SIGNS: Final[Mapping[str, tuple[str, ...]]] = {
    "developer": ("developer", "role"),
    "file": ("file", "document", "pdf"),
    "image_url": ("image", "vision", "picture", "modalit", "multimodal"),
    "input_audio": ("audio", "modalit", "multimodal"),
    "response_format": ("response_format", "schema", "json mode"),
    "tools": ("tool", "function"),
    "video_url": ("video", "modalit", "multimodal"),
}
"""Words by which a refusal names a need. A parameter is named as it is."""
TOO_LONG: Final = (
    *("context length", "context_length", "context window", "context size", "maximum context", "input length"),
    "tokens per minute",
)
"""Words by which a refusal names the length of a request."""
BEYOND: Final = ("too long", "too large", "too many tokens", "token limit")
"""Words that say so, too, where they are not of one field's value."""
BOUNDS: Final = re.compile(r"(?:above|below|over|under)_(?:max|min)|invalid_type|missing_required")
"""In the code of a refusal that is of a value."""
MEDIA: Final = frozenset({"file", "image_url", "input_audio", "video_url"})
"""Kinds of content whose bytes say nothing of their tokens."""
KEPT_SECONDS: Final = 3600.0
"""Seconds for which an agent is taken for one that refuses what it has refused."""
MAX_TAKEN: Final = 256
"""Names that are kept of what an agent has taken: clients may send fields of any name."""
TOO_LARGE: Final = 413


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """The features and the size of a request that its agent has to take."""

    features: frozenset[str] = frozenset()
    """Kinds of content, roles and parameters."""
    tokens: int = 0
    """An estimate of its length."""


NONE: Final = Needs()
WORDS: Final[Mapping[str, str]] = {
    "audio": "input_audio",
    "files": "file",
    "images": "image_url",
    "schema": "response_format",
    "video": "video_url",
}
"""Words of the settings for features of a request. All others are named as in the request."""


def needs_of(body: Mapping[str, object], messages: Sequence[Mapping[str, Any]], tokens: int) -> Needs:
    """Read what a request needs.

    Args:
        body: In terms of chat completions, without the gateway's own fields.
        messages: Of it.
        tokens: An estimate of its length.
    """
    features = {name for name, value in body.items() if name not in EVERYBODYS and value not in (None, {})}
    for message in messages:  # on each turn, of all that came before
        if message["role"] == "developer":
            features.add("developer")
        content: object = message.get("content")
        if not isinstance(content, list):
            continue
        for part in cast("list[object]", content):
            kind: object = cast("Json", part).get("type") if isinstance(part, dict) else None
            if isinstance(kind, str) and kind != "text":
                features.add(kind)
    return Needs(features=frozenset(features), tokens=tokens)


@dataclass(kw_only=True, slots=True)
class _Learned:
    """The refusals and the answers of an agent's endpoint, as far as they tell of later requests."""

    lacking: dict[str, float] = field(default_factory=dict[str, float])
    """Features that it refuses, and until when that is believed."""
    limit: tuple[int, float] | None = None
    """Tokens that are too many for it, and until when that is believed."""
    taken: set[str] = field(default_factory=set[str])
    """Features of requests that it has answered."""
    longest: int = 0
    """Tokens of the longest one."""


class Abilities:
    """The requests that the agents of one market are known to refuse."""

    def __init__(
        self,
        refuses: Mapping[str, Collection[str]] | None = None,
        contexts: Mapping[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is known but what the settings say.

        Args:
            refuses: What a request may not have, in words of the settings, by the name of the agent.
            contexts: Tokens that one call may take, by the name of the agent.
            clock: The time, in seconds.
        """
        self._declared = {agent: {WORDS.get(one, one) for one in words} for agent, words in (refuses or {}).items()}
        self._contexts: Mapping[str, int] = dict(contexts or {})
        self._learned: dict[str, _Learned] = {}
        self._clock = clock

    def is_limited(self, agent: str) -> bool:
        """Return whether there is any request that an agent is known to refuse."""
        learned = self._learned.get(agent)
        return agent in self._contexts or agent in self._declared or (learned is not None and _says_no(learned))

    def can(self, agent: str, needs: Needs) -> bool:
        """Return False where the agent is known to refuse such a request."""
        if self._declared.get(agent, set[str]()) & needs.features:
            return False
        if (context := self._contexts.get(agent)) is not None and needs.tokens >= context:
            return False
        learned = self._learned.get(agent)
        if learned is None or not _says_no(learned):
            return True
        now = self._clock()
        if learned.limit is not None and needs.tokens >= learned.limit[0] and now < learned.limit[1]:
            return False
        return not any(now < learned.lacking.get(one, now) for one in needs.features)

    def keep_able(self, agents: Iterable[str], needs: Needs) -> Collection[str]:
        """Return the agents that are not known to refuse such a request.

        Where that leaves none, all of them whose settings do not say that they refuse it: a refusal may have been
        misread, and lengths are estimates.

        Raises:
            ApiError: There are agents, and the settings of all say that they refuse it.
        """
        given = list(agents)
        lacking = [self._declared.get(name, set[str]()) & needs.features for name in given]
        found = [name for name, lacks in zip(given, lacking, strict=True) if not lacks]
        if given and not found:
            named = sorted(set[str].union(*lacking))
            raise ApiError(
                f"no agent here takes {', '.join(named)}; the settings of each refuse some of it",
                name="unsupported",
                param=named[0],
            )
        return [name for name in found if self.can(name, needs)] or found

    def take(self, agent: str, needs: Needs) -> None:
        """Remember that an agent has answered a request: what it has is nothing that the agent refuses.

        Args:
            agent: The agent.
            needs: Of the request.
        """
        learned = self._learned.setdefault(agent, _Learned())
        if needs.tokens <= learned.longest and needs.features <= learned.taken and not _says_no(learned):
            return
        learned.longest = max(learned.longest, needs.tokens)
        learned.taken |= needs.features if len(learned.taken) < MAX_TAKEN else needs.features & SIGNS.keys()
        if learned.limit is not None and needs.tokens >= learned.limit[0]:
            learned.limit = None
        for one in needs.features & learned.lacking.keys():
            del learned.lacking[one]

    def learn(self, agent: str, refusal: ApiError, needs: Needs) -> None:
        """Remember what a refusal names. Another agent has taken the same request.

        Args:
            agent: The agent that refused.
            refusal: As its endpoint words it.
            needs: Of the request.
        """
        told = f"{refusal.param or ''} {refusal.name or ''} {refusal.message}".lower()
        if _is_of_a_value(refusal, told, needs):
            return
        learned, until = self._learned.setdefault(agent, _Learned()), self._clock() + KEPT_SECONDS
        if _is_of_length(refusal, told, needs):
            if needs.tokens > learned.longest:
                least = needs.tokens if learned.limit is None else min(needs.tokens, learned.limit[0])
                learned.limit = (least, until)
            return
        named = {one for one in needs.features if any(sign in told for sign in SIGNS.get(one, (one.lower(),)))}
        fresh = named - learned.taken if len(learned.lacking) < MAX_TAKEN else named & learned.lacking.keys()
        learned.lacking |= dict.fromkeys(fresh, until)


def _says_no(learned: _Learned) -> bool:
    return bool(learned.lacking) or learned.limit is not None


def _is_of_a_value(refusal: ApiError, told: str, needs: Needs) -> bool:
    """Return whether a refusal is of what a field holds, and not of the field."""
    if BOUNDS.search(refusal.name or ""):
        return True
    root = re.split(r"[.\[]", refusal.param or "", maxsplit=1)[0]
    if root in needs.features and root != refusal.param:
        return True
    if any(sign in told for sign in TOO_LONG) or not any(sign in told for sign in BEYOND):
        return False
    return root in needs.features or any(name in told for name in LIMITS)


def _is_of_length(refusal: ApiError, told: str, needs: Needs) -> bool:
    """Return whether a refusal is of the length of a request."""
    if any(sign in told for sign in TOO_LONG):
        return True
    beyond = refusal.status == TOO_LARGE or any(sign in told for sign in BEYOND)
    return beyond and not needs.features & MEDIA
