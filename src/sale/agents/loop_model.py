"""A model within the tool loop whose calls of tools are brought to the form the loop knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponsePart, TextPart, ToolCallPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from sale.agents.written_calls import WrittenCall, written_calls


class CallReader(WrapperModel):
    """Reads calls that were written as text, and gives those of one name an id of their own.

    Results are matched to calls by their ids, so endpoints that repeat one would have the work end there.
    """

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask once."""
        response = await self.wrapped.request(messages, model_settings, model_request_parameters)
        parts = list(response.parts)
        tools = model_request_parameters.function_tools
        if tools and not any(isinstance(part, ToolCallPart) for part in parts):
            parts = [read for part in parts for read in _read(part, tools)]
        taken = {
            part.tool_call_id
            for message in messages
            if isinstance(message, ModelResponse)
            for part in message.parts
            if isinstance(part, ToolCallPart)
        }
        return replace(response, parts=_told_apart(parts, taken))


def _read(part: ModelResponsePart, tools: Sequence[ToolDefinition]) -> list[ModelResponsePart]:
    if not isinstance(part, TextPart):
        return [part]
    known = {tool.name: tool for tool in tools}
    calls = written_calls(part.content, known)
    if not calls:
        return [part]
    said = part.content[: calls[0].start].rstrip().removesuffix("```json").removesuffix("```").rstrip()
    return [*([TextPart(said)] if said else []), *(_call(call, known.get(call.name)) for call in calls)]


def _call(call: WrittenCall, tool: ToolDefinition | None) -> ToolCallPart:
    given = call.given
    if isinstance(given, dict):
        return ToolCallPart(call.name, cast("dict[str, object]", given))
    names = list(cast("dict[str, object]", tool.parameters_json_schema.get("properties", {}))) if tool else []
    return ToolCallPart(call.name, {names[0]: given} if len(names) == 1 else str(given))


def _told_apart(parts: Sequence[ModelResponsePart], taken: set[str]) -> list[ModelResponsePart]:
    """The parts, in which no two calls have the same id, nor one of an earlier answer."""
    found: list[ModelResponsePart] = []
    for part in parts:
        if isinstance(part, ToolCallPart):
            if not part.tool_call_id or part.tool_call_id in taken:
                part = replace(part, tool_call_id=ToolCallPart(part.tool_name).tool_call_id)
            taken.add(part.tool_call_id)
        found.append(part)
    return found
