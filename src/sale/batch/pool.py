"""The market of a batch: the pool of `sale.toml`, with every call on the batch's ledger.

The clock of a call runs while it is made, not while it waits for its turn at an endpoint with a limit. So the limits of
time that stand around waiting (of an auction, of an execution) are lifted, and each call has its own instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from sale.agents.pool import agent_price, build_agents
from sale.agents.protocol import Agent
from sale.batch.calls import digest
from sale.batch.job_api import OpenAIJobs
from sale.batch.jobs import JobTransport, Pace
from sale.batch.models import NO_LIMIT, BatchModel, CallTerms, batch_agent
from sale.config import AgentSettings, PriceSettings, Settings
from sale.market import Market
from sale.memory.batch_rates import RateLimit
from sale.models.protocol import Model
from sale.types import AuctionRules, Price

if TYPE_CHECKING:
    from sale.models.endpoint import EndpointModel

_BIDDING: Final = frozenset({"bid", "refine"})
_JUDGING: Final = frozenset({"judge", "judge_panel", "question", "verify"})
_IDENTITY: Final = (
    "local",
    "gguf",
    "endpoint",
    "provider",
    "base_url",
    "model",
    "temperature",
    "extra_body",
    "options",
    "command",
    "function",
    "kind",
    "plan",
)
"""Settings that decide what an agent answers to the same request."""


def batch_market(settings: Settings) -> Market:
    """The market that settings describe, for a batch.

    Raises:
        ConfigError: As for `Market.from_config`.
        SandboxError: As for `build_agents`.
    """
    rules, limits = settings.auction, rate_limits(settings)

    def wrap(agent: AgentSettings, model: Model) -> Model:
        api = None
        if agent.batch is not None:
            located = cast("EndpointModel", model)  # as the settings demand
            model, api = located.through(JobTransport()), OpenAIJobs(agent.name, located.address)
        terms = CallTerms(
            agent=agent.name,
            price=batch_price(agent),
            identity=_identity(agent),
            answer_tokens=agent.answer_tokens,
            seconds=lambda phase: _seconds(phase, agent, rules),
            limit=limits.get(agent.name),
            api=api,
        )
        return BatchModel(model, terms)

    def wrap_own(agent: AgentSettings, made: Agent) -> Agent:
        return batch_agent(made, _identity(agent), agent.price_per_task)

    # Built of the settings as they are: an agent that is a program keeps to its own time.
    unhurried = settings.model_copy(
        update={
            "agents": tuple(
                agent.model_copy(update={"seconds": NO_LIMIT, "price": _stated(batch_price(agent))})
                if agent.has_model
                else agent
                for agent in settings.agents
            ),
            "auction": replace(
                rules, bid_seconds=NO_LIMIT, judge_seconds=NO_LIMIT, caps=replace(rules.caps, seconds=NO_LIMIT)
            ),
        }
    )
    # The wrappers are given the settings with limits lifted, but close over the time each call has.
    given = {agent.name: agent for agent in settings.agents}
    agents = build_agents(
        unhurried,
        wrap=lambda agent, model: wrap(given[agent.name], model),
        wrap_own=lambda agent, made: wrap_own(given[agent.name], made),
    )
    return Market.from_config(settings=unhurried, agents=agents)


def batch_price(agent: AgentSettings) -> Price:
    """The price of an agent in a batch: less its discount, where it is asked in jobs.

    Raises:
        UnpricedAgentError: It is not known.
    """
    price = agent_price(agent)
    if agent.batch is None:
        return price
    share = 1.0 - agent.batch_discount
    return Price(
        input=share * price.input,
        output=share * price.output,
        blended=share * price.blended,
        cached=None if price.cached is None else share * price.cached,
    )


def _stated(price: Price) -> PriceSettings:
    return PriceSettings(input=price.input, output=price.output, blended=price.blended, cached=price.cached)


def job_pace(settings: Settings) -> Pace | None:
    """The waiting times of jobs; `None` where no agent is asked in jobs."""
    return Pace() if any(agent.batch is not None for agent in settings.agents) else None


def without_jobs(settings: Settings) -> Settings:
    """The settings with every agent asked at once, at its full price."""
    agents = tuple(agent.model_copy(update={"batch": None}) for agent in settings.agents)
    return settings.model_copy(update={"agents": agents})


def rate_limits(settings: Settings) -> Mapping[str, RateLimit]:
    """By agent, the limit of its model's endpoint; agents of one endpoint or provider, model and key share it."""
    places = {
        agent.name: digest(agent.endpoint, agent.provider, agent.base_url, agent.model, agent.api_key_env)
        if agent.model is not None
        else digest(agent.name)
        for agent in settings.agents
    }
    found: dict[str, RateLimit] = {}
    for name, place in places.items():
        sharing = [agent for agent in settings.agents if places[agent.name] == place]
        requests = [agent.requests_per_minute for agent in sharing if agent.requests_per_minute is not None]
        tokens = [agent.tokens_per_minute for agent in sharing if agent.tokens_per_minute is not None]
        if requests or tokens:
            found[name] = RateLimit(
                endpoint=place, requests=min(requests, default=None), tokens=min(tokens, default=None)
            )
    return found


def _identity(agent: AgentSettings) -> str:
    said = agent.model_dump(mode="json")
    return digest(*(said[name] for name in _IDENTITY))


def _seconds(phase: str, agent: AgentSettings, rules: AuctionRules) -> float:
    if phase in _BIDDING:
        return rules.bid_seconds
    return rules.judge_seconds if phase in _JUDGING else agent.seconds
