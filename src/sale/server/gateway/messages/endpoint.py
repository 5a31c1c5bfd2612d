"""`POST /v1/messages` and `/v1/messages/count_tokens`: how they are read, and whose conversation it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

import orjson
from starlette.types import Receive, Scope, Send

from sale.errors import SaleError
from sale.server.gateway.chat import MEGABYTE
from sale.server.gateway.chat_request import REQUIRE_FIELD, ChatRequest, read_requirements, read_translated
from sale.server.gateway.error_forms import error_response, new_request_id
from sale.server.gateway.errors import ApiError, as_api_error, unknown_model
from sale.server.gateway.exchange import Exchange, document
from sale.server.gateway.messages.sink import MessageSink
from sale.server.gateway.messages.to_chat import to_chat
from sale.server.gateway.messages.wire import MessagesRequest, read_conversation, read_messages_request
from sale.server.gateway.sink import Sink
from sale.server.gateway.state import GatewayState
from sale.server.store.types import Holder

Json = dict[str, Any]

VERSIONS: Final = ("2023-06-01", "2026-10-21")
"""Versions of the protocol. Answers have one form in both; the later one has no `temperature`, `top_p` and `top_k`,
which are taken here all the same, since agents know them."""
VERSION_HEADER: Final = b"anthropic-version"
SESSION_HEADER: Final = b"x-claude-code-session-id"
AGENT_HEADER: Final = b"x-claude-code-agent-id"
"""An agent that Claude Code sets to work has a conversation of its own within the session."""
SESSION_NAME: Final = re.compile(r"_session_([0-9A-Za-z-]{8,64})$")
"""The end of the `user_id` of earlier Claude Codes; later ones send JSON."""
PROBE_TOKENS: Final = 1
"""Answers so short are asked for to see whether a key works."""


class MessagesReader:
    """Reads requests of the Messages API."""

    def __init__(self, most: Callable[[], int]) -> None:
        """Nothing is read.

        Args:
            most: The bytes a request may have as it is sent on.
        """
        self._most = most

    async def read(self, exchange: Exchange, body: Json, _: int, __: Holder) -> tuple[ChatRequest, Sink]:
        """A request of the Messages API as chat completions, and who translates the answer back.

        Raises:
            ApiError: It is wrong, is too large, or asks for what cannot be translated.
        """
        check_version(exchange)
        request = read_messages_request(body)
        chat = to_chat(request)
        asked = read_translated(chat.body, self._most())
        named, claude_code = session_of(exchange, request)
        asked = replace(
            asked,
            optional=chat.optional,
            lost=frozenset(chat.lost),
            session=named,
            require=read_requirements((request.metadata or {}).get(REQUIRE_FIELD), f"metadata.{REQUIRE_FIELD}"),
            aside=is_aside(request, claude_code=claude_code),
        )
        return asked, MessageSink(exchange, request, asked.weight.as_a_rule)


def check_version(exchange: Exchange) -> None:
    """See that the client speaks the version of the protocol that is spoken here.

    Raises:
        ApiError: It names another one.
    """
    version = exchange.header(VERSION_HEADER)
    if version is not None and version not in VERSIONS:
        raise ApiError(f"anthropic-version: only {' and '.join(VERSIONS)} are supported", name="unsupported")


def session_of(exchange: Exchange, request: MessagesRequest) -> tuple[str | None, bool]:
    """Return the conversation as its client names it, and whether the client is Claude Code.

    It is named by `metadata.sale_session`, else by the session of Claude Code.

    Raises:
        ApiError: The name is not a text.
    """
    metadata = request.metadata or {}
    named: object = metadata.get("sale_session")
    if named is not None and not isinstance(named, str):
        raise ApiError("metadata.sale_session: must be a text", name="invalid_value", param="metadata.sale_session")
    session = exchange.header(SESSION_HEADER) or _session_in(metadata.get("user_id"))
    agent = exchange.header(AGENT_HEADER)
    own = f"{session}/{agent}" if session and agent else session or None
    return named or own, bool(session)


def is_aside(request: MessagesRequest, *, claude_code: bool) -> bool:
    """Return True where a request is not a turn of the conversation, so that no auction is to be held for it.

    That is a request for one token, which clients send to try a key, and one of a session of Claude Code that offers no
    tools and has no answers yet: titles, summaries of pages, names of branches. Its turns always offer tools.
    """
    if request.max_tokens <= PROBE_TOKENS:
        return True
    answered = any(message.role == "assistant" for message in request.messages)
    return claude_code and not request.tools and not answered


def _session_in(user_id: object) -> str | None:
    """The session in the `user_id` that Claude Code sends."""
    if not isinstance(user_id, str):
        return None
    if user_id.startswith("{"):
        try:
            value: object = orjson.loads(user_id)
        except orjson.JSONDecodeError:
            return None
        found: object = cast("Json", value).get("session_id") if isinstance(value, dict) else None
        return found if isinstance(found, str) and found else None
    match = SESSION_NAME.search(user_id)
    return match[1] if match else None


class CountTokensEndpoint:
    """An ASGI application that estimates the length of a conversation, without calling an agent and at no cost."""

    def __init__(self, state: GatewayState) -> None:
        """Nothing is opened."""
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        try:
            holder = await self._state.store.admit(exchange.secret)
            most = self._state.settings.body_mb * MEGABYTE
            raw = await exchange.body(most)
            check_version(exchange)
            request = read_conversation(document(raw))
            names = self._state.handle.list_models(holder.agents)
            if request.model not in names:
                raise unknown_model(request.model, names)
            chat = to_chat(request).body
            count = read_translated(chat, most).weight.as_a_rule
        except SaleError as error:
            told = as_api_error(error)
            if not exchange.left:
                await exchange.reply(told.status, *error_response(exchange.path, told))
            return
        headers = [(b"request-id", new_request_id().encode())]
        await exchange.reply(200, orjson.dumps({"input_tokens": max(1, count)}), headers)
