"""Any OpenAI-compatible endpoint through Pydantic AI: hosted, Ollama, vLLM, or llama.cpp in this very process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from openai import AsyncOpenAI
from pydantic import SecretStr
from pydantic_ai.direct import model_request
from pydantic_ai.messages import ModelRequest, ModelResponse, SystemPromptPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider

from sale.errors import BadReplyError
from sale.models.errors import mapped
from sale.models.logprobs import read_logprobs
from sale.types import Prompt, Reply, Usage

# Transport hiccups are retried by the client (it honours Retry-After); what still fails goes to the caller.
TRANSPORT_RETRIES = 2
OPENAI = "api.openai.com"


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a model answers."""

    base_url: str
    model: str
    api_key: SecretStr | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How an endpoint is asked."""

    temperature: float = 0.0
    logprobs: int = 20
    """Alternatives per token to ask for; 0 asks for no log-probabilities."""
    json_schema: bool = True
    retries: int = TRANSPORT_RETRIES


class EndpointModel:
    """A model behind an OpenAI-compatible URL. Opened on first use, one connection pool each."""

    def __init__(
        self,
        name: str,
        locate: Callable[[], Awaitable[Address]],
        *,
        manner: Manner | None = None,
        release: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            name: The agent's name, for error messages.
            locate: Finds the address; for the embedded pool this loads the weights.
            manner: How to ask.
            release: Undoes `locate` on close.
        """
        self._name = name
        self._locate = locate
        self._release = release
        self._manner = manner or Manner()
        self._lock = asyncio.Lock()
        self._open: tuple[AsyncOpenAI, OpenAIChatModel] | None = None

    async def for_tools(self) -> OpenAIChatModel:
        """The Pydantic AI model, opened if need be."""
        async with self._lock:
            if self._open is None:
                self._open = self._connect(await self._locate())
            return self._open[1]

    def _connect(self, address: Address) -> tuple[AsyncOpenAI, OpenAIChatModel]:
        client = AsyncOpenAI(
            base_url=address.base_url,
            # The client insists on a key; endpoints that need none ignore it.
            api_key=address.api_key.get_secret_value() if address.api_key else "none",
            max_retries=self._manner.retries,
        )
        # OpenAI itself wants `max_completion_tokens`; everything that imitates it knows `max_tokens`.
        profile = OpenAIModelProfile(
            supports_json_schema_output=True,
            openai_chat_supports_max_completion_tokens=OPENAI in address.base_url,
        )
        provider = OpenAIProvider(openai_client=client)
        if OPENAI in address.base_url:
            return client, OpenAIChatModel(address.model, provider=provider)
        return client, OpenAIChatModel(address.model, provider=provider, profile=profile)

    async def generate(
        self,
        prompt: Prompt,
        *,
        max_tokens: int,
        schema: Mapping[str, object] | None = None,
        measure: bool = False,
    ) -> Reply:
        """Ask once; see `Model.generate`."""
        model = await self.for_tools()
        began = time.monotonic()
        with mapped(self._name):
            response = await model_request(
                model,
                [ModelRequest(parts=[SystemPromptPart(content=prompt.system), UserPromptPart(content=prompt.user)])],
                model_settings=self._settings(max_tokens, measure=measure),
                model_request_parameters=self._parameters(schema),
            )
        return read_response(response, self._name, time.monotonic() - began)

    def _settings(self, max_tokens: int, *, measure: bool) -> OpenAIChatModelSettings:
        settings = OpenAIChatModelSettings(max_tokens=max_tokens, temperature=self._manner.temperature)
        if measure and self._manner.logprobs:
            settings["openai_logprobs"] = True
            settings["openai_top_logprobs"] = self._manner.logprobs
        return settings

    def _parameters(self, schema: Mapping[str, object] | None) -> ModelRequestParameters:
        if schema is None or not self._manner.json_schema:
            return ModelRequestParameters()
        return ModelRequestParameters(
            output_mode="native",
            output_object=OutputObjectDefinition(json_schema=dict(schema), name="answer", strict=True),
        )

    async def aclose(self) -> None:
        """Close the connection pool and release what `locate` took."""
        async with self._lock:
            opened, self._open = self._open, None
            if opened is not None:
                await opened[0].close()
                if self._release is not None:
                    await self._release()


def at(address: Address) -> Callable[[], Awaitable[Address]]:
    """A `locate` for an address that is known already."""

    async def locate() -> Address:
        return address

    return locate


def read_response(response: ModelResponse, name: str, seconds: float) -> Reply:
    """A Pydantic AI response as a reply.

    Raises:
        BadReplyError: There is no text, or the endpoint does not say what was used: without usage nothing can be
            settled, and unknown is not zero.
    """
    usage = Usage(input_tokens=response.usage.input_tokens, output_tokens=response.usage.output_tokens)
    if response.text and usage.output_tokens == 0:
        raise BadReplyError("the endpoint reports no token usage", where=name, hint="It must send `usage`.")
    return Reply(
        text=response.text or "",
        usage=usage,
        seconds=seconds,
        logprobs=read_logprobs(response.provider_details),
        truncated=response.finish_reason == "length",
    )
