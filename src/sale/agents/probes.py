"""Small requests to an endpoint, each with one thing more, that show what it refuses and what to write of it.

There is no list of the fields and contents that an endpoint takes, and an answer to one question costs a few tokens.
Refusals of the request itself (400, 415, 422) count; a request that fails otherwise tells nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import openai

from sale.config.agents import AgentSettings
from sale.errors import CallError
from sale.models.address import Address
from sale.models.connection import connect

Json = dict[str, Any]
REFUSALS: Final = frozenset({400, 415, 422})
MAX_TOKENS: Final = 16
"""Tokens of an answer."""
SECONDS: Final = 60.0
"""For one request."""
PIXEL: Final = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
"""An image of one point."""
HELLO: Final[Json] = {"role": "user", "content": "Say hello."}
TOOL: Final[Json] = {
    "type": "function",
    "function": {"name": "look", "description": "Look.", "parameters": {"type": "object", "properties": {}}},
}
SCHEMA: Final[Json] = {
    "type": "object",
    "properties": {"hello": {"type": "string"}},
    "required": ["hello"],
    "additionalProperties": False,
}
FORMAT: Final[Json] = {"type": "json_schema", "json_schema": {"name": "hello", "strict": True, "schema": SCHEMA}}
IMAGE: Final[Json] = {
    "role": "user",
    "content": [{"type": "text", "text": "Say hello."}, {"type": "image_url", "image_url": {"url": PIXEL}}],
}
CONTEXTS: Final = ("context_length", "max_model_len", "context_window", "max_context_length")
"""Fields by which lists of models give the tokens that a model takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """One thing that a request may have."""

    name: str
    """As `refuses` names it; fields by their own name."""
    fields: Mapping[str, object]
    ours: str = ""
    """The setting by which the market's own requests do without; empty where they have no such thing."""


PROBES: Final = (
    Probe(name="temperature", fields={"temperature": 0.0}, ours="drop"),
    Probe(name="logprobs", fields={"logprobs": True, "top_logprobs": 5}, ours="logprobs"),
    Probe(name="schema", fields={"response_format": FORMAT}, ours="json_schema"),
    Probe(name="developer", fields={"messages": [{"role": "developer", "content": "Be brief."}, HELLO]}),
    Probe(name="tools", fields={"tools": [TOOL]}),
    Probe(name="images", fields={"messages": [IMAGE]}),
    Probe(name="metadata", fields={"metadata": {"purpose": "probe"}}),
    Probe(name="stream_options", fields={"stream": True, "stream_options": {"include_usage": True}}),
)
LIMITS: Final = ("max_tokens", "max_completion_tokens")
"""Names of the field that limits an answer, the usual one first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundAbilities:
    """The features that an endpoint refuses, beyond those that its agent's settings avoid already."""

    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    """The features it refuses, by the name of the probe, with the endpoint's words."""
    unknown: Mapping[str, str] = field(default_factory=dict[str, str])
    """The features that nothing is known of, with the reason."""
    limit: str | None = LIMITS[0]
    """The name by which it takes a limit for answers; `None` where it takes none."""
    context: int | None = None
    """Tokens that one call may take, where it says so."""

    def settings(self, agent: AgentSettings) -> list[str]:
        """Return the lines of `sale.toml` that say all this, with what the agent's table says already.

        Args:
            agent: The table.
        """
        lines: list[str] = []
        if self.limit == LIMITS[1]:
            renamed = {**agent.rename, LIMITS[0]: LIMITS[1]}
            lines.append(f"rename = {{ {', '.join(f'{old} = {json.dumps(new)}' for old, new in renamed.items())} }}")
        dropped = [one.name for one in PROBES if one.ours == "drop" and one.name in self.refused]
        dropped += [LIMITS[0]] if self.limit is None else []
        if dropped:
            lines.append(f"drop = {json.dumps([*agent.drop, *dropped])}")
        lines += ["logprobs = 0"] if "logprobs" in self.refused and agent.logprobs else []
        lines += ["json_schema = false"] if "schema" in self.refused and agent.json_schema else []
        kept = [one.name for one in PROBES if one.ours != "drop" and one.name in self.refused]
        if set(kept) - set(agent.refuses):
            lines.append(f"refuses = {json.dumps(list(dict.fromkeys([*agent.refuses, *kept])))}")
        if self.context is not None and agent.context is None:
            lines.append(f"context = {self.context}")
        return lines


async def find_abilities(address: Address, agent: str) -> FoundAbilities | None:
    """Ask an endpoint a dozen small questions; `None` where it refuses the plainest one, too, or cannot be reached.

    Args:
        address: Of the endpoint. Requests have the shape that settings give them already.
        agent: For error messages.
    """
    try:
        model = connect(address, agent=agent, retries=0)
    except CallError:
        return None
    client = model.client
    try:
        found = await _limit(client, address.model)
        if found is None:
            return None
        limit, plain = found
        refused, unknown = dict[str, str](), dict[str, str]()
        for probe in PROBES:
            fault = await _sent(client, plain | dict(probe.fields))
            if fault is not None:
                (refused if fault.refused else unknown)[probe.name] = fault.message
        context = await _context(client, address.model)
        return FoundAbilities(refused=refused, unknown=unknown, limit=limit, context=context)
    finally:
        await client.close()


async def _limit(client: openai.AsyncOpenAI, model: str) -> tuple[str | None, Json] | None:
    """The name by which the length of an answer is limited, and the plainest request that is taken."""
    for limit in (*LIMITS, None):
        plain: Json = {"model": model, "messages": [HELLO], **({limit: MAX_TOKENS} if limit else {})}
        fault = await _sent(client, plain)
        if fault is None:
            return limit, plain
        if not fault.refused:
            return None
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fault:
    refused: bool
    message: str


async def _sent(client: openai.AsyncOpenAI, body: Json) -> _Fault | None:
    """Send a request; the fault found with it."""
    try:
        answer = await client.with_options(timeout=SECONDS).post(
            "/chat/completions",
            body=body,
            cast_to=object,
            stream=bool(body.get("stream")),
            stream_cls=openai.AsyncStream[object],
        )
        if isinstance(answer, openai.AsyncStream):
            stream = cast("openai.AsyncStream[object]", answer)
            async for _ in stream:  # to its end: it is short, and the connection is free then
                pass
    except openai.APIStatusError as error:
        return _Fault(refused=error.status_code in REFUSALS, message=_words(error.message))
    except openai.OpenAIError as error:
        return _Fault(refused=False, message=_words(str(error)))
    return None


async def _context(client: openai.AsyncOpenAI, model: str) -> int | None:
    """The tokens that the list of models gives this one; most lists give none."""
    try:
        listed: object = await client.with_options(timeout=SECONDS).get("/models", cast_to=object)
    except openai.OpenAIError:
        return None
    data: object = cast("Json", listed).get("data") if isinstance(listed, dict) else None
    rows = cast("list[object]", data) if isinstance(data, list) else []
    tables = [cast("Json", row) for row in rows if isinstance(row, dict)]
    values = [row.get(name) for row in tables if row.get("id") == model for name in CONTEXTS]
    return next((value for value in values if type(value) is int and value > 0), None)


def _words(text: str) -> str:
    return " ".join(text.split())[:200]
