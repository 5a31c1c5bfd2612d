"""An agent's answer in the shape of a chat completion, whole or as a stream."""

from __future__ import annotations

import time
import uuid
from typing import Any

import orjson

from sale.types import Usage

Json = dict[str, Any]


def as_completion(answer: str, model: str, usage: Usage) -> Json:
    """A whole one."""
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop", "logprobs": None}
        ],
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total,
        },
    }


def chunks_of(value: Json) -> bytes:
    """A whole answer of an endpoint that was asked for a stream, as the stream it should have been."""
    head = {name: value[name] for name in ("id", "created", "model") if name in value}
    head["object"] = "chat.completion.chunk"
    parts: list[Json] = []
    for place, choice in enumerate(value["choices"]):
        index = choice.get("index", place)
        message: Json = dict(choice["message"])
        if message.get("tool_calls"):
            message["tool_calls"] = [{"index": at} | call for at, call in enumerate(message["tool_calls"])]
        parts.append({**head, "choices": [{"index": index, "delta": message, "finish_reason": None}]})
        last: Json = {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}
        parts.append({**head, "choices": [last]})
    if value.get("usage") is not None:
        parts.append({**head, "choices": [], "usage": value["usage"]})
    return b"".join(b"data: " + orjson.dumps(part) + b"\n\n" for part in parts)


def as_chunks(value: Json) -> bytes:
    """The same as an endpoint would stream it: the answer in one chunk, then the end, then the usage."""
    head = {name: value[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    choice = value["choices"][0]
    first: Json = {"index": 0, "delta": choice["message"], "finish_reason": None, "logprobs": None}
    last: Json = {"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": None}
    parts: list[Json] = [
        {**head, "choices": [first]},
        {**head, "choices": [last]},
        {**head, "choices": [], "usage": value["usage"]},
    ]
    return b"".join(b"data: " + orjson.dumps(part) + b"\n\n" for part in parts)
