"""Requests that an agent cannot do: as its settings say, or learned from refusals that others did not share.

What the settings say an agent refuses it is never asked, and where all refuse it the client is told so. The length of a
request is an estimate, so where it is too long for all, they are asked.

An endpoint may refuse what another one takes: images, a parameter, a role, a request of this length. The turn then goes
to the next best bid. If that one is answered, the fault was not the request's, and what the refusal names is kept: from
then on the agent is not asked for such requests while another one can be. All this ends with the market, so settings
that are read again begin anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from sale.server.gateway.errors import ApiError

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
    *("too long", "too large", "too many tokens", "token limit", "tokens per minute"),
)
"""Words by which a refusal names the length of a request."""
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
    for message in messages:
        features |= {"developer"} if message["role"] == "developer" else set()
        content: object = message.get("content")
        for part in cast("list[object]", content) if isinstance(content, list) else []:
            kind: object = cast("Json", part).get("type") if isinstance(part, dict) else None
            features |= {kind} if isinstance(kind, str) and kind != "text" else set()
    return Needs(features=frozenset(features), tokens=tokens)


class Abilities:
    """The requests that the agents of one market are known to refuse."""

    def __init__(
        self, refuses: Mapping[str, Collection[str]] | None = None, contexts: Mapping[str, int] | None = None
    ) -> None:
        """Nothing is known but what the settings say.

        Args:
            refuses: What a request may not have, in words of the settings, by the name of the agent.
            contexts: Tokens that one call may take, by the name of the agent.
        """
        self._declared = {agent: {WORDS.get(one, one) for one in words} for agent, words in (refuses or {}).items()}
        self._lacking: dict[str, set[str]] = {agent: set(found) for agent, found in self._declared.items()}
        self._limits: dict[str, int] = dict(contexts or {})

    def is_limited(self, agent: str) -> bool:
        """Return whether there is any request that an agent is known to refuse."""
        return agent in self._limits or bool(self._lacking.get(agent))

    def can(self, agent: str, needs: Needs) -> bool:
        """Return False where the agent is known to refuse such a request."""
        limit = self._limits.get(agent)
        return not self._lacking.get(agent, set()) & needs.features and (limit is None or needs.tokens < limit)

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

    def learn(self, agent: str, refusal: ApiError, needs: Needs) -> None:
        """Remember what a refusal names. Another agent has taken the same request.

        Args:
            agent: The agent that refused.
            refusal: As its endpoint words it.
            needs: Of the request.
        """
        told = f"{refusal.param or ''} {refusal.name or ''} {refusal.message}".lower()
        if refusal.status == TOO_LARGE or any(sign in told for sign in TOO_LONG):
            self._limits[agent] = min(needs.tokens, self._limits.get(agent, needs.tokens))
            return
        named = {one for one in needs.features if any(sign in told for sign in SIGNS.get(one, (one.lower(),)))}
        self._lacking.setdefault(agent, set()).update(named)
