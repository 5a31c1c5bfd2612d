"""A market that is open for requests; one that is retired closes with its last request."""

from __future__ import annotations

from collections.abc import Collection

from sale.agents.protocol import Agent, CostDeclaring, DirectEndpoint, EffortDeclaring, Reachable
from sale.market import Market
from sale.server.gateway.abilities import NONE, Abilities, Needs
from sale.server.gateway.errors import ApiError, unknown_model
from sale.types import Call, Usage
from sale.types.labels import Requirements

MARKET = "sale"
"""The model's name that is auctioned."""


class MarketHandle:
    """One market with its agents by name."""

    def __init__(self, market: Market) -> None:
        """Nothing is opened."""
        self.market = market
        self.agents: dict[str, Agent] = {agent.name: agent for agent in market.agents}
        self.incumbent = market.incumbent
        self._reach = {agent.name: agent.reach if isinstance(agent, Reachable) else None for agent in market.agents}
        self._dearest = {
            agent.name: agent.dearest if isinstance(agent, CostDeclaring) else None for agent in market.agents
        }
        reached = {name: reach for name, reach in self._reach.items() if reach is not None}
        self.abilities = Abilities(
            {name: reach.refuses for name, reach in reached.items() if reach.refuses},
            {name: reach.context for name, reach in reached.items() if reach.context is not None},
        )
        self._efforts = {
            agent.name: agent.effort if isinstance(agent, EffortDeclaring) else None for agent in market.agents
        }
        self._seen: dict[str, tuple[float, int]] = {}
        self._inside = 0
        self._retired = False
        self._closed = False

    def list_models(self, allowed: frozenset[str] | None) -> list[str]:
        """Return the names that a key's clients can use: the market, and each agent it may use, `None` for all."""
        return [MARKET, *(name for name in self.agents if allowed is None or name in allowed)]

    def reach(self, agent: str) -> DirectEndpoint | None:
        """Return an agent's endpoint; `None` where it has none."""
        return self._reach[agent]

    def max_cost(self, agent: str) -> tuple[float | None, int]:
        """Return the largest cost of an agent without an endpoint, as declared or seen so far, and its tokens."""
        dollars, tokens = self._seen.get(agent, (None, 0))
        declared = self._dearest[agent]
        return (dollars if declared is None else max(declared, dollars or 0.0)), tokens

    def record_work(self, done: Call, needs: Needs) -> None:
        """Note the cost of a piece of work, as the next may cost as much, and what its agent has taken, if it was done.

        Args:
            done: The work.
            needs: Of the request it was done for.
        """
        most, longest = self._seen.get(done.agent, (0.0, 0))
        self._seen[done.agent] = (max(most, done.dollars), max(longest, done.usage.total))
        if done.error is None:
            self.abilities.take(done.agent, needs)

    def may_answer(self, name: str, allowed: frozenset[str] | None, *, tools: bool, require: Requirements) -> bool:
        """Return whether an agent is there, a key may use it, and it may answer; arguments as for `eligible_agents`."""
        if name not in self.agents or (allowed is not None and name not in allowed):
            return False
        return self.market.admission.admits(name, require) and (not tools or self._reach[name] is not None)

    def eligible_agents(
        self, allowed: frozenset[str] | None, *, tools: bool, require: Requirements, needs: Needs = NONE
    ) -> Collection[str]:
        """Return the agents that may bid for a request, take it over or answer it in any other way.

        Args:
            allowed: Those the key may use; `None` for all.
            tools: Whether the client's own tools are to be called: that takes an endpoint.
            require: Labels that the request, its conversation and its key require.
            needs: Of the request. Agents that are known to refuse such a one are left out while others are there.

        Raises:
            ApiError: No agent may, or none takes what the request has.
            RequirementError: None of them has the labels.
        """
        known = [name for name in self.agents if allowed is None or name in allowed]
        if not known:
            raise ApiError("this key may use none of the agents there are", status=403, name="agent_not_allowed")
        able = [name for name in known if not tools or self._reach[name] is not None]
        if not able:
            raise ApiError(
                "no agent can call a client's tools: none has an endpoint", name="tools_unsupported", param="tools"
            )
        return self.abilities.keep_able(self.market.admission.filter_agents(able, require), needs)

    def rank_for_asides(self, first: str, names: Collection[str]) -> list[str]:
        """Return agents in the order in which requests beside a conversation are sent: the first, then the cheapest.

        Args:
            first: Asked before the others, if it may be asked.
            names: Of the agents that may be asked.
        """
        asked = Usage(input_tokens=1, output_tokens=1)
        cheapest = sorted(names, key=lambda name: self.agents[name].price.dollars(asked))
        return [name for name in dict.fromkeys([first, *cheapest]) if name in names]

    def at_effort(self, names: Collection[str], effort: str | None) -> Collection[str]:
        """Return those agents whose settings give this effort, or none; all of them where that leaves none.

        Args:
            names: Of the agents.
            effort: That a request asks for, if it does.
        """
        fitting = [name for name in names if self._efforts[name] in {None, effort}] if effort is not None else names
        return fitting or names

    def find_agent(self, model: str, allowed: frozenset[str] | None, require: Requirements) -> Agent:
        """The agent of a name.

        Raises:
            ApiError: There is none, or the key may not use it.
            RequirementError: It has not the labels that are required.
        """
        if model not in self.agents:
            raise unknown_model(model, self.list_models(allowed))
        if allowed is not None and model not in allowed:
            raise ApiError(f"this key may not use {model!r}", status=403, name="agent_not_allowed", param="model")
        self.market.admission.filter_agents([model], require)
        return self.agents[model]

    def enter(self) -> None:
        """A request has begun here."""
        self._inside += 1

    async def leave(self) -> None:
        """A request has ended; after the last one the market is closed, where it has been replaced."""
        self._inside -= 1
        await self._close_if_empty()

    async def retire(self) -> None:
        """No new requests: close as soon as the last one has ended."""
        self._retired = True
        await self._close_if_empty()

    async def _close_if_empty(self) -> None:
        if self._retired and not self._inside and not self._closed:
            self._closed = True
            await self.market.aclose()
