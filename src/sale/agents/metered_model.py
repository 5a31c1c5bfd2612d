"""A model on an execution's account: every call is looked at before it is made and counted when it was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings, merge_model_settings

from sale.agents.account import CANCELLED, ExecutionAccount
from sale.agents.prompts import closing_words
from sale.agents.worklog import describe
from sale.errors import CallError, SaleError
from sale.models.asking import usage_of
from sale.models.protocol import GenerationRequest, Model, ModelWrapper, ToolModel
from sale.types import Reply, Usage


class MeteredModel(ModelWrapper):
    """A model for one execution; whoever owns it closes it."""

    def __init__(self, model: Model, account: ExecutionAccount) -> None:
        """Count on this account."""
        super().__init__(model)
        self._account = account

    async def generate(self, request: GenerationRequest, /) -> Reply:
        """Ask once, within what is left; see `Model.generate`.

        Raises:
            SpentError: Nothing is left.
        """
        self._account.allow()
        room = self._account.limit_tokens(request.max_tokens)
        with _failing_on(self._account):
            reply = await self._model.generate(replace(request, max_tokens=room))
        self._account.record_call(reply.usage, reply.seconds, cut=reply.truncated and room < request.max_tokens)
        return reply

    async def for_tools(self) -> ToolModel:
        """The same for a tool loop."""
        return _MeteredLoopModel(await self._model.for_tools(), self._account)

    async def aclose(self) -> None:
        """Do nothing: the owner of the model closes it."""


class _MeteredLoopModel(WrapperModel):
    """Where what is left is for one call only, the model is offered no tools and asked for its answer."""

    def __init__(self, wrapped: ToolModel, account: ExecutionAccount) -> None:
        super().__init__(wrapped)
        self._account = account

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        self._account.allow()
        settings, parameters = model_settings, model_request_parameters
        most = settings.get("max_tokens") if settings else None
        room = most and self._account.limit_tokens(most)
        if settings and room:
            settings = merge_model_settings(settings, ModelSettings(max_tokens=room))
        if parameters.function_tools and self._account.closing:
            parameters = replace(parameters, function_tools=[])
            messages = _closed(messages)
        began = time.monotonic()
        with _failing_on(self._account):
            response = await self.wrapped.request(messages, settings, parameters)
        cut = response.finish_reason == "length" and bool(most and room and room < most)
        self._account.record_call(usage_of(response), time.monotonic() - began, cut=cut)
        return response


@contextmanager
def _failing_on(account: ExecutionAccount) -> Generator[None]:
    """Count a call that fails: it was made, and may have been paid for."""
    began = time.monotonic()
    try:
        yield
    except BaseException as error:
        said = describe(error) if isinstance(error, SaleError) else f"{CallError.code}: {type(error).__name__}"
        said = CANCELLED if isinstance(error, asyncio.CancelledError) else said
        account.record_call(Usage(), time.monotonic() - began, error=said)
        raise


def _closed(messages: list[ModelMessage]) -> list[ModelMessage]:
    last = messages[-1]
    if not isinstance(last, ModelRequest):
        return messages
    return [*messages[:-1], replace(last, parts=[*last.parts, UserPromptPart(content=closing_words())])]
