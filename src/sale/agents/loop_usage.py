"""The most that one request of a tool loop can consume: what is set aside for it before it is made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter

from sale.auction.ledger import TEMPLATE_TOKENS, TOKENS_PER_BYTE
from sale.types import Usage


def worst_loop_usage(
    messages: Sequence[ModelMessage], schemas: Sequence[Mapping[str, object]], max_tokens: int
) -> Usage:
    """The most a request can consume.

    Args:
        messages: What is sent.
        schemas: JSON schemas of the tools that are offered.
        max_tokens: The longest answer, in tokens.
    """
    size = len(ModelMessagesTypeAdapter.dump_json(list(messages))) + len(json.dumps(schemas).encode())
    return Usage(input_tokens=size * TOKENS_PER_BYTE + TEMPLATE_TOKENS, output_tokens=max_tokens)
