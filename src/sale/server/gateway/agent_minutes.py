"""The tokens a minute of agents whose settings name a limit: one whose minute is used up is not asked, another one is.

Counted is what requests through the gateway read and write, each agent by itself; gateways on one store tell each other
four times a second. The plans and points that an auction asks for are not counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection

from sale.agents.protocol import DirectEndpoint
from sale.server.gateway.chat_request import ChatRequest
from sale.server.gateway.errors import ApiError
from sale.server.gateway.token_estimate import max_output_tokens
from sale.server.store.rates import RateLimits


class MinuteShare:
    """Tokens of an agent's minute set aside for one request, until it is known how many it took."""

    def __init__(self, rates: RateLimits, key: str, second: int, tokens: int) -> None:
        """They are set aside."""
        self._rates = rates
        self._key = key
        self._second = second
        self._tokens = tokens

    def settle(self, tokens: int) -> None:
        """So many were used."""
        self._rates.correct(self._key, self._second, tokens - self._tokens)


class AgentMinutes:
    """The last minute of every agent with a limit."""

    def __init__(self, rates: RateLimits) -> None:
        """`rates` are those of the store."""
        self._rates = rates

    def keep_free(
        self, agents: Collection[str], asked: ChatRequest, reach: Callable[[str], DirectEndpoint | None]
    ) -> Collection[str]:
        """Return the agents whose minute has room for a request; all of them where that leaves none.

        Args:
            agents: Their names.
            asked: The request.
            reach: Gives the endpoint of an agent.
        """
        return [name for name in agents if self._has_room(name, reach(name), asked)] or agents

    def _has_room(self, agent: str, reach: DirectEndpoint | None, asked: ChatRequest) -> bool:
        if reach is None or reach.tokens_per_minute is None:
            return True
        return self._rates.wait_for_tokens(_key(agent), most_tokens(asked, reach), reach.tokens_per_minute) is None

    def reserve(self, agent: str, reach: DirectEndpoint, tokens: Callable[[], int]) -> MinuteShare | None:
        """Set aside the most tokens that a request can take; `None` where the agent has no limit.

        Args:
            agent: The agent.
            reach: Its endpoint.
            tokens: Gives their number, where there is a limit.

        Raises:
            ApiError: They do not fit into this minute: another agent may do it, or the client comes again.
        """
        if reach.tokens_per_minute is None:
            return None
        key, most = _key(agent), tokens()
        second, wait = self._rates.tokens(key, most, reach.tokens_per_minute)
        if wait is not None:
            raise ApiError(
                f"agent {agent!r} has used up its tokens_per_minute",
                status=429,
                name="agent_minute_used_up",
                retry_after=wait,
                elsewhere=True,
            )
        return MinuteShare(self._rates, key, second, most)


def _key(agent: str) -> str:
    """Where an agent's minute is found, beside those of keys: 32 characters, and no key has such an id."""
    return f"a:{hashlib.blake2b(agent.encode(), digest_size=15).hexdigest()}"


def most_tokens(asked: ChatRequest, reach: DirectEndpoint) -> int:
    """Return the most tokens that a request can take at an endpoint."""
    return asked.weight.max_tokens() + max_output_tokens(asked.body, reach.answer_tokens)
