"""Chat completions back into the Responses format: one object, or its events as they come."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

import orjson

from sale.server.gateway.errors import ApiError
from sale.server.gateway.exchange import Exchange, Headers
from sale.server.gateway.reasoning import Reasoning
from sale.server.gateway.response_tools import ResponseTools, text_input
from sale.server.gateway.sink import open_stream, tell
from sale.server.gateway.stream import Piece, StreamUsage
from sale.server.gateway.tool_calls import ToolCallIndex, arguments_text
from sale.server.store.types import new_id

Json = dict[str, Any]
Keep = Callable[[Json, Json], Awaitable[None]]
"""Keeps the assistant's message, as a chat client would send it back, and the response."""
CUT: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Reasons for which an answer is not whole, by the `finish_reason` of its choice."""
TEXT_DELTA: Final = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%d,%b,'
    b'"content_index":0,"logprobs":[],"delta":%b}\n\n'
)
"""The event that goes on with a text: nearly all of a stream, so it is not made as an object first."""
ECHOED: Json = {
    "background": False,
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

    def __init__(self, exchange: Exchange, body: Json, *, stream: bool, keep: Keep, tools: ResponseTools) -> None:
        """Nothing is sent.

        Args:
            exchange: With the client.
            body: Its request; a response repeats much of it.
            stream: Whether it wants events.
            keep: For later requests that go on from here.
            tools: Of the request.
        """
        self._exchange = exchange
        self._stream = stream
        self._keep = keep
        self._tools = tools
        self._places = ToolCallIndex()
        self._said = Reasoning()
        """All reasoning, for the message that is kept."""
        self._unsaid = Reasoning()
        """The part of the reasoning that is not in an item yet."""
        self._thought: Json | None = None
        self._echo = {name: body.get(name) if body.get(name) is not None else usual for name, usual in ECHOED.items()}
        self._model = str(body.get("model"))
        self._created = int(time.time())
        self._number = 0
        self._output: list[Json] = []
        self._calls: dict[int, Json] = {}
        self._arguments: dict[int, str] = {}
        """Of the calls, as the endpoint wrote them."""
        self._names: dict[int, str] = {}
        self._text: Json | None = None
        """The message that goes on."""
        self._going_on: bytes | None = None
        """Where it is, as its events say it; `None` where it is a refusal, or none."""
        self._words: list[str] = []
        """Of it, those that are not in it yet: they are joined once, as a long answer has thousands."""
        self._finish: str | None = None
        self.answering = False
        self.response_id: str | None = f"resp_{new_id()}"

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
        for _, chunk, text in pieces:
            if text is not None and self._going_on is not None:
                self._words.append(text)
                events.append(TEXT_DELTA % (self._number, self._going_on, orjson.dumps(text)))
                self._number += 1
                continue
            choices = cast("list[Json]", chunk.get("choices") or []) if chunk else []
            for choice in choices[:1]:
                self._finish = choice.get("finish_reason") or self._finish
                events += self._delta(cast("Json", choice.get("delta") or {}), choice)
        if events:
            await self._exchange.write(b"".join(events))

    async def finish(self, tally: StreamUsage) -> None:
        """Every item is done, and so is the response."""
        events = self._sealed()
        events += [event for item in self._output for event in self._closed(item)]
        response = self._response(self._status(), tally)
        events.append(self._event(f"response.{response['status']}", response=response))
        await self._keep(self._message(), response)
        await self._exchange.write(b"".join(events))
        await self._exchange.end()

    async def send_whole(self, raw: bytes, value: Json, headers: Headers) -> None:  # noqa: ARG002  as the protocol says
        """The whole response."""
        self.answering = True
        choice = cast("Json", value["choices"][0])
        self._finish = choice.get("finish_reason")
        self._delta(cast("Json", choice.get("message") or {}), choice, whole=True)
        self._sealed()
        for item in self._output:
            self._closed(item)
        tally = StreamUsage()
        tally.count_whole(value)
        response = self._response(self._status(), tally)
        await self._keep(self._message(), response)
        await self._exchange.reply(200, orjson.dumps(response), headers)

    async def send_error(self, error: ApiError, headers: Headers) -> None:
        """A status, or in a stream the event that says so."""
        if not self._exchange.started:
            await self._exchange.reply(error.status, error.document(), [*error.headers, *headers])
            return
        self._join_words()
        response = self._response("failed", None)
        response["error"] = {"code": error.name or "server_error", "message": error.message}
        await self._exchange.write(self._event("response.failed", response=response))
        await self._exchange.end()

    def _status(self) -> str:
        return "incomplete" if str(self._finish) in CUT else "completed"

    def _delta(self, said: Json, choice: Json, *, whole: bool = False) -> list[bytes]:
        """Return the events of a chunk.

        Args:
            said: Its delta, or the message.
            choice: The choice that holds it.
            whole: Whether it is the message.
        """
        events: list[bytes] = []
        self._join_words()
        self._said.add(said)
        if thought := self._unsaid.add(said):
            events += self._thinking()
            item = cast("Json", self._thought)
            item["content"][0]["text"] += thought
            where = self._where(item)
            events.append(self._event("response.reasoning_text.delta", **where, content_index=0, delta=thought))
        if isinstance(content := said.get("content"), str) and content:
            item, opened = self._text_item("output_text")
            events += opened
            item["content"][0]["text"] += content
            logprobs = _logprobs(choice)
            item["content"][0]["logprobs"] += logprobs
            where: Json = {**self._where(item), "content_index": 0, "logprobs": logprobs}
            events.append(self._event("response.output_text.delta", **where, delta=content))
        if isinstance(refused := said.get("refusal"), str) and refused:
            item, opened = self._text_item("refusal")
            events += opened
            item["content"][0]["refusal"] += refused
            events.append(self._event("response.refusal.delta", **self._where(item), content_index=0, delta=refused))
        calls = cast("list[Json]", said.get("tool_calls") or [])
        for place, call in zip(self._places.add(calls, whole=whole), calls, strict=True):
            events += self._called(place, call)
        return events

    def _called(self, index: int, call: Json) -> list[bytes]:
        function = cast("Json", call.get("function") or {})
        events: list[bytes] = []
        item = self._calls.get(index)
        if item is None:
            self._text = self._going_on = self._thought = None  # what is said after a call is another item
            name = str(function.get("name") or "")
            item = self._calls[index] = {
                **self._tools.item(name, str(call.get("id") or f"call_{new_id()}")),
                "id": f"fc_{new_id()}",
                "status": "in_progress",
            }
            item |= {"input": ""} if item["type"] == "custom_tool_call" else {"arguments": ""}
            self._arguments[index], self._names[index] = "", name
            events.append(self._added(item))
        elif function.get("name") and not item["name"]:
            self._names[index] = str(function["name"])
            item |= self._tools.item(self._names[index], item["call_id"])
        self._said.add_call(item["call_id"], call)
        self._unsaid.add_call(item["call_id"], call)
        if arguments := arguments_text(function.get("arguments")):
            self._arguments[index] += arguments
            if item["type"] == "function_call":
                item["arguments"] += arguments
                where = self._where(item)
                events.append(self._event("response.function_call_arguments.delta", **where, delta=arguments))
        return events

    def _thinking(self) -> list[bytes]:
        """The item of the reasoning that goes on, begun if need be."""
        if self._thought is not None:
            return []
        self._text = self._going_on = None
        part: Json = {"type": "reasoning_text", "text": ""}
        self._thought = {"type": "reasoning", "id": f"rs_{new_id()}", "summary": [], "content": [part]}
        self._thought["status"] = "in_progress"
        return [self._added({**self._thought, "content": []}, self._thought)]

    def _sealed(self) -> list[bytes]:
        """Give the last item of reasoning the state that its endpoint may want back."""
        self._join_words()
        events: list[bytes] = []
        item = next((one for one in reversed(self._output) if one["type"] == "reasoning"), None)
        if item is None and self._unsaid and self._calls:
            events = self._thinking()
            item = cast("Json", self._thought)
            item["content"] = []
        if item is not None:
            item["encrypted_content"] = self._unsaid.take(text=False)
        return events

    def _text_item(self, kind: str) -> tuple[Json, list[bytes]]:
        """The message under way, opened if need be."""
        if self._text is not None and self._text["content"][0]["type"] == kind:
            return self._text, []
        part: Json = (
            {"type": kind, "text": "", "annotations": [], "logprobs": []}
            if kind == "output_text"
            else {
                "type": kind,
                "refusal": "",
            }
        )
        self._text = {
            "type": "message",
            "id": f"msg_{new_id()}",
            "status": "in_progress",
            "role": "assistant",
            "content": [part],
        }
        events = [self._added({**self._text, "content": []}, self._text)]
        where = self._where(self._text)
        self._going_on = orjson.dumps(where)[1:-1] if kind == "output_text" else None
        events.append(self._event("response.content_part.added", **where, content_index=0, part=part))
        return self._text, events

    def _join_words(self) -> None:
        """Put words that were passed on into their message."""
        if self._words and self._text is not None:
            self._text["content"][0]["text"] += "".join(self._words)
            self._words = []

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
            more: Json = {"logprobs": part["logprobs"]} if kind == "output_text" else {}
            events.append(self._event(f"response.{kind}.done", **where, content_index=0, **{said: part[said]}, **more))
            events.append(self._event("response.content_part.done", **where, content_index=0, part=part))
        elif item["type"] == "reasoning":
            text = "".join(part["text"] for part in item["content"])
            events.append(self._event("response.reasoning_text.done", **where, content_index=0, text=text))
        elif item["type"] == "custom_tool_call":
            index = next(index for index, one in self._calls.items() if one is item)
            item["input"] = text_input(self._arguments[index])
            events.append(self._event("response.custom_tool_call_input.delta", **where, delta=item["input"]))
            events.append(self._event("response.custom_tool_call_input.done", **where, input=item["input"]))
        else:
            given = {"arguments": item["arguments"], "name": item["name"]}
            events.append(self._event("response.function_call_arguments.done", **where, **given))
        events.append(self._event("response.output_item.done", output_index=where["output_index"], item=item))
        return events

    def _where(self, item: Json) -> Json:
        place = next(place for place, one in enumerate(self._output) if one is item)
        return {"item_id": item["id"], "output_index": place}

    def _event(self, kind: str, **fields: object) -> bytes:
        if not self._stream:  # a whole answer is put together in the same way, and nobody reads its events
            return b""
        value = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"

    def _response(self, status: str, tally: StreamUsage | None) -> Json:
        cut = CUT.get(str(self._finish)) if status == "incomplete" else None
        return {
            "id": self.response_id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": cut} if cut else None,
            "model": self._model,
            "output": self._output if status != "in_progress" else [],
            "usage": _usage(tally),
            **self._echo,
        }

    def _message(self) -> Json:
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
                    "function": {"name": self._names[index], "arguments": self._arguments[index]},
                }
                for index, item in self._calls.items()
            ]
        self._said.put_back(said)
        return said


def _logprobs(choice: Json) -> list[Json]:
    """The log-probabilities of a choice's words, where its endpoint sends them."""
    given: object = choice.get("logprobs")
    found: object = cast("Json", given).get("content") if isinstance(given, dict) else None
    entries = cast("list[Any]", found) if isinstance(found, list) else []
    return [one for one in entries if isinstance(one, dict)]


def _usage(tally: StreamUsage | None) -> Json | None:
    if tally is None or tally.usage is None:
        return None
    usage = tally.usage
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": tally.cached},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": tally.thoughts},
        "total_tokens": usage.total,
    }
