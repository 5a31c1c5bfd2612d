"""The three protocols, as far as the benchmarks speak them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
TOKENS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """One of them."""

    name: str
    path: str
    body: Callable[[list[Json]], Json]
    """A request's body, without model and stream, of a conversation in terms of chat completions."""
    end: str
    """What the end of a whole stream has, and nothing before it."""


def _messages(messages: list[Json]) -> Json:
    """Anthropic's protocol has what instructs beside the conversation."""
    system = [one["content"] for one in messages if one["role"] == "system"]
    said = {"messages": [one for one in messages if one["role"] != "system"], "max_tokens": TOKENS}
    return {**said, "system": system[0]} if system else said


CHAT = Protocol(
    name="Chat",
    path="/v1/chat/completions",
    body=lambda messages: {"messages": messages, "max_tokens": TOKENS},
    end="data: [DONE]",
)
RESPONSES = Protocol(
    name="Responses",
    path="/v1/responses",
    # Nothing is stored, as coding agents ask it.
    body=lambda messages: {"input": messages, "max_output_tokens": TOKENS, "store": False},
    end="event: response.completed",
)
MESSAGES = Protocol(name="Messages", path="/v1/messages", body=_messages, end="event: message_stop")
PROTOCOLS = (CHAT, RESPONSES, MESSAGES)
