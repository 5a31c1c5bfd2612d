"""A request's place in its conversation: whether it begins one or goes on with one, and what its task is.

A conversation is known again by its own prefix. A rolling hash is taken of the messages the client wrote, all but the
assistant's; what a request as a whole hashes to is the *tail* by which its session is found when the client comes back
with an answer appended, and more. Pure functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from sale.auction.text import clip, make_storable
from sale.server.gateway.prompts import task_text
from sale.types import Task, ToolInfo

Message = Mapping[str, Any]

INSTRUCTING = frozenset({"system", "developer"})
DIGEST_BYTES = 16
NO_DIGITS = str.maketrans("", "", "0123456789")
REQUEST_BYTES = 8000
"""Of the user's words: every agent reads the task, and every juror does."""
SYSTEM_BYTES = 1000
TOOL_BYTES = 160
MAX_TOOLS = 32
LEFT_OUT = "\n[…]\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationThread:
    """A request's place in a conversation."""

    whole: str
    """The hash of all the client wrote: the tail it leaves."""
    tails: tuple[str, ...]
    """The hashes of its prefixes that an assistant's message follows, the longest first."""
    fresh: bool
    """No assistant has answered the user yet."""
    new_task: bool
    """The user speaks, after an answer that asked for no tools."""


def read_thread(messages: Sequence[Message], owner: str) -> ConversationThread:
    """Where a request stands.

    Args:
        messages: As the client sent them; each has a `role`.
        owner: The owner of the conversation: requests of others hash differently.
    """
    rolling = hashlib.blake2b(owner.encode(), digest_size=DIGEST_BYTES)
    tails: list[str] = []
    asked = answered = False
    written = False
    for message in messages:
        if message["role"] == "assistant":
            if written:
                tails.append(rolling.hexdigest())
            written, answered = False, answered or asked
            continue
        asked = asked or message["role"] == "user"
        written = True
        rolling.update(_bytes_of(message))
    return ConversationThread(
        whole=rolling.hexdigest(), tails=tuple(reversed(tails)), fresh=not answered, new_task=_is_new_task(messages)
    )


def _is_new_task(messages: Sequence[Message]) -> bool:
    if len(messages) < 2 or messages[-1]["role"] != "user":
        return False
    before = next((one for one in reversed(messages) if one["role"] not in {"user", *INSTRUCTING}), None)
    return before is not None and before["role"] == "assistant" and not before.get("tool_calls")


def _bytes_of(message: Message) -> bytes:
    """A message as it is hashed: marks for caches, which clients move about, are no part of it.

    Nor are digits of what instructs: many clients write the time, or the date, into the system message of every turn.
    """
    parts = [str(message["role"]), str(message.get("tool_call_id") or ""), ""]
    content: object = message.get("content")
    if isinstance(content, list):
        texts = "".join(_piece(part) for part in cast("list[object]", content))
    else:
        texts = content if isinstance(content, str) else repr(content)
    if message["role"] in INSTRUCTING:
        texts = texts.translate(NO_DIGITS)
    return "\x1f".join([*parts, texts, "\x1e"]).encode(errors="surrogatepass")


def cache_session(key: str, messages: Sequence[Message]) -> str:
    """A name for the conversation that a client tells from others by its `prompt_cache_key`.

    Some clients have one key for each conversation, others one for all. So its first words count, too.
    """
    first = next((one for one in messages if one["role"] == "user"), None)
    digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES)
    digest.update(_bytes_of(first) if first is not None else b"")
    return f"cache-{digest.hexdigest()}"


def _piece(part: object) -> str:
    if isinstance(part, dict):
        fields = cast("dict[str, Any]", part)
        if isinstance(fields.get("text"), str):
            return fields["text"]
        rest = {name: value for name, value in fields.items() if name != "cache_control"}
        return orjson.dumps(rest, option=orjson.OPT_SORT_KEYS).decode()
    return repr(part)


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
