"""A client that notes every byte: what a gateway said, down to how a stream ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.hang import HANG

"""No answer may take longer."""
Json = dict[str, Any]


@dataclass(kw_only=True)
class Heard:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: Json | None = None
    """Of a whole answer."""
    events: list[Json] = field(default_factory=list[Json])
    """Of a stream: what its `data:` lines hold, in order, errors too."""
    done: bool = False
    """It ended with `[DONE]`."""
    broken: str | None = None
    """Why the connection ended before the answer did."""

    @property
    def error(self) -> Json | None:
        """The error, as a body or as an event."""
        found = [self.body] if self.body is not None else self.events
        return next((one["error"] for one in found if one.get("error")), None)

    @property
    def text(self) -> str:
        """What the assistant said."""
        if self.body is not None:
            return str(self.body["choices"][0]["message"]["content"])
        deltas = [choice["delta"] for one in self.events for choice in one.get("choices", [])]
        return "".join(delta.get("content") or "" for delta in deltas)

    @property
    def finish(self) -> str | None:
        """Why it stopped."""
        choices = [choice for one in ([self.body] if self.body else self.events) for choice in one.get("choices", [])]
        return next((one["finish_reason"] for one in choices if one.get("finish_reason")), None)

    @property
    def usage(self) -> Json | None:
        """The last usage told."""
        found = [one["usage"] for one in ([self.body] if self.body else self.events) if one.get("usage")]
        return found[-1] if found else None


def chat(model: str, words: str, *, stream: bool = False, **more: object) -> Json:
    """A request."""
    return {"model": model, "messages": [{"role": "user", "content": words}], "stream": stream, **more}


async def listen(
    client: httpx.AsyncClient, base_url: str, body: Json, *, patience: float = HANG, **headers: str
) -> Heard:
    """Ask for a chat completion, and hear everything; raises as `hear`."""
    return await hear(client, f"{base_url}/chat/completions", body, patience=patience, **headers)


async def hear(client: httpx.AsyncClient, url: str, body: Json, *, patience: float = HANG, **headers: str) -> Heard:
    """Ask in any protocol, and hear everything.

    Raises:
        httpx.TimeoutException: Nothing came for too long.
    """
    async with client.stream("POST", url, json=body, headers=headers, timeout=patience) as response:
        heard = Heard(status=response.status_code, headers=dict(response.headers))
        if "event-stream" not in response.headers.get("content-type", ""):
            heard.body = json.loads(await response.aread())
            return heard
        try:
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    data = line[5:].strip()
                    assert not heard.done, f"after [DONE]: {data}"
                    if data == "[DONE]":
                        heard.done = True
                    else:
                        heard.events.append(json.loads(data))
        except httpx.RemoteProtocolError as error:
            heard.broken = str(error)
    return heard
