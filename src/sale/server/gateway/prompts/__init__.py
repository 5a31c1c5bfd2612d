"""Texts of the gateway for agents, one Jinja file each: the task of an auction, the winner's plan, a dialogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from sale.auction.prompts.templates import load_folder
from sale.types import ToolInfo

FOLDER = "sale.server.gateway.prompts"
PLANS = 1024
"""Plans whose text is kept at hand: a session's turns all have the same."""


def task_text(request: str, system: str, tools: Sequence[ToolInfo]) -> str:
    """The task that a conversation is auctioned as."""
    return load_folder(FOLDER).text("task", {"request": request, "system": system, "tools": tools})


@lru_cache(PLANS)
def plan_text(plan: str) -> str:
    """Return the text by which the winner is told its plan, in the system message of every turn."""
    return load_folder(FOLDER).text("plan", {"plan": plan})


def asked_text(messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation as one text, for agents that take no messages; each has `role` and `text`."""
    return load_folder(FOLDER).text("asked", {"messages": messages})


def document_text(text: str, *, title: str | None = None, source: str | None = None) -> str:
    """A document, or a passage that a client found, as words: its own text to the letter."""
    head = load_folder(FOLDER).text("document", {"title": title, "source": source})
    return "\n\n".join(part for part in (head, text) if part)


def tool_failed_text(text: str) -> str:
    """Return the output of a failed tool, marked as a failure in words, where the protocol has no mark for failure."""
    return f"{load_folder(FOLDER).text('tool_failed', {})}\n{text}"


def tool_returned_text(call_id: str) -> str:
    """The line before the images that a tool gave, where its own message can hold none."""
    return load_folder(FOLDER).text("tool_returned", {"call_id": call_id})


def tool_found_text(name: str) -> str:
    """The line that says that a tool, found by a search for tools, can be called from now on."""
    return load_folder(FOLDER).text("tool_found", {"name": name})
