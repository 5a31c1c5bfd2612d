"""`POST /v1/responses` as chat completions: the request translated. `response_sink` translates the answer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import orjson

from sale.server.gateway.chat_request import SESSION_FIELD, ChatRequest, read_translated
from sale.server.gateway.dialect import SIGNS
from sale.server.gateway.errors import ApiError
from sale.server.gateway.exchange import Exchange
from sale.server.gateway.piece_limit import check_pieces
from sale.server.gateway.prompts import tool_returned_text
from sale.server.gateway.reasoning import Reasoning
from sale.server.gateway.response_fields import LOGPROBS, SAME, check_fields, read_include
from sale.server.gateway.response_sink import ResponseSink
from sale.server.gateway.response_tools import TEXT_INPUT, ResponseTools, kind_of
from sale.server.gateway.sink import Sink
from sale.server.gateway.store_protocol import GatewayStore
from sale.server.store.types import Holder

Json = dict[str, Any]
SESSION_HEADERS = (b"session-id", b"session_id")
"""By these Codex names its conversation."""
TEXTS = frozenset({"input_text", "output_text", "text"})
CALLS = frozenset({"function_call", "custom_tool_call"})
OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})
REASONING = "\0reasoning"
"""Where a message being read holds its reasoning; no field of a client's is called so."""
WORDS = "\0words"
"""Where it holds what it says beside calls, piece by piece: joined once, as there may be thousands."""
SHOWN = "\0shown"
"""Where the result of a tool being read holds its images."""


class ResponseReader:
    """Reads requests, with what they go on with."""

    def __init__(self, store: GatewayStore, most: Callable[[], int]) -> None:
        """Nothing is read.

        Args:
            store: Keeps what later requests may go on with.
            most: The bytes a request may have as it is sent on, what it goes on with included.
        """
        self._store = store
        self._most = most

    async def read(self, exchange: Exchange, body: Json, _: int, holder: Holder) -> tuple[ChatRequest, Sink]:
        """A request as chat completions, and who translates the answer back.

        Raises:
            ApiError: It asks for what cannot be translated, is too large with what it goes on with, or is wrong.
        """
        lost = check_fields(body)
        previous: object = body.get("previous_response_id")
        before = [] if previous is None else await self._before(previous, holder)
        new = messages_of(body.get("input"))
        instructions: object = body.get("instructions")
        if instructions is not None and not isinstance(instructions, str):
            raise _wrong("instructions", "must be a text")
        told = [{"role": "system", "content": instructions}] if instructions else []
        tools = ResponseTools.read(_listed(body.get("tools") or [], "tools"))
        chat = chat_body(body, tools) | {"messages": [*told, *before, *new]}
        optional = frozenset(SIGNS.keys() & chat.keys())
        # What is gone on with is sent along, so the endpoint reads, and charges for, more than has come.
        asked = read_translated(chat, self._most(), "previous_response_id" if before else None)
        session = next((found for name in SESSION_HEADERS if (found := exchange.header(name))), None)
        asked = replace(
            asked,
            optional=optional,
            lost=frozenset(tools.lost | lost),
            session=_named(body) or session or asked.session,
        )

        async def keep(said: Json, response: Json) -> None:
            if body.get("store") is not False:
                going_on = str(previous) if previous is not None else None
                kept = {"input": items_of(body["input"]), "said": said, "response": response}
                await self._store.responses.keep(str(response["id"]), holder.key_id, going_on, kept)

        return asked, ResponseSink(exchange, body, stream=asked.stream, keep=keep, tools=tools)

    async def _before(self, previous: object, holder: Holder) -> list[Json]:
        named = isinstance(previous, str)
        found = await self._store.responses.chain(previous, holder.key_id) if named else None
        if found is None:
            raise ApiError(
                "the previous response is not known here, or no longer",
                status=404 if named else 400,
                name="previous_response_not_found",
                param="previous_response_id",
            )
        check_pieces({"input": [item for one in found for item in one["input"]]}, "previous_response_id")
        return [message for one in found for message in [*messages_of(one["input"]), one["said"]]]


def items_of(given: object) -> list[Json]:
    """The input as a list of items, each with an id, as it is kept and shown."""
    if isinstance(given, str):
        given = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    return [
        {"type": "message", "id": f"item_{uuid.uuid4().hex}", **_present(item)} for item in cast("list[Json]", given)
    ]


def _present(item: Mapping[str, Any]) -> Json:
    """An item's fields that have a value; the words of a message as a list of parts."""
    found = {name: value for name, value in item.items() if value is not None}
    if isinstance(text := found.get("content"), str):
        kind = "output_text" if found.get("role") == "assistant" else "input_text"
        found["content"] = [{"type": kind, "text": text}]
    return found


def _named(body: Json) -> str | None:
    metadata: object = body.get("metadata")
    named: object = cast("Json", metadata).get(SESSION_FIELD) if isinstance(metadata, dict) else None
    return named if isinstance(named, str) else None


def chat_body(body: Json, tools: ResponseTools) -> Json:
    """Everything but the messages."""
    chat: Json = {name: body[name] for name in SAME if body.get(name) is not None}
    if body.get("stream") is not None:
        chat["stream"] = body["stream"]
    if body.get("max_output_tokens") is not None:
        chat["max_tokens"] = body["max_output_tokens"]
    if LOGPROBS in read_include(body.get("include")) or body.get("top_logprobs"):
        chat["logprobs"] = True
    reasoning: object = body.get("reasoning")
    if isinstance(reasoning, dict) and (effort := cast("Json", reasoning).get("effort")) is not None:
        chat["reasoning_effort"] = effort
    if tools.functions:
        chat["tools"] = tools.functions
        if body.get("tool_choice") is not None:
            chat["tool_choice"] = _choice(body["tool_choice"], tools)
    text: object = body.get("text")
    if isinstance(text, dict) and (verbosity := cast("Json", text).get("verbosity")) is not None:
        chat["verbosity"] = verbosity
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
    if not isinstance(given, list):
        raise _wrong("input", "must be a text, or a list of items")
    messages: list[Json] = []
    for place, item in enumerate(cast("list[object]", given)):
        where = f"input[{place}]"
        if not isinstance(item, dict):
            raise _wrong(where, "must be an object")
        _add(messages, cast("Json", item), where)
    if not messages:
        raise _wrong("input", "must not be empty")
    return _settled(messages)


def _add(messages: list[Json], item: Json, where: str) -> None:
    kind = kind_of(item) if "type" in item else "message"
    if kind == "message":
        role: object = item.get("role")
        if not isinstance(role, str):
            raise _wrong(f"{where}.role", "must be the name of a role")
        content = _content(item.get("content"), role, where)
        if role == "assistant" and messages and (REASONING in messages[-1] or messages[-1].get("tool_calls")):
            # Words beside a call, or after a thought, are of one message: what tools gave must follow the calls.
            messages[-1].setdefault(WORDS, [messages[-1]["content"] or ""]).append(content)
        else:
            messages.append({"role": role, "content": content})
    elif kind in CALLS:
        call = {"name": ResponseTools().name_of(item), "arguments": _arguments(item)}
        made = {"id": str(item.get("call_id", "")), "type": "function", "function": call}
        _assistant(messages).setdefault("tool_calls", []).append(made)
    elif kind in OUTPUTS:
        output: object = item.get("output")
        parts = [] if isinstance(output, str) or output is None else _parts(output, where)
        text = output if isinstance(output, str) else "".join(part.get("text", "") for part in parts)
        told = {"role": "tool", "tool_call_id": str(item.get("call_id", "")), "content": text}
        shown = [part for part in parts if part["type"] != "text"]
        messages.append(told | ({SHOWN: shown} if shown else {}))
    elif kind == "reasoning":
        _restore(_assistant(messages).setdefault(REASONING, Reasoning()), item)
    else:
        raise ApiError(f"{where}: items of this type are not supported", name="unsupported", param=where)


def _assistant(messages: list[Json]) -> Json:
    """The assistant's message that goes on."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    return messages[-1]


def _arguments(item: Json) -> str:
    if item.get("type") == "custom_tool_call":
        return orjson.dumps({TEXT_INPUT: str(item.get("input", ""))}).decode()
    return str(item.get("arguments", ""))


def _restore(reasoning: Reasoning, item: Json) -> None:
    """Take in an item of the type `reasoning`: the state that came from here, or else its text."""
    given: object = item.get("content")
    parts = cast("list[Json]", given) if isinstance(given, list) else []
    text = "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))  # pyright: ignore[reportUnnecessaryIsInstance]
    state: object = item.get("encrypted_content")
    if not (isinstance(state, str) and reasoning.restore(state, text)) and text:
        reasoning.add({"reasoning_content": text})


def _settled(messages: list[Json]) -> list[Json]:
    """The messages as they are sent: reasoning in its endpoint's fields, images that tools gave after all results."""
    found: list[Json] = []
    shown: list[Json] = []
    for message in messages:
        if message["role"] != "tool" and shown:
            found.append({"role": "user", "content": shown})
            shown = []
        if words := cast("list[str] | None", message.pop(WORDS, None)):
            message["content"] = "".join(words)
        reasoning = cast("Reasoning | None", message.pop(REASONING, None))
        if parts := message.pop(SHOWN, None):
            shown += [{"type": "text", "text": tool_returned_text(message["tool_call_id"])}, *parts]
        if reasoning is not None:
            if message["content"] is None and not message.get("tool_calls"):
                continue  # a thought that nothing followed
            reasoning.put_back(message)
        found.append(message)
    return [*found, {"role": "user", "content": shown}] if shown else found


def _content(content: object, role: str, where: str) -> object:
    """Content in chat's terms: one text where it is nothing but text."""
    if isinstance(content, str) or content is None:
        return content or ""
    parts = _parts(content, where)
    if role in {"assistant", "tool"} or (len(parts) == 1 and parts[0]["type"] == "text"):
        return "".join(str(part.get("text", "")) for part in parts)
    return parts


def _parts(content: object, where: str) -> list[Json]:
    return [_part(part, where) for part in _listed(content, f"{where}.content")]


def _part(part: object, where: str) -> Json:
    fields = cast("Json", part) if isinstance(part, dict) else {}
    kind = kind_of(fields)
    if kind in TEXTS and isinstance(fields.get("text"), str):
        return {"type": "text", "text": fields["text"]}
    if kind == "refusal":
        return {"type": "text", "text": str(fields.get("refusal", ""))}
    if kind == "input_image" and isinstance(fields.get("image_url"), str):
        image = {"url": fields["image_url"]}
        detail: object = fields.get("detail")
        return {"type": "image_url", "image_url": image | ({"detail": detail} if detail else {})}
    if kind == "input_file" and isinstance(fields.get("file_data"), str):
        file = {"file_data": fields["file_data"]}
        filename: object = fields.get("filename")
        return {"type": "file", "file": file | ({"filename": filename} if filename else {})}
    raise ApiError(f"{where}: content of this kind is not supported", name="unsupported", param=f"{where}.content")


def _choice(choice: object, tools: ResponseTools) -> object:
    if isinstance(choice, dict) and kind_of(cast("Json", choice)) in {"function", "custom"}:
        return {"type": "function", "function": {"name": tools.name_of(cast("Json", choice))}}
    if not isinstance(choice, str):
        raise ApiError("this choice of tools is not supported", name="unsupported", param="tool_choice")
    return choice


def _listed(value: object, where: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise _wrong(where, "must be a list")
    return cast("list[object]", value)


def _wrong(param: str, what: str) -> ApiError:
    return ApiError(f"{param} {what}", name="invalid_value", param=param)
