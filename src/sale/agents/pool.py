"""From settings to a pool: each agent of `sale.toml` becomes a contractor with a price, a model and its tools."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from sale.agents.contractor import Contractor
from sale.agents.own import own_agent
from sale.agents.own_tools import own_tools
from sale.agents.protocol import Agent, Tool
from sale.agents.repair import Workbench
from sale.agents.researcher import Researcher
from sale.agents.tools.python import PythonTool
from sale.agents.tools.sandbox import open_sandbox
from sale.agents.tools.web.toolset import SearchToolset, toolset_of
from sale.config import (
    TOOL_WAYS,
    AgentSettings,
    SandboxSettings,
    Settings,
    ToolSettings,
    api_key,
    header_keys,
    llama_server,
    models_path,
)
from sale.errors import ConfigError, InputError, MissingExtraError
from sale.models.address import PLAIN, Address, RequestShape
from sale.models.asking import SamplingOptions
from sale.models.endpoint import EndpointModel, fixed_address
from sale.models.local.catalogue import CatalogueEntry
from sale.models.local.catalogue import find as find_model
from sale.models.local.engine import PARALLEL, LocalEngine
from sale.models.local.weights import WeightStore, check_gguf
from sale.models.native import NativeModel, made_by
from sale.models.prices import listed_price, price_of
from sale.models.protocol import Model
from sale.types import Price
from sale.types.mcp import may_use
from sale.types.search import SearchRules
from sale.types.tools import Fee

Wrapper = Callable[[AgentSettings, Model], Model]
"""Something between an agent and its model: a recorder, say."""
OwnWrapper = Callable[[AgentSettings, Agent], Agent]
"""Something between the market and an agent without a model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Engines:
    """The way embedded models are run."""

    parallel: int = PARALLEL
    """Calls one engine answers at one time."""
    turns: bool = False
    """One engine at a time is asked: the caller sees to that."""
    server: Path | None = None
    """A llama.cpp server of one's own in place of the wheel's."""


def build_agents(
    settings: Settings,
    *,
    wrap: Wrapper | None = None,
    wrap_own: OwnWrapper | None = None,
    tools: Sequence[Tool] = (),
    engines: Engines | None = None,
) -> tuple[Agent, ...]:
    """Return every agent of the settings, ready but not yet opened: no weights are loaded and no endpoint is called.

    Args:
        settings: The pool, and what it works with.
        wrap: Put around every agent's model.
        wrap_own: Put around every agent that is a program, a function or a `kind`, which has no model.
        tools: Beside the tools the settings name.
        engines: How embedded models are run.

    Raises:
        ConfigError: A key is not in the environment, an embedded model or a function is unknown, an agent has no price,
            or models are to be wrapped and a program or function is not.
        SandboxError: An agent works with tools, by repair or with several samples, and code cannot be isolated here.
    """
    settings = _settle_prices(settings)
    running = _RunningEngines(WeightStore(models_path()), engines or Engines(server=llama_server()))
    tried = any(agent.execution == "repair" or agent.samples > 1 for agent in settings.agents)
    bench = _workbench(settings) if tried else None
    shared = _SharedResources(settings, tools)

    def engage(agent: AgentSettings, model: Model, more: Sequence[Tool] = ()) -> Contractor:
        price, given = agent_price(agent), (*shared.kit(agent), *more)
        toolset = shared.toolset(agent)
        if toolset is not None:
            return Researcher(agent, price=price, model=model, tools=given, toolset=toolset)
        return Contractor(agent, price=price, model=model, tools=given, workbench=bench)

    def join(agent: AgentSettings) -> Agent:
        if agent.has_model:
            return _make_agent(settings, agent, _wrap_agent(agent, running, wrap), engage)
        if wrap_own is not None:
            return wrap_own(agent, own_agent(agent, agent_price(agent)))
        if wrap is not None:
            hint = "Leave it out of this pool."
            raise ConfigError("a program or a function has no model", where=f"agent {agent.name!r}", hint=hint)
        return own_agent(agent, agent_price(agent))

    return tuple(join(agent) for agent in settings.agents)


class _SharedResources:
    """The tools and models of agents; those with the same settings share them."""

    def __init__(self, settings: Settings, further: Sequence[Tool]) -> None:
        self._settings = settings
        self._further = tuple(further)
        self._toolsets: dict[SearchRules, SearchToolset] = {}
        self._kits: dict[ToolSettings, tuple[Tool, ...]] = {}

    def kit(self, agent: AgentSettings) -> tuple[Tool, ...]:
        """The tools beside searching, of an agent that works with tools."""
        if agent.execution not in TOOL_WAYS:
            return ()
        own = tools_of(self._settings, agent)
        if own not in self._kits:
            self._kits[own] = _tools(own, self._settings.sandbox)
        return (*self._kits[own], *self._further)

    def toolset(self, agent: AgentSettings) -> SearchToolset | None:
        """Where an agent that works with tools searches."""
        search = tools_of(self._settings, agent).search
        if search is None or agent.execution not in TOOL_WAYS:
            return None
        if search not in self._toolsets:
            self._toolsets[search] = toolset_of(search)
        return self._toolsets[search]


def tools_of(settings: Settings, agent: AgentSettings) -> ToolSettings:
    """The tools an agent works with: its own, or those of the pool."""
    return agent.tools if agent.tools is not None else settings.tools


def searched_corpora(settings: Settings) -> tuple[Path, ...]:
    """The files of passages that agents of the pool search by meaning, which have to be indexed before."""
    found = (
        tools_of(settings, agent).search for agent in _settle_prices(settings).agents if agent.execution in TOOL_WAYS
    )
    return tuple(
        dict.fromkeys(
            rules.corpus
            for rules in found
            if rules is not None and rules.provider == "corpus" and rules.by_meaning and rules.corpus is not None
        )
    )


def _settle_prices(settings: Settings) -> Settings:
    """The settings with a way to work in place of each `auto`, and with who of the agents judges."""

    def settled(agent: AgentSettings) -> AgentSettings:
        if agent.has_model and agent.judge != settings.judges(agent):
            agent = agent.model_copy(update={"judge": settings.judges(agent)})
        if agent.execution != "auto":
            return agent
        with_tools = agent.local is not None and tools_of(settings, agent).asked_for
        way = _embedded(agent, agent.local).with_tools if agent.local is not None and with_tools else "direct"
        return agent.model_copy(update={"execution": way})

    return settings.model_copy(update={"agents": tuple(settled(agent) for agent in settings.agents)})


def _embedded(agent: AgentSettings, name: str) -> CatalogueEntry:
    """The entry of an agent's embedded model.

    Raises:
        ConfigError: The catalogue does not have it.
    """
    try:
        return find_model(name)
    except InputError as error:
        raise ConfigError(error.message, where=f"agent {agent.name!r}", hint=error.hint) from error


class _MakeAgent(Protocol):
    def __call__(self, agent: AgentSettings, model: Model, more: Sequence[Tool] = ()) -> Contractor: ...


def _make_agent(settings: Settings, agent: AgentSettings, model: Model, engage: _MakeAgent) -> Contractor:
    """One agent, with the MCP servers it may use where it works with tools and there are any."""
    offered = tools_of(settings, agent).mcp
    servers = [one for one in offered if agent.execution == "tools" and may_use(agent.mcp, one.name)]
    if not servers:
        return engage(agent, model)
    if find_spec("mcp") is None:
        raise MissingExtraError("MCP servers need the mcp package", hint="pip install 'sale[mcp]'")
    connected = import_module("sale.agents.mcp_contractor").make_mcp_contractor
    hire_with = partial(engage, agent, model)
    return cast("Contractor", connected(agent, agent_price(agent), model, servers, hire_with))


def _wrap_agent(agent: AgentSettings, running: _RunningEngines, wrap: Wrapper | None) -> Model:
    model = _model(agent, running)
    return wrap(agent, model) if wrap else model


def agent_price(agent: AgentSettings) -> Price:
    """The price the settings name, else the listed one of its endpoint.

    Raises:
        UnpricedAgentError: Neither is known.
    """
    if agent.price is not None:
        return price_of(agent.price.input, agent.price.output, agent.price.blended, agent.price.cached)
    if agent.model is not None and agent.endpoint is not None:
        return listed_price(agent.name, agent.model, agent.endpoint)
    if agent.model is not None and agent.provider is not None:
        return listed_price(agent.name, agent.model, provider=agent.provider)
    raise ConfigError("a price is needed", where=f"agent {agent.name!r}", hint="Add price = 0.05.")


def _tools(tools: ToolSettings, box: SandboxSettings) -> tuple[Tool, ...]:
    own = own_tools(tools.own, box)
    if not tools.python:
        return own
    sandbox, limits = open_sandbox(box)
    fee = Fee(per_call=tools.price_per_call, per_second=tools.price_per_second)
    return (PythonTool(sandbox, limits=limits, fee=fee, lasting=tools.python_state), *own)


def _workbench(settings: Settings) -> Workbench:
    sandbox, limits = open_sandbox(settings.sandbox)
    return Workbench(sandbox=sandbox, limits=limits)


def _model(agent: AgentSettings, running: _RunningEngines) -> Model:
    manner = SamplingOptions(temperature=agent.temperature, logprobs=agent.logprobs, json_schema=agent.json_schema)
    if agent.endpoint is not None and agent.model is not None:
        address = Address(base_url=agent.endpoint, model=agent.model, api_key=api_key(agent), shape=_shape(agent))
        return EndpointModel(agent.name, fixed_address(address), manner=manner)
    if agent.provider is not None and agent.model is not None:
        return _native(agent, agent.provider, agent.model, manner)
    locate, release, alive = running.of(agent)
    return EndpointModel(agent.name, locate, manner=manner, release=release, alive=alive)


def _native(agent: AgentSettings, provider: str, model: str, manner: SamplingOptions) -> NativeModel:
    """A model by its provider's own protocol."""
    shape = _shape(agent)
    opened = made_by(
        provider,
        model,
        api_key=api_key(agent),
        base_url=agent.base_url,
        options=agent.options,
        shape=shape,
        where=f"agent {agent.name!r}",
        common=AgentSettings.model_fields,
    )
    return NativeModel(agent.name, opened, manner=manner, shape=shape)


def _shape(agent: AgentSettings) -> RequestShape:
    """Return the changes to the agent's requests; the very `PLAIN` where there are none."""
    # Most models that reason refuse a temperature.
    unsaid = {"temperature"} if agent.effort is not None and "temperature" not in agent.mentions else set[str]()
    shape = RequestShape(
        headers=agent.headers,
        secret_headers=header_keys(agent),
        query=agent.query,
        body=agent.extra_body,
        rename=agent.rename,
        drop=frozenset(agent.drop),
        effort=agent.effort,
        unsaid=frozenset(unsaid),
    )
    return PLAIN if shape == PLAIN else shape


class _RunningEngines:
    """The engines of one pool: one for each weights file and context, shared by agents that use it."""

    def __init__(self, weights: WeightStore, how: Engines) -> None:
        self._weights = weights
        self._how = how
        self._engines: dict[tuple[str, int | None], LocalEngine] = {}
        self._users: dict[LocalEngine, int] = {}
        self._lock = asyncio.Lock()

    def of(
        self, agent: AgentSettings
    ) -> tuple[Callable[[], Awaitable[Address]], Callable[[], Awaitable[None]], Callable[[Address], bool]]:
        """Return three functions, for an agent's engine.

        One starts it and returns its address, one releases it, and one says whether it still answers at an address: it
        may have died, and been started again for another agent.
        """
        if agent.local is not None:
            _embedded(agent, agent.local)
        key = (agent.local or str(agent.gguf), agent.context)

        async def locate() -> Address:
            async with self._lock:
                if key not in self._engines:
                    self._engines[key] = LocalEngine(
                        await self._file(agent),
                        context=agent.context,
                        parallel=self._how.parallel,
                        alone=self._how.turns,
                        server=self._how.server,
                    )
                engine = self._engines[key]
                endpoint = await engine.start()
                self._users[engine] = self._users.get(engine, 0) + 1
                return Address(base_url=endpoint.base_url, model=key[0], api_key=endpoint.api_key)

        async def release() -> None:
            async with self._lock:
                engine = self._engines[key]
                self._users[engine] -= 1
                if self._users[engine] == 0:
                    await engine.aclose()
                    del self._engines[key]

        def alive(address: Address) -> bool:
            engine = self._engines.get(key)
            now = None if engine is None else engine.endpoint
            return now is not None and (now.base_url, now.api_key) == (address.base_url, address.api_key)

        return locate, release, alive

    async def _file(self, agent: AgentSettings) -> Path:
        if agent.gguf is not None:
            return await asyncio.to_thread(check_gguf, agent.gguf)
        return await self._weights.fetch(agent.local or "")
