"""`sale.toml` and the environment to typed, frozen settings. The only reader of the environment.

Where settings come from, the first that exists: the path given, `$SALE_CONFIG`, `./sale.toml`, `sale.toml` in the
user's configuration directory, and the `sale.toml` shipped with the package (the embedded pool). Files are not merged:
one file says everything, so what is in force can be read in one place. Unknown keys are refused.

Secrets are never in the file: an agent names the environment variable that holds its key.
"""

from __future__ import annotations

import difflib
import os
import shutil
import tomllib
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from sale.errors import ConfigError
from sale.types import AuctionRules, Caps, JuryMode
from sale.types.mcp import McpRules, check_servers
from sale.types.search import SearchRules

APP = "sale"
FILE = "sale.toml"

# Strict: TOML has types of its own, so `true` or `"5"` where a number belongs is a mistake.
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Weight = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Positive = Annotated[int, Field(gt=0, strict=True)]


class _Section(BaseModel):
    # Inputs stay out of Pydantic's own messages: a key written in the wrong place must not end up in a traceback.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class PriceSettings(_Section):
    """Dollars per million tokens."""

    input: Dollars
    """For what the model reads."""
    output: Dollars
    """For what it writes."""
    blended: Dollars | None = None
    """π(a), the figure bids are costed with. Three parts input and one part output unless given."""


class AgentSettings(_Section):
    """One agent of the pool. Exactly one of `local`, `gguf` and `endpoint` says how its model is reached."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$", max_length=64)]
    """How the market calls it; unique in the pool."""
    local: str | None = None
    """A model of the embedded catalogue, by its id; `sale models list` shows them."""
    gguf: Path | None = None
    """A GGUF file of your own, run on this machine."""
    endpoint: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """Base URL of any OpenAI-compatible endpoint, usually ending in `/v1`."""
    model: str | None = None
    """The model's name at its endpoint; required with `endpoint`."""
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """The environment variable that holds the endpoint's key. Keys are never written in this file."""
    price: PriceSettings | None = None
    """Dollars per million tokens: one number, or `{ input, output, blended }`. Looked up where an endpoint's price is
    public; required otherwise."""
    execution: Literal["direct", "tools", "steps", "repair"] = "direct"
    """How it works when it wins: `direct`, one answer; `tools`, a loop with the tools of `[tools]`; `steps`, the same
    one JSON step at a time, for models that know no tool calls; `repair`, an answer whose code is tried on the examples
    in the task, and corrected while that helps."""
    follow_strategy: bool = True
    """Whether it is shown its winning strategy while it works."""
    judge: bool = True
    """Whether it sits on the jury."""
    logprobs: Annotated[int, Field(ge=0, le=20, strict=True)] = 20
    """How many alternatives per token to ask for; 0 where the endpoint offers none (entropy is then left out)."""
    json_schema: bool = True
    """Whether the endpoint can hold an answer to a JSON schema."""
    temperature: Annotated[float, Field(ge=0, le=2, strict=True)] = 0.0
    """Sampling temperature of bids, judgements and work."""
    answer_tokens: Positive = 1024
    """The longest answer, in tokens; in a tool loop, the longest of each turn."""
    context: Positive | None = None
    """Tokens one call may take, for a `local` or `gguf` model; 8192 unless given, never more than it was trained on."""
    seconds: Seconds = 600.0
    """The longest an execution may take."""
    turns: Positive = 12
    """The most model calls of one tool loop; with `repair`, the most answers."""
    mcp: tuple[str, ...] | None = None
    """Which MCP tools it may use with `execution = "tools"`: names of servers, or `server.tool`. All unless given."""
    samples: Positive = 1
    """The most answers it works out for one task. The one that most of them agree on counts; for code, the one with
    which most of the examples in the task hold. It stops as soon as more answers cannot change that."""

    @field_validator("price", mode="before")
    @classmethod
    def _one_number(cls, value: object) -> object:
        return {"input": value, "output": value, "blended": value} if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _one_way(self) -> AgentSettings:
        ways = [way for way in ("local", "gguf", "endpoint") if getattr(self, way) is not None]
        if len(ways) != 1:
            raise ValueError(f"exactly one of local, gguf and endpoint is needed, got {', '.join(ways) or 'none'}")
        if self.endpoint is not None and self.model is None:
            raise ValueError("an endpoint needs the name of a model")
        if self.endpoint is None and (self.model or self.api_key_env):
            raise ValueError("model and api_key_env go with endpoint only")
        if self.endpoint is None and self.price is None:
            raise ValueError("a price is needed: price = 0.05, in dollars per million tokens")
        return self


class WeightSettings(_Section):
    """Weights of the auction, in place of the default prior. Costs are in micro-dollars."""

    cost: Annotated[Weight, Field(ge=0)] = 1.0
    """w_c, per micro-dollar of plan."""
    entropy: Weight = 0.0
    """w_h, per unit of normalised entropy; may be negative."""
    jurors: dict[str, Annotated[Weight, Field(ge=0)]]
    """w_j, per point, by agent name; agents left out weigh nothing."""


class MemorySettings(_Section):
    """The auction memory."""

    path: Path | None = None
    """The SQLite file; in the user's data directory by default."""
    enabled: bool = True
    """Off: nothing is recorded and nobody refines."""


class ToolSettings(_Section):
    """Tools of the environment, for agents that do not work directly."""

    python: bool = True
    """Run Python in the sandbox."""
    search: SearchRules | None = None
    """Search and read pages; a table of its own, `[tools.search]`. Off unless given."""
    mcp: tuple[McpRules, ...] = ()
    """MCP servers whose tools may be used, for `execution = "tools"`; each a table `[[tools.mcp]]`."""


class SandboxSettings(_Section):
    """Where code written by models runs."""

    unsafe_subprocess: bool = False
    """Where bubblewrap is missing, run code in a plain subprocess, which isolates NOTHING. Off: it is refused."""
    cpu_seconds: Positive = 10
    """CPU time of one run."""
    wall_seconds: Seconds = 15.0
    """Wall time of one run."""
    memory_mb: Positive = 512
    """Memory of one process."""


class Settings(_Section):
    """Everything `sale.toml` can say."""

    agents: tuple[AgentSettings, ...]
    """The pool."""
    auction: AuctionRules = AuctionRules()
    """How auctions are held."""
    weights: WeightSettings | None = None
    """Weights in place of the default prior."""
    memory: MemorySettings = MemorySettings()
    """The auction memory."""
    tools: ToolSettings = ToolSettings()
    """Tools of the environment."""
    sandbox: SandboxSettings = SandboxSettings()
    """Where code runs."""
    origin: Annotated[str, Field(exclude=True)] = "given"

    def with_jury(self, mode: JuryMode) -> Settings:
        """The same settings with another way for the jury to sit."""
        return self.model_copy(update={"auction": replace(self.auction, jury=mode)})

    @field_validator("agents")
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
        check_servers(self.tools.mcp, [agent.mcp for agent in self.agents])
        return self

    @model_validator(mode="after")
    def _known_jurors(self) -> Settings:
        if self.weights is not None:
            unknown = sorted(set(self.weights.jurors) - {agent.name for agent in self.agents if agent.judge})
            if unknown:
                raise ValueError(f"weights name jurors that are not on the jury: {', '.join(unknown)}")
        return self


def load(path: Path | None = None) -> Settings:
    """Read the settings in force.

    Raises:
        ConfigError: The file is missing, is no TOML, or says something that cannot be; every fault is named.
    """
    found = find(path)
    if found is None:
        return parse(shipped(), origin="the embedded pool (no sale.toml found)")
    try:
        text = found.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("there is no such file", where=str(found), hint="`sale init` writes one.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(found)) from error
    return parse(text, origin=str(found), base=found.absolute().parent)


def find(path: Path | None = None) -> Path | None:
    """The file that is in force; `None` for the shipped one. A file that was asked for by name need not exist."""
    if path is not None:
        return path
    if named := os.environ.get("SALE_CONFIG"):
        return Path(named)
    for candidate in (Path(FILE), platformdirs.user_config_path(APP) / FILE):
        if candidate.is_file():
            return candidate
    return None


def shipped() -> str:
    """The text of the `sale.toml` in the package: the embedded pool."""
    return files("sale").joinpath(FILE).read_text(encoding="utf-8")


def parse(text: str, *, origin: str = "given", base: Path | None = None) -> Settings:
    """Settings from TOML text; relative paths in it are relative to `base`.

    Raises:
        ConfigError: As for `load`.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"not valid TOML: {error}", where=origin) from error
    if "origin" in document:
        raise ConfigError("unknown key 'origin'", where=origin)
    try:
        settings = Settings.model_validate({**document, "origin": origin})
    except ValidationError as error:
        raise ConfigError(_faults(error), where=origin, hint="docs/configuration.md lists every key.") from error
    try:
        return _anchored(settings, base) if base else settings
    except RuntimeError as error:  # ~somebody
        raise ConfigError(f"no such user in a path: {error}", where=origin) from error


def _anchored(settings: Settings, base: Path) -> Settings:
    """Paths in a file are relative to the file, wherever the program is started."""
    agents = tuple(
        agent.model_copy(update={"gguf": base / agent.gguf.expanduser()}) if agent.gguf else agent
        for agent in settings.agents
    )
    memory = settings.memory
    if memory.path:
        memory = memory.model_copy(update={"path": base / memory.path.expanduser()})
    tools = settings.tools
    if tools.search and tools.search.corpus:
        search = replace(tools.search, corpus=base / tools.search.corpus.expanduser())
        tools = tools.model_copy(update={"search": search})
    return settings.model_copy(update={"agents": agents, "memory": memory, "tools": tools})


def api_key(agent: AgentSettings) -> SecretStr | None:
    """The agent's key, from the environment variable it names.

    Raises:
        ConfigError: The variable is not set.
    """
    return _secret(agent.api_key_env, f"agent {agent.name!r}", "remove the agent from sale.toml")


def search_key(search: SearchRules) -> SecretStr | None:
    """The search provider's key, from the environment variable the settings name.

    Raises:
        ConfigError: The variable is not set.
    """
    return _secret(search.api_key_env, "[tools.search]", "take another provider")


def mcp_secrets(server: McpRules) -> tuple[dict[str, str], SecretStr | None]:
    """The environment an MCP server is given, and its token.

    Raises:
        ConfigError: A variable is not set.
    """
    where = f"[[tools.mcp]] {server.name!r}"
    named = {name: secret for name in server.env if (secret := _secret(name, where, "leave it out"))}
    return {name: one.get_secret_value() for name, one in named.items()}, _secret(
        server.token_env, where, "leave it out"
    )


def _secret(variable: str | None, where: str, otherwise: str) -> SecretStr | None:
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        raise ConfigError(
            f"the environment variable {variable} is not set", where=where, hint=f"export {variable}=…, or {otherwise}."
        )
    return SecretStr(value)


def is_set(variable: str) -> bool:
    """Whether an environment variable has a value; `sale init` looks for keys with it."""
    return bool(os.environ.get(variable))


def memory_path(settings: Settings) -> Path:
    """The memory's file: from the settings, `$SALE_MEMORY`, or the user's data directory."""
    if settings.memory.path is not None:
        return settings.memory.path
    if named := os.environ.get("SALE_MEMORY"):
        return Path(named)
    return platformdirs.user_data_path(APP) / "memory.sqlite3"


def models_path() -> Path:
    """Where weights are kept: `$SALE_MODELS`, or the user's cache directory."""
    if named := os.environ.get("SALE_MODELS"):
        return Path(named)
    return platformdirs.user_cache_path(APP) / "models"


def llama_server() -> Path | None:
    """A llama.cpp server of the user's own for embedded models: `$SALE_LLAMA_SERVER`, or `None` for the wheel's.

    Raises:
        ConfigError: It is named, and is no program.
    """
    named = os.environ.get("SALE_LLAMA_SERVER")
    if not named:
        return None
    found = shutil.which(named)
    if found is None:
        hint = "Give the path of a llama-server you have built, or unset it to use the one that came with sale."
        raise ConfigError(f"{named!r} is no program that can be run", where="SALE_LLAMA_SERVER", hint=hint)
    return Path(found).absolute()


def corpora_path() -> Path:
    """Where the vectors of searched passages are kept."""
    return platformdirs.user_cache_path(APP) / "corpora"


def _faults(error: ValidationError) -> str:
    return "; ".join(dict.fromkeys(_fault(fault) for fault in error.errors())) + "."


def _fault(fault: ErrorDetails) -> str:
    """One fault as `agents.1.prize: unknown key; did you mean 'price'?`."""
    steps = [str(part + 1) if isinstance(part, int) else part for part in fault["loc"]]
    where = ".".join(steps) or "the file"
    if fault["type"] not in {"extra_forbidden", "unexpected_keyword_argument"}:
        if "api_key_env" in steps:  # most likely the key itself, which must not end up in a log
            return f"{where}: must be the name of an environment variable, not the key"
        message = fault["msg"].removeprefix("Value error, ")
        value: object = fault["input"]
        shown = f" (got {value!r})" if isinstance(value, str | int | float | bool) else ""
        return f"{where}: {message}{shown}"
    key = steps[-1] if steps else ""
    if key in {"api_key", "key", "token"}:
        return f"{where}: keys are never in the file; name the environment variable in api_key_env"
    near = difflib.get_close_matches(key, _KEYS, n=1)
    advice = f"; did you mean {near[0]!r}?" if near else ""
    return f"{where}: unknown key{advice}"


_KEYS = sorted(
    {
        name
        for section in (Settings, AgentSettings, PriceSettings, WeightSettings, MemorySettings, ToolSettings)
        for name in section.model_fields
    }
    | set(SandboxSettings.model_fields)
    | {field.name for rules in (AuctionRules, Caps, SearchRules, McpRules) for field in fields(rules)}
)
