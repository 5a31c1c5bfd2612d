"""Chat completions back into the Responses format: one object, or its events as they come."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, cast

import orjson

from sale.server.gateway.errors import ApiError
from sale.server.gateway.exchange import Exchange, Headers
from sale.server.gateway.sink import open_stream, tell
from sale.server.gateway.stream import Piece, StreamUsage

Json = dict[str, Any]
Keep = Callable[[str, Json], None]
"""Keeps the assistant's message under the response's id."""
ECHOED: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


class ResponseSink:
    """Takes chat completions and gives responses."""

    def __init__(self, exchange: Exchange, body: Json, *, stream: bool, keep: Keep) -> None:
        """Nothing is sent.

        Args:
            exchange: With the client.
            body: Its request; a response repeats much of it.
            stream: Whether it wants events.
            keep: For later requests that go on from here.
        """
        self._exchange = exchange
        self._stream = stream
        self._keep = keep
        self._echo = {name: body.get(name) if body.get(name) is not None else usual for name, usual in ECHOED.items()}
        self._model = str(body.get("model"))
        self._created = int(time.time())
        self._number = 0
        self._output: list[Json] = []
        self._calls: dict[int, Json] = {}
        self._text: Json | None = None
        self._finish: str | None = None
        self.answering = False
        self.response_id: str | None = f"resp_{uuid.uuid4().hex}"

    async def send_progress(self, lines: Sequence[str], headers: Headers) -> None:
        """Comments, which clients of events do not see."""
        if self._stream:
            await tell(self._exchange, lines, headers)

    async def begin(self, headers: Headers) -> None:
        """The response is created."""
        await open_stream(self._exchange, headers)
        response = self._response("in_progress", None)
        events = [self._event("response.created", response=response)]
        events.append(self._event("response.in_progress", response=response))
        await self._exchange.write(b"".join(events))

    async def send_pieces(self, pieces: Sequence[Piece]) -> None:
        """Chunks as events."""
        self.answering = True
        events: list[bytes] = []
        for _, chunk in pieces:
            choices = cast("list[Json]", chunk.get("choices") or []) if chunk else []
            for choice in choices[:1]:
                self._finish = choice.get("finish_reason") or self._finish
                events += self._delta(cast("Json", choice.get("delta") or {}))
        if events:
            await self._exchange.write(b"".join(events))

    async def finish(self, tally: StreamUsage) -> None:
        """Every item is done, and so is the response."""
        events = [event for item in self._output for event in self._closed(item)]
        status, kind = ("incomplete", "incomplete") if self._finish == "length" else ("completed", "completed")
        events.append(self._event(f"response.{kind}", response=self._response(status, tally)))
        self._remember()
        await self._exchange.write(b"".join(events))
        await self._exchange.end()

    async def send_whole(self, raw: bytes, value: Json, headers: Headers) -> None:  # noqa: ARG002  as the protocol says
        """The whole response."""
        self.answering = True
        choice = cast("Json", value["choices"][0])
        self._finish = choice.get("finish_reason")
        self._delta(cast("Json", choice.get("message") or {}), whole=True)
        for item in self._output:
            item["status"] = "completed"
        tally = StreamUsage()
        tally.count_whole(value)
        status = "incomplete" if self._finish == "length" else "completed"
        self._remember()
        await self._exchange.reply(200, orjson.dumps(self._response(status, tally)), headers)

    async def send_error(self, error: ApiError, headers: Headers) -> None:
        """A status, or in a stream the event that says so."""
        if not self._exchange.started:
            await self._exchange.reply(error.status, error.document(), [*error.headers, *headers])
            return
        response = self._response("failed", None)
        response["error"] = {"code": error.name or "server_error", "message": error.message}
        await self._exchange.write(self._event("response.failed", response=response))
        await self._exchange.end()

    def _delta(self, said: Json, *, whole: bool = False) -> list[bytes]:
        """Return the events of a chunk."""
        events: list[bytes] = []
        if isinstance(content := said.get("content"), str) and content:
            item, opened = self._text_item("output_text")
            events += opened
            item["content"][0]["text"] += content
            where: Json = {**self._where(item), "content_index": 0, "logprobs": []}
            events.append(self._event("response.output_text.delta", **where, delta=content))
        if isinstance(refused := said.get("refusal"), str) and refused:
            item, opened = self._text_item("refusal")
            events += opened
            item["content"][0]["refusal"] += refused
            events.append(self._event("response.refusal.delta", **self._where(item), content_index=0, delta=refused))
        for place, call in enumerate(cast("list[Json]", said.get("tool_calls") or [])):
            events += self._called(place if whole else _place(call, place), call)
        return events

    def _called(self, index: int, call: Json) -> list[bytes]:
        function = cast("Json", call.get("function") or {})
        events: list[bytes] = []
        item = self._calls.get(index)
        if item is None:
            item = self._calls[index] = {
                "type": "function_call",
                "id": f"fc_{uuid.uuid4().hex}",
                "call_id": str(call.get("id") or f"call_{uuid.uuid4().hex}"),
                "name": "",
                "arguments": "",
                "status": "in_progress",
            }
            item["name"] = str(function.get("name") or "")
            events.append(self._added(item))
        elif function.get("name") and not item["name"]:
            item["name"] = str(function["name"])
        if arguments := function.get("arguments"):
            item["arguments"] += str(arguments)
            where = self._where(item)
            events.append(self._event("response.function_call_arguments.delta", **where, delta=str(arguments)))
        return events

    def _text_item(self, kind: str) -> tuple[Json, list[bytes]]:
        """The message under way, opened if need be."""
        if self._text is not None and self._text["content"][0]["type"] == kind:
            return self._text, []
        part: Json = (
            {"type": kind, "text": "", "annotations": []}
            if kind == "output_text"
            else {
                "type": kind,
                "refusal": "",
            }
        )
        self._text = {
            "type": "message",
            "id": f"msg_{uuid.uuid4().hex}",
            "status": "in_progress",
            "role": "assistant",
            "content": [part],
        }
        events = [self._added({**self._text, "content": []}, self._text)]
        events.append(self._event("response.content_part.added", **self._where(self._text), content_index=0, part=part))
        return self._text, events

    def _added(self, shown: Json, item: Json | None = None) -> bytes:
        self._output.append(item or shown)
        return self._event("response.output_item.added", output_index=len(self._output) - 1, item=shown)

    def _closed(self, item: Json) -> list[bytes]:
        """An item's last events."""
        item["status"] = "completed"
        where, events = self._where(item), list[bytes]()
        if item["type"] == "message":
            part = item["content"][0]
            kind, said = ("output_text", "text") if part["type"] == "output_text" else ("refusal", "refusal")
            more: Json = {"logprobs": []} if kind == "output_text" else {}
            events.append(self._event(f"response.{kind}.done", **where, content_index=0, **{said: part[said]}, **more))
            events.append(self._event("response.content_part.done", **where, content_index=0, part=part))
        else:
            given = {"arguments": item["arguments"], "name": item["name"]}
            events.append(self._event("response.function_call_arguments.done", **where, **given))
        events.append(self._event("response.output_item.done", output_index=where["output_index"], item=item))
        return events

    def _where(self, item: Json) -> Json:
        place = next(place for place, one in enumerate(self._output) if one is item)
        return {"item_id": item["id"], "output_index": place}

    def _event(self, kind: str, **fields: object) -> bytes:
        value = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"

    def _response(self, status: str, tally: StreamUsage | None) -> Json:
        cut = status == "incomplete"
        return {
            "id": self.response_id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "model": self._model,
            "output": self._output if status != "in_progress" else [],
            "usage": _usage(tally),
            **self._echo,
        }

    def _remember(self) -> None:
        """The assistant's message, as a chat client would send it back."""
        said: Json = {"role": "assistant", "content": None}
        texts = [item["content"][0] for item in self._output if item["type"] == "message"]
        if texts:
            said["content"] = "".join(part.get("text") or part.get("refusal") or "" for part in texts)
        if self._calls:
            said["tool_calls"] = [
                {
                    "id": item["call_id"],
                    "type": "function",
                    "function": {"name": item["name"], "arguments": item["arguments"]},
                }
                for item in self._calls.values()
            ]
        self._keep(cast("str", self.response_id), said)


def _usage(tally: StreamUsage | None) -> Json | None:
    if tally is None or tally.usage is None:
        return None
    usage = tally.usage
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": tally.cached},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total,
    }


def _place(call: Json, otherwise: int) -> int:
    """Where a call stands among others; an endpoint that says nothing usable is taken at the order it sends."""
    index = call.get("index")
    return index if isinstance(index, int) and not isinstance(index, bool) else otherwise
