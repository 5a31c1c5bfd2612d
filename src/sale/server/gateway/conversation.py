"""The task that a conversation is auctioned as: the user's wish, what the agent is told, and the tools there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sale.auction.text import clip, make_storable
from sale.server.gateway.identity import INSTRUCTING, Message
from sale.server.gateway.prompts import task_text
from sale.types import Task, ToolInfo

REQUEST_BYTES = 8000
"""Of the user's words: every agent reads the task, and every juror does."""
SYSTEM_BYTES = 1000
TOOL_BYTES = 160
MAX_TOOLS = 32
LEFT_OUT = "\n[…]\n"


def text_of(content: object) -> str:
    """The text of a message's content; what is none is named."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    found: list[str] = []
    for part in cast("list[object]", content):
        fields = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
        text = fields.get("text")
        found.append(text if isinstance(text, str) else f"[{str(fields.get('type', 'something'))[:40]}]")
    return "\n".join(found)


def task_of(messages: Sequence[Message], tools: object) -> Task:
    """The task a conversation is auctioned as: what the user wants, what the agent is told, what it can use.

    Args:
        messages: The conversation. A task that comes up later is the user's last words, after the first ones.
        tools: As in the request.
    """
    system = "\n".join(text_of(one.get("content")) for one in messages if one["role"] in INSTRUCTING)
    asked = _asked(messages) or system or "(a request without words)"
    return Task(
        text=make_storable(
            task_text(_middle_out(asked, REQUEST_BYTES), clip(system.strip(), SYSTEM_BYTES).strip(), tools_of(tools))
        )
    )


def _asked(messages: Sequence[Message]) -> str:
    """The user's words before the first answer; with an answer in between, the last ones first."""
    opening: list[str] = []
    latest: list[str] = []
    answered = False
    for one in messages:
        if one["role"] == "assistant" and opening:
            answered, latest = True, []
        elif one["role"] == "user":
            (latest if answered else opening).append(text_of(one.get("content")))
    first = "\n\n".join(opening).strip()
    last = "\n\n".join(latest).strip()
    if not last:
        return first
    return f"{_middle_out(last, REQUEST_BYTES // 2)}\n\nThe conversation began with:\n{first}"


def _middle_out(text: str, size: int) -> str:
    """The text, or its beginning and its end with the middle left out."""
    whole = text.encode(errors="replace")
    if len(whole) <= size:
        return text.strip()
    half = size // 2
    return whole[:half].decode(errors="ignore") + LEFT_OUT + whole[-half:].decode(errors="ignore")


def tools_of(tools: object) -> tuple[ToolInfo, ...]:
    """Names and descriptions of a request's tools; what has no name is left out."""
    found: list[ToolInfo] = []
    for tool in cast("list[object]", tools)[:MAX_TOOLS] if isinstance(tools, list) else []:
        fields = cast("dict[str, Any]", tool) if isinstance(tool, dict) else {}
        kind = str(fields.get("type") or "function")
        nested: object = fields.get(kind)
        named = cast("dict[str, Any]", nested) if isinstance(nested, dict) else fields
        if name := named.get("name"):
            told = " ".join(str(named.get("description") or "").split())
            found.append(ToolInfo(name=str(name)[:80], description=clip(make_storable(told), TOOL_BYTES)))
    return tuple(found)
