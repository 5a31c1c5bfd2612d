"""Models that are reached by their provider's own protocol, through Pydantic AI: `model = "anthropic:…"`.

A provider of models is a class or a function that makes a model of Pydantic AI. Those of Pydantic AI are made by
`native_model`; other packages add theirs as entry points of the group `sale.models`, or are named by a dotted path.

The clients of providers would send a request again after a lost connection, when the provider may have done the work
already and charge for it twice. So they are told not to retry where they can be told (Bedrock's cannot), and what was
refused (429, 5xx) or could not be sent is retried here.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import httpx2
from pydantic import SecretStr
from pydantic_ai.exceptions import UnexpectedModelBehavior, UserError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model as ToolModel
from pydantic_ai.models import ModelRequestParameters, infer_model
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.profiles.anthropic import ANTHROPIC_THINKING_BUDGET_MAP
from pydantic_ai.providers import infer_provider_class
from pydantic_ai.settings import ModelSettings

from sale.errors import CallError, ConfigError, MissingExtraError
from sale.extensions import make
from sale.models.address import RequestShape
from sale.models.asking import SamplingOptions, ask
from sale.models.connection import client_for
from sale.models.errors import to_call_error
from sale.models.protocol import GenerationRequest
from sale.types import Reply

EXTRAS = {"google-cloud": "google", "openai-chat": "openai", "openai-responses": "openai"}
"""Extras of Pydantic AI whose name is not that of the provider."""
OWN_EXTRAS = frozenset({"anthropic", "bedrock", "google", "groq", "mistral"})
"""Those that sale has an extra of the same name for."""
FIRST_WAIT = 0.5
"""Seconds before what was refused, or not sent, is sent again; twice as long each further time."""
MIN_SECRET_CHARACTERS = 8
ANTHROPIC = "anthropic"
MIN_BUDGET_TOKENS = 1024
"""The least budget of thoughts that Anthropic takes."""
_OURS = frozenset({"api_key", "base_url"})
_NOT_SAID = re.compile(r"^self$|client|secret|token|key|_options$")
"""Parameters of providers that are objects, or keys, which are never in the file."""


def native_model(
    provider: str,
    model: str,
    http_client: httpx2.AsyncClient | None = None,
    api_key: SecretStr | None = None,
    base_url: str | None = None,
    **options: object,
) -> ToolModel:
    """A model of a provider that Pydantic AI knows.

    Args:
        provider: Its name there.
        model: The model's name at the provider.
        http_client: What it asks with, where it can be told; the provider's own unless given.
        api_key: The key; the provider's own variable of the environment is read unless given.
        base_url: In place of the provider's own address.
        options: What else its class in Pydantic AI takes: `region_name` of `bedrock`, `api_version` of `azure`.

    Raises:
        MissingExtraError: Its client is not installed.
        ConfigError: It takes no such setting, or lacks one; a key, say.
    """
    try:
        kind = infer_provider_class(provider)
    except ImportError as error:
        extra = EXTRAS.get(provider, provider)
        ours = f"pip install 'sale[{extra}]'"
        hint = ours if extra in OWN_EXTRAS else f"pip install 'pydantic-ai-slim[{extra}]'"
        raise MissingExtraError(f"models of {provider!r} need a client that is not installed", hint=hint) from error
    parameters = inspect.signature(kind.__init__).parameters
    takes = [name for name in parameters if name in _OURS or not _NOT_SAID.search(name)]
    wanted = {"api_key": api_key.get_secret_value() if api_key else None, "base_url": base_url, **options}
    given = {name: value for name, value in wanted.items() if value is not None}
    if idle := sorted(given.keys() - set(takes)):
        there = ", ".join("api_key_env" if name == "api_key" else name for name in takes)
        raise ConfigError(f"{', '.join(idle)} cannot be said of {provider!r}", hint=f"It takes {there}.")
    if http_client is not None and "http_client" in parameters:
        given["http_client"] = http_client
    try:
        made = kind(**given)
        return infer_model(f"{provider}:{model}", provider_factory=lambda _: made)
    except ImportError as error:
        raise MissingExtraError(f"models of {provider!r} need a client that is not installed: {error}") from error
    except (UserError, ValueError, TypeError) as error:
        said = str(error).split(" To try Pydantic AI")[0]
        raise ConfigError(f"{provider!r} cannot be opened: {said}", hint="Name its key in api_key_env.") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class NativeClient:
    """A model of a provider, and the HTTP client it was given, if any."""

    model: ToolModel
    http_client: httpx2.AsyncClient | None

    async def aclose(self) -> None:
        """Close both, and the provider's own client."""
        await self.model.__aexit__(None, None, None)
        client: object = getattr(self.model.provider, "client", None)
        if callable(close := getattr(client, "close", None)) and inspect.isawaitable(done := close()):
            await done
        if self.http_client is not None:
            await self.http_client.aclose()


class NativeModel:
    """A model of a provider of models, made on first use.

    It may be used from one event loop after another: connections belong to a loop, so a new loop gets a new client.
    """

    def __init__(
        self, name: str, opened: Callable[[], NativeClient], *, manner: SamplingOptions, shape: RequestShape
    ) -> None:
        """Nothing is made yet.

        Args:
            name: The agent's name, for error messages.
            opened: Makes the model of Pydantic AI.
            manner: How to ask.
            shape: Headers and fields of the body to add; fields to leave out.
        """
        self._name = name
        self._opened = opened
        self._manner = manner
        self._shape = shape
        self._used: NativeClient | None = None
        self._model: ToolModel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def for_tools(self) -> ToolModel:
        """The model of Pydantic AI. What it raises are `CallError`s.

        Raises:
            SaleError: It cannot be made.
        """
        loop = asyncio.get_running_loop()
        if self._model is None or self._loop is not loop:
            self._loop, self._used = loop, self._opened()
            self._model = _Careful(self._used.model, self._name, self._manner, self._shape)
            await self._model.__aenter__()
        return self._model

    async def generate(self, request: GenerationRequest, /) -> Reply:
        """Ask once; see `Model.generate`."""
        model = await self.for_tools()
        if not cast("Mapping[str, object]", model.profile).get("supports_json_schema_output", False):
            request = replace(request, schema=None)
        return await ask(model, request, self._manner, agent=self._name)

    async def aclose(self) -> None:
        """Close its connections, if they belong to the running event loop."""
        used, self._used, self._model = self._used, None, None
        if used is not None and self._loop is asyncio.get_running_loop():
            await used.aclose()


class _Careful(WrapperModel):
    """Failures are ours, requests are shaped as the settings say, and an answer without usage is an error."""

    def __init__(self, wrapped: ToolModel, agent: str, manner: SamplingOptions, shape: RequestShape) -> None:
        super().__init__(wrapped)
        self._agent = agent
        self._manner = manner
        self._shape = shape
        self._hide = (*_keys_of(wrapped), *(one.get_secret_value() for one in shape.secret_headers.values()))

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask, and ask again where the request was refused for now or could not be sent."""
        settings = _shaped(model_settings or ModelSettings(), self._shape, self.wrapped.unsupported_settings)
        settings = _within_limit(settings, self.wrapped)
        for attempt in range(self._manner.retries):
            try:
                return await self._once(messages, settings, model_request_parameters)
            except CallError as error:
                if not error.resendable:
                    raise
                await asyncio.sleep(FIRST_WAIT * 2**attempt)
        return await self._once(messages, settings, model_request_parameters)

    async def _once(
        self, messages: list[ModelMessage], settings: ModelSettings, parameters: ModelRequestParameters
    ) -> ModelResponse:
        try:
            response = await self.wrapped.request(messages, settings, parameters)
            if response.usage.unmeasured_requests or (response.parts and response.usage.output_tokens == 0):
                raise UnexpectedModelBehavior("the provider reports no token usage, so nothing can be settled")
        except CallError:
            raise
        except Exception as error:  # noqa: BLE001  a client of any provider, which raises what it likes
            said = to_call_error(error, self._agent, self._hide)
            raise said from (None if any(secret in f"{error} {error!r}" for secret in self._hide) else error)
        return response


def _shaped(settings: ModelSettings, shape: RequestShape, unknown: frozenset[str]) -> ModelSettings:
    """A request's settings without what is to be dropped and what the provider does not know, plus what is added."""
    left_out = shape.drop | shape.unsaid | unknown
    given = {**settings, "max_retries": 0}
    kept = cast("dict[str, Any]", {name: value for name, value in given.items() if name not in left_out})
    if headers := shape.all_headers:
        kept["extra_headers"] = {**kept.get("extra_headers", {}), **headers}
    if shape.body:
        kept["extra_body"] = {**kept.get("extra_body", {}), **shape.body}
    if shape.effort is not None:
        kept["thinking"] = False if shape.effort == "none" else shape.effort
    return cast("ModelSettings", kept)


def _within_limit(settings: ModelSettings, model: ToolModel) -> ModelSettings:
    """Settings whose thoughts leave room for an answer, where a provider counts thoughts by a budget.

    Anthropic's older models refuse a budget that is not below `max_tokens`, and one of less than 1,024.
    """
    effort, most = settings.get("thinking"), settings.get("max_tokens")
    profile = cast("Mapping[str, object]", model.profile)
    if not effort or most is None or model.system != ANTHROPIC or profile.get("anthropic_supports_adaptive_thinking"):
        return settings
    rest = {name: value for name, value in settings.items() if name != "thinking"}
    budget = min(ANTHROPIC_THINKING_BUDGET_MAP[effort], most // 2)
    if budget >= MIN_BUDGET_TOKENS:
        rest["anthropic_thinking"] = {"type": "enabled", "budget_tokens": budget}
    return cast("ModelSettings", rest)


def _keys_of(model: ToolModel) -> tuple[str, ...]:
    """The keys a provider's client holds, which must not be in messages."""
    client = getattr(model.provider, "client", None)
    found = getattr(client, "api_key", None) or getattr(getattr(client, "_api_client", None), "api_key", None)
    return (found,) if isinstance(found, str) and len(found) >= MIN_SECRET_CHARACTERS else ()


def made_by(
    provider: str,
    model: str,
    *,
    api_key: SecretStr | None,
    base_url: str | None,
    options: Mapping[str, object],
    shape: RequestShape,
    where: str,
    common: Collection[str] = (),
) -> Callable[[], NativeClient]:
    """Return a function that makes the model of an agent.

    One is made at once, which connects to nothing, so that faults in its settings show.

    Args:
        provider: Its name, that of a package's entry point, or a dotted path.
        model: The model's name there.
        api_key: The key, where settings name its variable.
        base_url: In place of the provider's own address.
        options: The provider's own settings.
        shape: How requests are to differ.
        where: The part of the settings that names it, for the error.
        common: Keys that settings of any provider have, for advice on misspelt ones.

    Raises:
        ConfigError: The provider is not there, or is told what it does not take.
        MissingExtraError: Its client is not installed.
    """
    said = {"api_key": api_key, "base_url": base_url}
    wanted = {name: value for name, value in said.items() if value is not None} | dict(options)

    def opened() -> NativeClient:
        client = client_for(base_url, provider) if base_url is not None else None
        given = {"provider": provider, "model": model, "http_client": client}
        made = make("models", provider, ToolModel, given=given, options=wanted, where=where, common=common)
        asked = {"extra_headers": ("headers", shape.all_headers), "extra_body": ("extra_body", shape.body)}
        unknown = [asked[name][0] for name in sorted(asked.keys() & made.unsupported_settings) if asked[name][1]]
        if unknown:
            raise ConfigError(f"{', '.join(unknown)} cannot be said of {provider!r}", where=where, hint="Leave it out.")
        if shape.effort is not None and not cast("Mapping[str, object]", made.profile).get("supports_thinking"):
            raise ConfigError(
                f"effort cannot be said of {model!r} of {provider!r}, which does not reason as far as is known",
                where=where,
                hint="Leave it out, or give the field that the provider wants in extra_body.",
            )
        return NativeClient(model=made, http_client=client)

    ready = [opened()]
    return lambda: ready.pop() if ready else opened()
