"""The agents of `sale.toml`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, cast
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from sale import extensions
from sale.config.sections import (
    HEADER_NAME,
    Dollars,
    Options,
    Positive,
    Seconds,
    Section,
    Variable,
    gather_options,
    is_address,
)
from sale.config.tools import ToolSettings
from sale.types.labels import read_labels
from sale.types.tools import Budget

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""The reasoning effort of a model, from the least to the most."""


class PriceSettings(Section):
    """Dollars per million tokens."""

    input: Dollars
    """For what the model reads."""
    output: Dollars
    """For what it writes."""
    blended: Dollars | None = None
    """π(a), the figure bids are costed with. Three parts input and one part output unless given."""
    cached: Dollars | None = None
    """For what the endpoint reads from its prompt cache. Half of `input` unless given."""


class AgentSettings(Section):
    """One agent of the pool.

    Exactly one of `local`, `gguf`, `endpoint` and `provider` says how its model is reached; a `command`, a `function`
    or a `kind` in their place is an agent of its own making.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$", max_length=64)]
    """Its name in the market; unique in the pool."""
    local: str | None = None
    """A model of the embedded catalogue, by its id; `sale models list` shows them."""
    gguf: Path | None = None
    """A GGUF file of your own, run on this machine."""
    endpoint: Annotated[str, Field(pattern=extensions.ADDRESS)] | None = None
    """Base URL of any OpenAI-compatible endpoint, usually ending in `/v1`."""
    provider: str | None = None
    """The provider of the model, by a protocol of its own: `anthropic`, `google`, `bedrock` and
    [others](native-models.md), a provider of an installed package, or `package.module:Name`. It may stand before the
    model, `model = "anthropic:claude-haiku-4-5"`. Keys of the table that are not named here are the provider's."""
    base_url: Annotated[str, Field(pattern=extensions.ADDRESS)] | None = None
    """With `provider`: in place of its own address."""
    model: str | None = None
    """The model's name at its endpoint or provider; required with either."""
    api_key_env: Variable | None = None
    """The environment variable that holds the key of the endpoint or provider. Keys are never written in this file.
    Unless given, a provider reads its usual variable, `ANTHROPIC_API_KEY` say."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Headers sent with each request to the endpoint or provider."""
    headers_env: dict[str, Variable] = Field(default_factory=dict)
    """Headers whose value is a key: the environment variable that holds it, `{ api-key = "AZURE_KEY" }`."""
    query: dict[str, str] = Field(default_factory=dict)
    """With `endpoint`: what is added to the address after `?`, `{ api-version = "2024-10-21" }`."""
    extra_body: Options = Field(default_factory=dict)
    """Further fields of each request's body, `{ reasoning_effort = "low" }`."""
    labels: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    """Labels that can be [required](gateway.md#requirements) of it: `{ region = "eu", retention = "none" }`; several
    values as a list. You vouch for them, tools and all. Upper and lower case are the same."""
    effort: Effort | None = None
    """Reasoning effort of its model, in each of its calls: `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or
    `max`, as far as the model knows them. Thoughts count within the longest answer. With `endpoint` it is sent as
    `reasoning_effort`, with `provider` as that provider wants it. `temperature` is then left out unless given."""
    efforts: tuple[Effort, ...] = ()
    """Several efforts in place of one: each makes [an agent of its own](native-models.md#one-model-several-agents),
    `name-low` and `name-high` of `["low", "high"]`, with all other settings of the table."""
    modes: dict[str, Options] = Field(default_factory=dict)
    """Further settings by mode, a table `[agents.modes]`: each mode makes an agent of its own, `name-q4` and `name-q8`
    of `{ q4 = { model = "…" }, q8 = { model = "…" } }`. What a mode says stands in place of what the table says."""
    rename: dict[str, str] = Field(default_factory=dict)
    """With `endpoint`: fields of the body that it knows by another name, `{ max_tokens = "max_completion_tokens" }`."""
    drop: tuple[str, ...] = ()
    """Fields it does not take, `["temperature"]`; they are left out. Without `max_tokens` nothing bounds an answer."""
    refuses: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ...] = ()
    """Things that a client's request may not have for this agent to be
    [asked in the gateway](gateway.md#what-agents-can-take): `images`, `audio`, `video`, `files`, `tools`, `schema`,
    `developer` (the role), or a field by its name, `["images", "temperature"]`. `sale doctor` finds these out. What can
    be left out of a request belongs in `drop`."""
    command: tuple[str, ...] | None = None
    """A program and its arguments: the prompt goes in on standard input, or where an argument says `{task}`, and what
    it writes is the answer. It is not sandboxed."""
    kind: str | None = None
    """An agent of an installed package, by its name, or `package.module:Name`. It takes `name`, `price`, `seconds` and
    `follow_strategy`, and every other key of the table is its own."""
    options: Options = Field(default_factory=dict)
    """Own settings of a `kind` or a `provider`: every other key of the table."""
    function: Annotated[str, Field(pattern=f"^{extensions.PATH}$")] | None = None
    """`package.module:name`: an async function of the task and the winning plan, or an object with two, `bid` and
    `execute`."""
    plan: str | None = None
    """Its bid for every task, in steps: at least one line that begins with `1.`, `-` or the like. Without one a
    `command` is asked for its plan, and a `function` must have a `bid`."""
    env: tuple[str, ...] = ()
    """The environment variables a `command` is given, by name; it sees no others."""
    directory: Path | None = None
    """Where a `command` works: an empty directory of its own, removed afterwards, unless given."""
    price_per_task: Dollars | None = None
    """Price of one execution of a `command`, in dollars. Required, unless it reports its usage."""
    reports_usage: Annotated[bool, Field(strict=True)] = False
    """With `true`, the last line a `command` writes is JSON with its usage: `{"usage": {"input_tokens": 120,
    "output_tokens": 40}}`, or `{"usage": {"dollars": 0.002}}`."""
    price: PriceSettings | None = None
    """Dollars per million tokens: one number, or a table, `{ input = 1.25, output = 10.0 }`, with `blended` and
    `cached` where they differ from what is usual. Where an endpoint's price is public it is looked up in the installed
    package `genai-prices`, at its lowest tier, and `pip install -U genai-prices` brings newer ones. Required
    otherwise."""
    execution: Literal["auto", "direct", "tools", "steps", "choose", "consult", "repair"] = "auto"
    """The way it works when it wins: `auto`, for an embedded model the way that makes most of `[tools]` where they are
    asked for, and for all else `direct`; `direct`, one answer; `tools`, a loop with the tools of `[tools]`; `steps`,
    the same one JSON step at a time, for models that know no tool calls; `choose`, steps of two calls: which tool, then
    its inputs; `consult`, steps after one search with the task's own words, and with `turns = 1` one answer from what
    was found; `repair`, an answer whose code is tried on the examples in the task, and corrected while that helps."""
    tools: ToolSettings | None = None
    """Its own tools and documents, `[agents.tools]`, in place of those of the pool: two agents of one model with
    different passages are two contractors."""
    look: Annotated[int, Field(ge=0, le=3, strict=True)] = 0
    """Number of read-only calls of its tools that are made for it before it bids, with the task's own words: a search
    of its passages, of a repository, a tool of an MCP server that says it only reads. The results stand in its bid."""
    follow_strategy: bool = True
    """With `true`, it is shown its winning strategy while it works."""
    judge: bool = True
    """With `true`, it sits on the jury. Where there is a table `[[jurors]]`, an agent that does not say so does not."""
    logprobs: Annotated[int, Field(ge=0, le=20, strict=True)] = 20
    """Number of alternatives per token to ask for; 0 where the endpoint offers none (entropy is then left out)."""
    json_schema: bool = True
    """With `true`, the endpoint can hold an answer to a JSON schema."""
    temperature: Annotated[float, Field(ge=0, le=2, strict=True)] = 0.0
    """Sampling temperature of bids, judgements and work."""
    answer_tokens: Positive = 1024
    """The longest answer, in tokens; in a tool loop, the longest of each turn."""
    context: Positive | None = None
    """Tokens one call may take. For a `local` or `gguf` model 8192 unless given, never more than it was trained on. In
    the gateway, longer requests, by an estimate, go to agents that take more, as far as there are any."""
    seconds: Seconds = 600.0
    """The longest an execution may take."""
    budget: Budget | None = None
    """Limits of one execution, any of `{ tokens = 20000, dollars = 0.01, seconds = 120.0, calls = 30 }`, on models and
    tools together. Where it comes to its end the agent is asked for its answer, and the result says so."""
    turns: Positive = 12
    """The most model calls of one tool loop; with `repair`, the most answers."""
    mcp: tuple[str, ...] | None = None
    """Which MCP tools it may use with `execution = "tools"`: names of servers, or `server.tool`. All unless given."""
    requests_per_minute: Positive | None = None
    """The most requests a minute that all processes of `sale batch` on one memory together send to its model. Agents
    of one endpoint or provider, model and key share the limit: the lowest that one of them names. None unless given."""
    tokens_per_minute: Positive | None = None
    """The same for tokens read and written. A request counts with the most it can take until its usage is known.
    `sale serve` keeps to it, too, each agent by itself: one whose minute is used up is not asked, and another one is.
    Bids and points are not counted there."""
    batch: Literal["openai"] | None = None
    """With `endpoint`: in `sale batch` it is asked by the [batch API](scale.md#by-batch-apis) of its endpoint, which
    takes up to a day: `openai`, the API of OpenAI, which many hosts have as well. None unless given."""
    batch_discount: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.5
    """The share of its price by which that is cheaper."""
    samples: Positive = 1
    """The most answers it works out for one task. The one that most of them agree on counts; for code, the one with
    which most of the examples in the task hold. It stops as soon as more answers cannot change that."""

    @model_validator(mode="before")
    @classmethod
    def _own_keys(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        table = dict(cast("Mapping[str, object]", value))
        model = table.get("model")
        if isinstance(model, str) and ":" in model and not table.keys() & set(_WAYS):
            table["provider"], _, table["model"] = model.partition(":")
        if table.get("kind") is not None:
            return gather_options(table, OF_KINDS)
        return gather_options(table, cls.model_fields, misspelt=True) if table.get("provider") is not None else table

    @field_validator("labels")
    @classmethod
    def _are_labels(cls, labels: dict[str, str | tuple[str, ...]]) -> dict[str, str | tuple[str, ...]]:
        read_labels(labels)
        return labels

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str | None) -> str | None:
        return None if kind is None else extensions.check_name("agents", kind)

    @field_validator("provider")
    @classmethod
    def _known_provider(cls, provider: str | None) -> str | None:
        return None if provider is None else extensions.check_name("models", provider)

    @field_validator("price", mode="before")
    @classmethod
    def _one_number(cls, value: object) -> object:
        if value is None or isinstance(value, Mapping | PriceSettings):
            return cast("object", value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ValueError("must be a number, 0 or more, or { input = …, output = … }")
        return {"input": value, "output": value, "blended": value}

    @property
    def has_model(self) -> bool:
        """True where it is a language model that the market reaches itself."""
        return self.command is None and self.function is None and self.kind is None

    @property
    def juror(self) -> bool:
        """True where it can sit on the jury. An agent of a `kind` says itself whether it does."""
        return self.judge and (self.has_model or self.kind is not None)

    @model_validator(mode="after")
    def _one_way(self) -> AgentSettings:
        ways = [way for way in _WAYS if getattr(self, way) is not None]
        if len(ways) != 1:
            named = ", ".join(_WAYS[:-1])
            raise ValueError(f"exactly one of {named} and {_WAYS[-1]} is needed, got {', '.join(ways) or 'none'}")
        if self.endpoint is not None and self.model is None:
            raise ValueError("an endpoint needs the name of a model")
        for name in ("endpoint", "base_url"):
            if (address := getattr(self, name)) is not None and not is_address(address):
                raise ValueError(
                    f"{name} is no address: write http://host:8000/v1, with a host and no port above 65535"
                )
        if self.endpoint is not None and urlsplit(self.endpoint).username is not None:
            raise ValueError("an endpoint's address holds no user or password; name the key's variable in api_key_env")
        if self.provider is not None and self.model is None:
            raise ValueError("a provider needs the name of a model")
        listed = self.endpoint is not None or self.provider is not None
        if not listed and (self.model or self.api_key_env):
            raise ValueError("model and api_key_env go with endpoint or provider only")
        if not listed and self.price is None:
            raise ValueError("a price is needed: price = 0.05, in dollars per million tokens")
        return self

    @model_validator(mode="after")
    def _requests(self) -> AgentSettings:
        """Refuse changes to requests that cannot be made, and headers that hold a key."""
        given = self.mentions
        if self.endpoint is None and (idle := sorted(given & _OF_ENDPOINTS)):
            raise ValueError(f"{', '.join(idle)} goes with endpoint only")
        if self.endpoint is None and self.provider is None and (idle := sorted(given & _OF_REQUESTS)):
            raise ValueError(f"{', '.join(idle)} goes with endpoint or provider only")
        if self.provider is not None and self.refuses:
            raise ValueError(
                "refuses goes with endpoint, local and gguf only; a provider's agent calls no client's tools"
            )
        if self.provider is None and self.base_url is not None:
            raise ValueError("base_url goes with provider only; an endpoint is its own address")
        if keys := sorted(name for name in self.headers if _HOLDS_KEYS.fullmatch(name)):
            raise ValueError(f"keys are never in the file; name the variables in headers_env: {', '.join(keys)}")
        if bad := sorted(name for name in {**self.headers, **self.headers_env} if not HEADER_NAME.fullmatch(name)):
            raise ValueError(f"no names of headers: {', '.join(map(repr, bad))}")
        if bad := sorted(name for name, value in self.headers.items() if not (value.isascii() and value.isprintable())):
            raise ValueError(f"headers hold a sign that cannot be sent: {', '.join(bad)}")
        changed = {*self.extra_body, *self.rename, *self.rename.values(), *self.drop}
        if ours := sorted(changed & _PROTECTED):
            raise ValueError(f"{', '.join(ours)} of a request cannot be changed")
        return self

    @model_validator(mode="after")
    def _jobs(self) -> AgentSettings:
        """Refuse what a batch API cannot be used for."""
        if self.batch is None and "batch_discount" in self.mentions:
            raise ValueError("batch_discount goes with batch only")
        if self.batch is not None and self.execution not in {"auto", "direct"}:
            raise ValueError('batch goes with execution = "direct" only: each further turn would take up to a day')
        return self

    @model_validator(mode="after")
    def _one_agent(self) -> AgentSettings:
        """Refuse what makes several agents where one is made: `Settings` has made them of their table before."""
        if self.efforts or self.modes:
            raise ValueError("efforts and modes make several agents of a table in [[agents]]; one agent has an effort")
        if "reasoning_effort" in self.extra_body and self.effort is not None:
            raise ValueError("effort and extra_body both give a reasoning_effort; effort alone says it")
        return self

    @model_validator(mode="after")
    def _means_something(self) -> AgentSettings:
        """Refuse settings that an agent of this kind would ignore."""
        given = self.mentions
        if idle := sorted(given & (_OF_MODELS if not self.has_model else _OF_OTHERS)):
            kind = "a command, a function or a kind" if not self.has_model else "a model"
            raise ValueError(f"{', '.join(idle)} cannot be said of {kind}")
        if self.function is not None and self.budget is not None:
            raise ValueError("budget cannot be said of a function, whose calls nobody sees; seconds can")
        if self.command is None:
            if idle := sorted(given & _OF_COMMANDS):
                raise ValueError(f"{', '.join(idle)} goes with command only")
            return self
        if not self.command or not self.command[0].strip():
            raise ValueError("the command is empty; name a program")
        if self.price_per_task is None and not self.reports_usage:
            raise ValueError("price_per_task is needed, in dollars: a program does not say what it spends")
        if any(not _VARIABLE.fullmatch(name) for name in self.env):
            raise ValueError("env holds names of environment variables, not their values")
        return self


STEP_WAYS = frozenset({"steps", "choose", "consult"})
"""Ways to work one JSON step at a time."""
TOOL_WAYS = STEP_WAYS | {"tools"}
"""Ways to work with tools."""
_WAYS = ("local", "gguf", "endpoint", "provider", "command", "function", "kind")
OF_KINDS = frozenset({"name", "kind", "price", "seconds", "follow_strategy", "options", "labels"})
"""Settings that every agent of a `kind` may have."""
_OF_ENDPOINTS = frozenset({"batch", "batch_discount", "query", "rename"})
_OF_REQUESTS = frozenset({"headers", "headers_env", "extra_body", "drop", "effort"})
_PROTECTED = frozenset({"messages", "model", "stream", "tools"})
"""Fields of a request that the market itself fills."""
_HOLDS_KEYS = re.compile(
    r"(proxy-)?authorization|cookie|.*(api|auth|access|subscription).?(key|token).*", re.IGNORECASE
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_COMMANDS = frozenset({"env", "directory", "price_per_task", "reports_usage"})
_OF_OTHERS = frozenset({"plan"})
_OF_MODELS = frozenset(
    {
        "execution",
        "judge",
        "logprobs",
        "json_schema",
        "temperature",
        "answer_tokens",
        "context",
        "refuses",
        "turns",
        "mcp",
        "samples",
        "tools",
        "look",
        "requests_per_minute",
        "tokens_per_minute",
    }
)
