"""Texts of the gateway for agents, one Jinja file each: the task of an auction, the winner's plan, a dialogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sale.auction.prompts.templates import load_folder
from sale.types import ToolInfo

FOLDER = "sale.server.gateway.prompts"


def task_text(request: str, system: str, tools: Sequence[ToolInfo]) -> str:
    """The task that a conversation is auctioned as."""
    return load_folder(FOLDER).text("task", {"request": request, "system": system, "tools": tools})


def plan_text(plan: str) -> str:
    """Return the text by which the winner is told its plan, in the system message of every turn."""
    return load_folder(FOLDER).text("plan", {"plan": plan})


def asked_text(messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation as one text, for agents that take no messages; each has `role` and `text`."""
    return load_folder(FOLDER).text("asked", {"messages": messages})
