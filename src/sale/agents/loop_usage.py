"""The most that one request of a tool loop can consume: what is set aside for it before it is made."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from sale.auction.ledger import TEMPLATE_TOKENS, TOKENS_PER_BYTE
from sale.types import Usage


def worst_loop_usage(
    messages: Sequence[ModelMessage],
    settings: ModelSettings | None,
    parameters: ModelRequestParameters,
    answer_tokens: int,
) -> Usage:
    """The most a request can consume.

    Args:
        messages: What is sent.
        settings: Of the request; their `max_tokens` is the longest answer.
        parameters: Of the request, with the tools that are offered.
        answer_tokens: The longest answer where the settings name none, in tokens.
    """
    schemas = [tool.parameters_json_schema for tool in parameters.function_tools]
    max_tokens = (settings or {}).get("max_tokens") or answer_tokens
    size = len(ModelMessagesTypeAdapter.dump_json(list(messages))) + len(json.dumps(schemas).encode())
    return Usage(input_tokens=size * TOKENS_PER_BYTE + TEMPLATE_TOKENS, output_tokens=max_tokens)
