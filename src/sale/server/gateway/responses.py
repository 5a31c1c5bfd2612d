"""`POST /v1/responses` as chat completions: the request translated. `response_sink` translates the answer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from sale.server.gateway.chat_request import ChatRequest, read_request
from sale.server.gateway.errors import ApiError
from sale.server.gateway.exchange import Exchange
from sale.server.gateway.response_sink import ResponseSink
from sale.server.gateway.sink import Sink

Json = dict[str, Any]
KEPT = 2000
"""Number of responses that can be continued by `previous_response_id`."""
KEPT_BYTES = 256 * 1024 * 1024
"""Bytes of the conversations that they stand for, all together, each with all its turns."""
SAME = ("model", "temperature", "top_p", "parallel_tool_calls", "user", "metadata", "service_tier", "top_logprobs")
"""Fields that have the same name in both interfaces."""
TEXTS = frozenset({"input_text", "output_text", "text"})


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredResponse:
    """The conversation that a response stands for."""

    owner: str | None
    """The secret it was asked for with."""
    messages: list[Json]
    size: int
    """Of all of it, in bytes."""


class ResponseReader:
    """Reads requests, and keeps what later ones may go on with."""

    def __init__(self, most: Callable[[], int], *, kept_bytes: int = KEPT_BYTES) -> None:
        """Nothing is kept.

        Args:
            most: The bytes a request may have, what it goes on with included.
            kept_bytes: How much is kept of all.
        """
        self._most = most
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, StoredResponse] = OrderedDict()

    def read(self, exchange: Exchange, body: Json, size: int) -> tuple[ChatRequest, Sink]:
        """A request as chat completions, and who translates the answer back.

        Raises:
            ApiError: It asks for what cannot be translated, is too large with what it goes on with, or is wrong.
        """
        messages = [*self._before(body.get("previous_response_id"), exchange.secret), *messages_of(body.get("input"))]
        instructions: object = body.get("instructions")
        if instructions is not None and not isinstance(instructions, str):
            raise _wrong("instructions", "must be a text")
        told = [{"role": "system", "content": instructions}] if instructions else []
        chat = chat_body(body) | {"messages": [*told, *messages]}
        # What is gone on with is sent along, so the endpoint reads, and charges for, more than has come.
        if body.get("previous_response_id") is not None:
            size = len(orjson.dumps(chat))
            if size > (most := self._most()):
                raise ApiError(
                    f"with what it goes on with, the request is larger than {most:,} bytes",
                    status=413,
                    name="request_too_large",
                    param="previous_response_id",
                )
        asked = read_request(chat, size)

        def keep(response_id: str, said: Json) -> None:
            if body.get("store") is not False:
                kept = StoredResponse(
                    owner=exchange.secret, messages=[*messages, said], size=size + len(orjson.dumps(said))
                )
                self._keep(response_id, kept)

        return asked, ResponseSink(exchange, body, stream=asked.stream, keep=keep)

    def _before(self, previous: object, secret: str | None) -> list[Json]:
        if previous is None:
            return []
        found = self._kept.get(previous) if isinstance(previous, str) else None
        if found is None or found.owner != secret:
            raise ApiError(
                "the previous response is not known here, or no longer",
                status=404 if isinstance(previous, str) else 400,
                name="previous_response_not_found",
                param="previous_response_id",
            )
        return found.messages

    def _keep(self, response_id: str, kept: StoredResponse) -> None:
        self._kept[response_id] = kept
        self._bytes += kept.size
        while len(self._kept) > KEPT or self._bytes > self._kept_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.size


def chat_body(body: Json) -> Json:
    """Everything but the messages."""
    chat: Json = {name: body[name] for name in SAME if body.get(name) is not None}
    if body.get("stream") is not None:
        chat["stream"] = body["stream"]
    if body.get("max_output_tokens") is not None:
        chat["max_tokens"] = body["max_output_tokens"]
    reasoning: object = body.get("reasoning")
    if isinstance(reasoning, dict) and (effort := cast("Json", reasoning).get("effort")) is not None:
        chat["reasoning_effort"] = effort
    if body.get("tools"):
        chat["tools"] = [_tool(tool) for tool in _listed(body["tools"], "tools")]
        if body.get("tool_choice") is not None:
            chat["tool_choice"] = _choice(body["tool_choice"])
    text: object = body.get("text")
    wanted: object = cast("Json", text).get("format") if isinstance(text, dict) else None
    if isinstance(wanted, dict) and (kind := cast("Json", wanted).get("type")) != "text":
        fields = {name: value for name, value in cast("Json", wanted).items() if name != "type"}
        chat["response_format"] = {"type": kind, "json_schema": fields} if kind == "json_schema" else {"type": kind}
    return chat


def messages_of(given: object) -> list[Json]:
    """The input as chat messages; calls that an assistant made together are one message again.

    Raises:
        ApiError: An item is of a kind that chat completions do not know.
    """
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    messages: list[Json] = []
    for place, item in enumerate(_listed(given, "input")):
        where = f"input[{place}]"
        if not isinstance(item, dict):
            raise _wrong(where, "must be an object")
        _add(messages, cast("Json", item), where)
    if not messages:
        raise _wrong("input", "must not be empty")
    return messages


def _add(messages: list[Json], item: Json, where: str) -> None:
    kind: object = item.get("type", "message")
    if kind == "message":
        role: object = item.get("role")
        if not isinstance(role, str):
            raise _wrong(f"{where}.role", "must be the name of a role")
        messages.append({"role": role, "content": _content(item.get("content"), role, where)})
    elif kind == "function_call":
        call = {"name": str(item.get("name", "")), "arguments": str(item.get("arguments", ""))}
        made = {"id": str(item.get("call_id", "")), "type": "function", "function": call}
        if not messages or messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": None})
        messages[-1].setdefault("tool_calls", []).append(made)
    elif kind == "function_call_output":
        output: object = item.get("output")
        content = output if isinstance(output, str) else _content(output, "tool", where)
        messages.append({"role": "tool", "tool_call_id": str(item.get("call_id", "")), "content": content})
    elif kind != "reasoning":  # an agent's thoughts are its own; chat completions have no place for them
        raise ApiError(f"{where}: items of this type are not supported", name="unsupported", param=where)


def _content(content: object, role: str, where: str) -> object:
    """Content in chat's terms: one text where it is nothing but text."""
    if isinstance(content, str) or content is None:
        return content or ""
    parts = [_part(part, where) for part in _listed(content, f"{where}.content")]
    if role in {"assistant", "tool"} or (len(parts) == 1 and parts[0]["type"] == "text"):
        return "".join(str(part.get("text", "")) for part in parts)
    return parts


def _part(part: object, where: str) -> Json:
    fields = cast("Json", part) if isinstance(part, dict) else {}
    kind: object = fields.get("type")
    if kind in TEXTS and isinstance(fields.get("text"), str):
        return {"type": "text", "text": fields["text"]}
    if kind == "refusal":
        return {"type": "text", "text": str(fields.get("refusal", ""))}
    if kind == "input_image" and isinstance(fields.get("image_url"), str):
        image = {"url": fields["image_url"]}
        detail: object = fields.get("detail")
        return {"type": "image_url", "image_url": image | ({"detail": detail} if detail else {})}
    raise ApiError(f"{where}: content of this kind is not supported", name="unsupported", param=f"{where}.content")


def _tool(tool: object) -> Json:
    fields = cast("Json", tool) if isinstance(tool, dict) else {}
    if fields.get("type") != "function" or not isinstance(fields.get("name"), str):
        raise ApiError("only tools of the type function are supported", name="unsupported", param="tools")
    about = {name: value for name, value in fields.items() if name != "type" and value is not None}
    return {"type": "function", "function": about}


def _choice(choice: object) -> object:
    if isinstance(choice, dict) and cast("Json", choice).get("type") == "function":
        return {"type": "function", "function": {"name": cast("Json", choice).get("name")}}
    if not isinstance(choice, str):
        raise ApiError("this choice of tools is not supported", name="unsupported", param="tool_choice")
    return choice


def _listed(value: object, where: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise _wrong(where, "must be a list")
    return cast("list[object]", value)


def _wrong(param: str, what: str) -> ApiError:
    return ApiError(f"{param} {what}", name="invalid_value", param=param)
