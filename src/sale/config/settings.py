"""Everything `sale.toml` can say, as frozen settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

from pydantic import Field, ValidatorFunctionWrapHandler, field_validator, model_validator

from sale.config.agents import AgentSettings
from sale.config.jurors import JurorSettings
from sale.config.own import BenchSettings, LearningSettings, VerifierSettings
from sale.config.sections import Positive, Seconds, Section, Weight
from sale.config.server import ServerSettings
from sale.config.tools import ToolSettings
from sale.config.variants import expand_agents
from sale.config.workspace import WorkspaceSettings
from sale.types import AuctionRules, Holding, JuryMode, Weights
from sale.types.mcp import check_servers

SERVED_ALLOWANCE = 0.05
"""Share of the money that auctions of the gateway may take, unless the settings say."""


class WeightSettings(Section):
    """Weights of the auction, in place of the default prior. Costs are in micro-dollars."""

    cost: Annotated[Weight, Field(ge=0)] = 1.0
    """w_c, per micro-dollar of plan."""
    entropy: Weight = 0.0
    """w_h, per unit of normalised entropy; may be negative."""
    jurors: dict[str, Annotated[Weight, Field(ge=0)]]
    """w_j, per point, by agent name; agents left out weigh nothing."""
    track: Annotated[Weight, Field(ge=0)] = 0.0
    """Gain of V per unit of the agent's success rate on like tasks above one half; 0 is the published rule."""

    def as_weights(self, source: str) -> Weights:
        """As the auction takes them."""
        return Weights(cost=self.cost, entropy=self.entropy, jurors=self.jurors, track=self.track, source=source)


class MemorySettings(Section):
    """The auction memory."""

    path: Path | None = None
    """The SQLite file; in the user's data directory by default."""
    url: str | None = Field(default=None, repr=False)
    """In place of a file: a database on a PostgreSQL server, `postgresql://user@host:5432/name`, for several machines.
    The password is better left out: `PGPASSWORD` and `~/.pgpass` are heeded. Needs the `postgres` extra."""
    enabled: bool = True
    """On, it needs the `local` extra for its embeddings. Off: nothing is recorded and bids are not refined."""
    share: Annotated[bool, Field(strict=True)] | tuple[str, ...] = False
    """Tenants whose tasks and plans may be shown to other tenants' agents: none, all (`true`), or those named, to each
    other (`["team", "lab"]`). Each key of the gateway is a tenant of its own unless told."""
    share_statistics: bool = True
    """With `true`, an agent's track record counts its work for all tenants. These are numbers, without any text."""
    max_auctions: Positive | None = None
    """When more are on record, the oldest are compacted until four fifths of this are left: of like auctions one stays
    whole, of the others what the work of each agent came to. Their records go to `archive`. Unless given, all stay."""
    max_megabytes: Annotated[int, Field(ge=10, strict=True)] | None = None
    """The same by the room on the disk; the tables are then written anew, during which others wait."""
    half_life_days: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 365.0
    """Work in auctions that were compacted counts half as much after so many days, a quarter after twice as many.
    0: it always counts in full."""
    archive: Path | None = None
    """The folder for records that are compacted, in the format of `sale memory export`; `archive` beside the memory's
    file by default, or where that would be."""

    @field_validator("share", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        if not isinstance(value, bool | list | tuple):
            raise ValueError('must be true, false or a list of tenants, ["team", "lab"]')
        return cast("object", value)


class SandboxSettings(Section):
    """Where code written by models runs."""

    unsafe_subprocess: bool = False
    """Where bubblewrap is missing, run code in a plain subprocess, which isolates NOTHING. Off: it is refused."""
    cpu_seconds: Positive = 10
    """CPU time of one run."""
    wall_seconds: Seconds = 15.0
    """Wall time of one run."""
    memory_mb: Positive = 512
    """Memory of one process."""


class Settings(Section):
    """Everything `sale.toml` can say.

    `model_dump()` can be validated again. With `exclude_unset=True` it also keeps that a default was asked for, which
    counts for `judge`, `python` and `temperature`.
    """

    agents: tuple[AgentSettings, ...]
    """The pool."""
    auction: AuctionRules = AuctionRules()
    """The rules of auctions."""
    jurors: tuple[JurorSettings, ...] = ()
    """The jurors of bids, each a table `[[jurors]]`. Where there are any, an agent judges only where it says `judge =
    true`. Unless given, every agent judges, as `auction.jury` says."""
    weights: WeightSettings | None = None
    """Weights in place of the default prior."""
    memory: MemorySettings = MemorySettings()
    """The auction memory."""
    tools: ToolSettings = ToolSettings()
    """Tools of the environment."""
    sandbox: SandboxSettings = SandboxSettings()
    """Where code runs."""
    workspace: WorkspaceSettings = WorkspaceSettings()
    """Copies of repositories that agents work in."""
    server: ServerSettings = ServerSettings()
    """The gateway and its dashboard."""
    verifier: VerifierSettings | None = None
    """Settings of the verifier that checks answers where no other is given."""
    learning: LearningSettings = LearningSettings()
    """Settings of fitting weights."""
    bench: BenchSettings = BenchSettings()
    """Settings of the bench: the routers that it compares with."""
    origin: Annotated[str, Field(exclude=True)] = "given"

    def under(self, *, jury: JuryMode | None = None, hold: Holding | None = None) -> Settings:
        """The same settings under other rules, where any are given."""
        rules = replace(self.auction, jury=jury or self.auction.jury, hold=hold or self.auction.hold)
        return self.model_copy(update={"auction": rules})

    @property
    def served(self) -> Settings:
        """As `sale serve` takes them: auctions have an allowance."""
        if self.auction.allowance is not None:
            return self
        return self.model_copy(update={"auction": replace(self.auction, allowance=SERVED_ALLOWANCE)})

    @field_validator("agents", mode="wrap")
    @classmethod
    def _expanded(cls, given: object, validate: ValidatorFunctionWrapHandler) -> tuple[AgentSettings, ...]:
        return cls._unique(expand_agents(given, validate))

    @classmethod
    def _unique(cls, agents: tuple[AgentSettings, ...]) -> tuple[AgentSettings, ...]:
        if not agents:
            raise ValueError("the pool is empty; name at least one agent")
        names = [agent.name for agent in agents]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"agents share a name: {', '.join(twice)}")
        return agents

    @model_validator(mode="after")
    def _known_servers(self) -> Settings:
        check_servers(self.tools.mcp, [agent.mcp for agent in self.agents if agent.tools is None])
        for agent in self.agents:
            if agent.tools is not None:
                check_servers(agent.tools.mcp, [agent.mcp])
        return self

    def judges(self, agent: AgentSettings) -> bool:
        """Return whether an agent scores bids by the rubric: where jurors are named, only if it says so itself."""
        return agent.juror and (not self.jurors or "judge" in agent.mentions)

    @model_validator(mode="after")
    def _known_incumbent(self) -> Settings:
        name = self.auction.incumbent
        if name is not None and name not in {agent.name for agent in self.agents}:
            known = ", ".join(agent.name for agent in self.agents)
            raise ValueError(f"auction.incumbent names no agent of the pool: {name!r}; there are {known}")
        return self

    @model_validator(mode="after")
    def _one_jury(self) -> Settings:
        names = [juror.name for juror in self.jurors] + [agent.name for agent in self.agents if self.judges(agent)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"jurors share a name: {', '.join(twice)}")
        models = {agent.name for agent in self.agents if agent.has_model}
        if unknown := sorted({asked for juror in self.jurors if (asked := juror.asked_agent) is not None} - models):
            raise ValueError(f"jurors ask agents that are not there, or have no model: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _known_jurors(self) -> Settings:
        if self.weights is not None:
            judging = {agent.name for agent in self.agents if self.judges(agent)} | {one.name for one in self.jurors}
            unknown = sorted(set(self.weights.jurors) - judging)
            if unknown:
                raise ValueError(f"weights name jurors that are not on the jury: {', '.join(unknown)}")
        return self
