"""Requests to a model through Pydantic AI: settings, the schema of the answer, and the response as a reply."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_ai.direct import model_request
from pydantic_ai.messages import ModelRequest, ModelResponse, SystemPromptPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModelSettings
from pydantic_ai.output import OutputObjectDefinition

from sale.models.errors import map_errors
from sale.models.logprobs import read_logprobs
from sale.models.protocol import SAMPLING_TEMPERATURE, GenerationRequest, ToolModel
from sale.types import Reply, Usage

# Transport hiccups are retried by the client (it honours Retry-After); what still fails goes to the caller.
TRANSPORT_RETRIES = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingOptions:
    """Options of the requests to an endpoint."""

    temperature: float = 0.0
    logprobs: int = 20
    """Alternatives per token to ask for; 0 asks for no log-probabilities."""
    json_schema: bool = True
    retries: int = TRANSPORT_RETRIES

    def settings(self, request: GenerationRequest) -> OpenAIChatModelSettings:
        """The settings of one request; what a provider does not know it leaves out."""
        settings = OpenAIChatModelSettings(max_tokens=request.max_tokens, temperature=self.temperature)
        if request.sample:
            settings["temperature"] = max(self.temperature, SAMPLING_TEMPERATURE)
            settings["seed"] = request.sample
        if request.measure and self.logprobs:
            settings["openai_logprobs"] = True
            settings["openai_top_logprobs"] = self.logprobs
        return settings

    def parameters(self, schema: Mapping[str, object] | None) -> ModelRequestParameters:
        """The parameters of one request whose answer is held to a JSON schema, where the endpoint can."""
        if schema is None or not self.json_schema:
            return ModelRequestParameters()
        return ModelRequestParameters(
            output_mode="native",
            output_object=OutputObjectDefinition(json_schema=dict(schema), name="answer", strict=True),
        )


async def ask(model: ToolModel, request: GenerationRequest, options: SamplingOptions, *, agent: str) -> Reply:
    """Make one request through Pydantic AI.

    Raises:
        CallError: No usable answer; it names the agent.
    """
    prompt = request.prompt
    began = time.monotonic()
    with map_errors(agent):
        response = await model_request(
            model,
            [ModelRequest(parts=[SystemPromptPart(content=prompt.system), UserPromptPart(content=prompt.user)])],
            model_settings=options.settings(request),
            model_request_parameters=options.parameters(request.schema),
        )
    return read_response(response, time.monotonic() - began)


def usage_of(response: ModelResponse) -> Usage:
    """The tokens of a Pydantic AI response."""
    return Usage(input_tokens=response.usage.input_tokens, output_tokens=response.usage.output_tokens)


def read_response(response: ModelResponse, seconds: float) -> Reply:
    """A Pydantic AI response as a reply."""
    return Reply(
        text=response.text or "",
        usage=usage_of(response),
        seconds=seconds,
        logprobs=read_logprobs(response.provider_details),
        truncated=response.finish_reason == "length",
    )
