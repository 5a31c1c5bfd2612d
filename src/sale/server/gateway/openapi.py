"""`/openapi.json`: what the gateway takes and gives, for people and for programs that test it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from sale.server.gateway.response_fields import INCLUDED, OF_PROVIDED_TOOLS

Json = dict[str, Any]
TEXT: Json = {"type": "string"}
OBJECT: Json = {"type": "object"}
COUNT: Json = {"type": "integer", "minimum": 1, "maximum": 1_000_000}
SESSION = "A conversation's id. One that is not known yet begins a session of that name."
ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": TEXT,
                "type": TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
MESSAGE: Json = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": {"type": "string", "minLength": 1, "maxLength": 32},
        "content": {"type": ["string", "array", "null"], "items": OBJECT},
        "tool_calls": {"type": "array", "items": OBJECT},
        "tool_call_id": TEXT,
    },
}
CHAT: Json = {
    "type": "object",
    "required": ["model", "messages"],
    "properties": {
        "model": {"type": "string", "description": "`sale` is auctioned; an agent's name asks that agent directly."},
        "messages": {"type": "array", "minItems": 1, "items": MESSAGE},
        "stream": {"type": ["boolean", "null"]},
        "stream_options": {"type": ["object", "null"], "properties": {"include_usage": {"type": "boolean"}}},
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 128},
        "max_tokens": {"anyOf": [COUNT, {"type": "null"}]},
        "max_completion_tokens": {"anyOf": [COUNT, {"type": "null"}]},
        "tools": {"type": "array", "items": OBJECT},
        "metadata": {"type": ["object", "null"], "properties": {"sale_session": TEXT}},
    },
    "additionalProperties": True,
}
RESPONSES: Json = {
    "type": "object",
    "required": ["model", "input"],
    "properties": {
        "model": TEXT,
        "input": {"anyOf": [TEXT, {"type": "array", "minItems": 1, "items": OBJECT}]},
        "instructions": {"type": ["string", "null"]},
        "previous_response_id": {"type": ["string", "null"]},
        "stream": {"type": ["boolean", "null"]},
        "max_output_tokens": {"anyOf": [COUNT, {"type": "null"}]},
        "tools": {"type": "array", "items": OBJECT},
        "store": {"type": ["boolean", "null"]},
        "include": {"type": ["array", "null"], "items": {"enum": sorted(INCLUDED | OF_PROVIDED_TOOLS)}},
        "truncation": {"enum": ["disabled", None]},
        "background": {"enum": [False, None]},
    },
    "additionalProperties": True,
}
RESPONSE: Json = {
    "type": "object",
    "required": ["id", "object", "status", "output"],
    "properties": {
        "id": TEXT,
        "object": {"const": "response"},
        "status": {"enum": ["completed", "incomplete"]},
        "output": {"type": "array", "items": OBJECT},
    },
}
DELETED: Json = {
    "type": "object",
    "required": ["id", "object", "deleted"],
    "properties": {"id": TEXT, "object": {"const": "response"}, "deleted": {"const": True}},
}
ITEMS: Json = {
    "type": "object",
    "required": ["object", "data", "has_more"],
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": OBJECT},
        "has_more": {"type": "boolean"},
        "first_id": {"type": ["string", "null"]},
        "last_id": {"type": ["string", "null"]},
    },
}
COMPLETIONS: Json = {
    "type": "object",
    "required": ["model", "prompt"],
    "properties": {
        "model": {**TEXT, "description": "An agent's name: nothing is auctioned here."},
        "prompt": {"anyOf": [TEXT, {"type": "array", "minItems": 1, "maxItems": 64, "items": TEXT}]},
        "stream": {"type": ["boolean", "null"]},
        "max_tokens": {"anyOf": [COUNT, {"type": "null"}]},
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 128},
    },
    "additionalProperties": True,
}
RERANK: Json = {
    "type": "object",
    "required": ["model", "query", "documents"],
    "properties": {
        "model": {**TEXT, "description": "An agent's name: nothing is auctioned here."},
        "query": TEXT,
        "documents": {"type": "array", "minItems": 1, "maxItems": 1000, "items": {"anyOf": [TEXT, OBJECT]}},
        "top_n": {"anyOf": [COUNT, {"type": "null"}]},
    },
    "additionalProperties": True,
}
CONVERSATION: Json = {
    "type": "object",
    "required": ["model", "messages"],
    "properties": {
        "model": {**TEXT, "minLength": 1},
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["role", "content"],
                "properties": {
                    "role": {"enum": ["user", "assistant", "system"]},
                    "content": {"type": ["string", "array"], "items": OBJECT},
                },
            },
        },
        "system": {"type": ["string", "array"], "items": OBJECT},
        "tools": {"type": "array", "items": OBJECT},
        "tool_choice": OBJECT,
        "thinking": OBJECT,
        "output_config": OBJECT,
    },
    "additionalProperties": True,
}
MESSAGES: Json = {
    **CONVERSATION,
    "required": ["model", "messages", "max_tokens"],
    "properties": {
        **CONVERSATION["properties"],
        "max_tokens": COUNT,
        "stream": {"type": ["boolean", "null"]},
        "stop_sequences": {"type": "array", "items": TEXT},
        "metadata": {"type": ["object", "null"], "properties": {"user_id": TEXT, "sale_session": TEXT}},
    },
}
TOKENS: Json = {"type": "object", "required": ["input_tokens"], "properties": {"input_tokens": {"type": "integer"}}}
MESSAGE_ERROR: Json = {
    "type": "object",
    "required": ["type", "error", "request_id"],
    "properties": {
        "type": {"const": "error"},
        "error": {"type": "object", "required": ["type", "message"], "properties": {"type": TEXT, "message": TEXT}},
        "request_id": TEXT,
    },
}
EMBEDDINGS: Json = {
    "type": "object",
    "required": ["model", "input"],
    "properties": {
        "model": TEXT,
        "input": {"anyOf": [TEXT, {"type": "array", "minItems": 1, "maxItems": 2048, "items": TEXT}]},
        "encoding_format": {"enum": ["float", "base64"]},
    },
    "additionalProperties": True,
}
FEEDBACK: Json = {
    "type": "object",
    "description": "One of the ids, and a verdict or a score.",
    "properties": {
        "session_id": TEXT,
        "auction_id": TEXT,
        "response_id": TEXT,
        "verdict": {"enum": ["success", "failure", "unknown"]},
        "score": {"type": "number", "minimum": 0, "maximum": 1, "description": "From 0.5 up it is a success."},
        "detail": TEXT,
    },
}
MODEL: Json = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": TEXT, "object": {"const": "model"}, "created": {"type": "integer"}, "owned_by": TEXT},
}
MODELS: Json = {
    "type": "object",
    "description": "With the header `anthropic-version`, in Anthropic's form.",
    "required": ["data"],
    "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": MODEL}},
}
STATUS: Json = {"type": "object", "required": ["status"], "properties": {"status": TEXT}}
REQUIRE = "Labels of every agent that may see the request: `region=eu|ch, retention=none`."
LABELS: Json = {"type": "string", "pattern": "^[a-z0-9]{1,16}=[a-z0-9]{1,16}(, [a-z0-9]{1,16}=[a-z0-9]{1,16}){0,4}$"}
TOLD: Json = {
    "x-sale-session": "The session's id.",
    "x-sale-auction": "The auction's record.",
    "x-sale-agent": "Who answers.",
    "x-sale-reason": "Why that agent answers, in a word.",
    "x-sale-cost": "Dollars this request has cost so far, its auction with it.",
    "x-sale-cost-basis": "`counted` by the endpoint, or an `estimate`.",
    "idempotent-replayed": "`true` where the answer was given before.",
    "x-sale-lost": "Fields of the request that the endpoint was not told.",
}


def openapi() -> Json:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sale",
            "version": version("sale"),
            "description": "A market of language-model agents, behind the APIs of OpenAI and Anthropic.",
        },
        "components": {
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
            "schemas": {"Error": ERROR, "MessageError": MESSAGE_ERROR},
        },
        "security": [{"key": []}, {"x-api-key": []}, {}],
        "paths": {
            "/v1/chat/completions": {"post": _operation("chat", "Chat completions", CHAT, OBJECT, streams=True)},
            "/v1/responses": {"post": _operation("responses", "Responses", RESPONSES, OBJECT, streams=True)},
            "/v1/responses/{response_id}": {
                "get": _about_response("response", "A response that was kept", RESPONSE),
                "delete": _about_response("delete_response", "Forget a response", DELETED),
            },
            "/v1/responses/{response_id}/input_items": {
                "get": _about_response("input_items", "The input of a response that was kept", ITEMS)
            },
            "/v1/completions": {"post": _operation("completions", "Passed through to an agent", COMPLETIONS, OBJECT)},
            "/v1/rerank": {"post": _operation("rerank", "Passed through to an agent", RERANK, OBJECT)},
            "/v1/messages": {
                "post": _operation(
                    "messages", "Anthropic's Messages", MESSAGES, OBJECT, streams=True, error="MessageError"
                )
            },
            "/v1/messages/count_tokens": {
                "post": _operation("count_tokens", "An estimate", CONVERSATION, TOKENS, error="MessageError")
            },
            "/v1/embeddings": {"post": _operation("embeddings", "Embeddings", EMBEDDINGS, OBJECT)},
            "/v1/feedback": {"post": _operation("feedback", "How a conversation came out", FEEDBACK, OBJECT)},
            "/v1/models": {"get": _operation("models", "The market and its agents", None, MODELS)},
            "/v1/models/{model}": {
                "get": {
                    **_operation("model", "One of them", None, MODEL),
                    "parameters": [{"name": "model", "in": "path", "required": True, "schema": TEXT}],
                }
            },
            "/healthz": {"get": _operation("healthz", "The process answers", None, STATUS)},
            "/readyz": {"get": _operation("readyz", "It takes new work", None, STATUS)},
        },
    }


def _about_response(name: str, summary: str, gives: Json) -> Json:
    parameter: Json = {"name": "response_id", "in": "path", "required": True, "schema": TEXT}
    return {**_operation(name, summary, None, gives), "parameters": [parameter]}


def _operation(
    name: str, summary: str, takes: Json | None, gives: Json, *, streams: bool = False, error: str = "Error"
) -> Json:
    content: Json = {"application/json": {"schema": gives}}
    if streams:
        content["text/event-stream"] = {"schema": TEXT}
    done: Json = {"description": "Done.", "content": content}
    if streams:
        done["headers"] = {header: {"description": about, "schema": TEXT} for header, about in TOLD.items()}
    failed = {
        "description": "An error, in the form of the protocol.",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{error}"}}},
    }
    operation: Json = {"operationId": name, "summary": summary, "responses": {"200": done, "default": failed}}
    if takes is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": takes}}}
    if streams:
        operation["parameters"] = [
            {
                "name": "x-sale-session",
                "in": "header",
                "description": SESSION,
                "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
            },
            {"name": "x-sale-require", "in": "header", "description": REQUIRE, "schema": LABELS},
            {
                "name": "idempotency-key",
                "in": "header",
                "description": "The same request under the same key is worked on once.",
                "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
            },
        ]
    return operation
