"""The request of a chat client, and its translation for an agent's endpoint.

The client's messages are never changed but for the winner's plan, always in the same place, so that prompt caches hold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import orjson

from sale.models.address import EFFORT
from sale.server.gateway.abilities import Needs, needs_of
from sale.server.gateway.conversation import text_of
from sale.server.gateway.dialect import fit_body
from sale.server.gateway.errors import ApiError
from sale.server.gateway.identity import INSTRUCTING
from sale.server.gateway.prompts import asked_text, plan_text
from sale.server.gateway.token_estimate import CHOICES, TokenEstimate, weigh
from sale.types.labels import NOTHING_REQUIRED, Requirements

Json = dict[str, Any]
MAX_CHOICES = 128
A_COUNT = "must be a whole number from 1 to 2^64 - 1"
"""The end of the sentence about a number of tokens. JSON's larger integers are read as floating-point numbers."""
ROLE_CHARACTERS = 32
SESSION_FIELD = "sale_session"
"""The field of `metadata` that names a session."""
REQUIRE_FIELD = "sale_require"
"""The field of `metadata` that names labels which agents must have."""
OWN_FIELDS = frozenset({SESSION_FIELD, REQUIRE_FIELD})
OTHER_MODELS = ("models", "fallbacks", "preset")
"""By these some endpoints answer with a model that the client names: not the agent's, and at another price."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatRequest:
    """A chat completion request."""

    body: Json
    weight: TokenEstimate
    """Its estimated tokens, before any are counted."""
    model: str
    messages: Sequence[Json]
    stream: bool
    wants_usage: bool
    """True where usage is to be in the stream."""
    require: Requirements = NOTHING_REQUIRED
    """Labels of all agents that may see it: `metadata.sale_require`."""
    session: str | None = None
    """The session the body names, `metadata.sale_session`."""
    cache_key: str | None = None
    """The client's `prompt_cache_key`: some have one for each conversation, others one for all."""
    optional: frozenset[str] = frozenset()
    """Fields that the gateway wrote and that are left out where an endpoint refuses them; see `dialect`."""
    lost: frozenset[str] = frozenset()
    """Fields of a request of another protocol that chat completions cannot say."""
    aside: bool = False
    """True where it is not a turn of a conversation: no auction is held for it."""
    _needs: list[Needs] = field(default_factory=list[Needs], init=False, repr=False, compare=False)
    """Once they are asked for: all messages are looked at for them."""

    @property
    def tools(self) -> bool:
        """True where the client offers tools."""
        return bool(self.body.get("tools") or self.body.get("functions"))

    @property
    def adds_usage(self) -> bool:
        """True where the wish for usage in the stream is the gateway's alone."""
        return self.stream and self.body.get("stream_options") is None

    @property
    def needs(self) -> Needs:
        """Features and size that its agent has to take; what can be left out of the request is none."""
        if not self._needs:
            body = dict(self.body)
            remove_own_fields(body)
            needs = needs_of(body, self.messages, self.weight.as_a_rule)
            self._needs.append(replace(needs, features=needs.features - self.optional))
        return self._needs[0]

    @property
    def effort(self) -> str | None:
        """The reasoning effort it asks for, if it does: `reasoning_effort`, or `reasoning.effort`."""
        nested: object = self.body.get("reasoning")
        within: object = cast("Json", nested).get("effort") if isinstance(nested, dict) else None
        found: object = self.body.get(EFFORT) or within
        return found if isinstance(found, str) else None

    def upstream_body(
        self, model: str, plan: str, refused: Collection[str] = (), *, effort: str | None = None
    ) -> bytes:
        """The body for an agent's endpoint: its model, its plan, and usage at the end of a stream.

        Args:
            model: The name at the endpoint.
            plan: The strategy to be shown; none where it is empty.
            refused: Optional fields that the endpoint refuses.
            effort: The reasoning effort to be sent in place of what the request says.
        """
        body = self.body | {"model": model}
        if effort is not None:
            body.pop("reasoning", None)
            body[EFFORT] = effort
        remove_own_fields(body)
        if plan:
            body["messages"] = with_plan(self.messages, plan)
        if self.stream:
            options: object = self.body.get("stream_options")
            given = cast("Json", options) if isinstance(options, dict) else {}
            body["stream_options"] = given | {"include_usage": True}
        return orjson.dumps(fit_body(body, refused) if refused else body)

    def text(self) -> str:
        """The conversation as one text."""
        return asked_text([{"role": one["role"], "text": text_of(one.get("content"))} for one in self.messages])


def remove_own_fields(body: Json) -> None:
    """Take the gateway's own fields out of a body: some endpoints refuse metadata where nothing is stored."""
    metadata: object = body.get("metadata")
    if isinstance(metadata, dict) and OWN_FIELDS & metadata.keys():
        rest = {name: value for name, value in cast("Json", metadata).items() if name not in OWN_FIELDS}
        if rest:
            body["metadata"] = rest
        else:
            del body["metadata"]


def with_plan(messages: Sequence[Json], plan: str) -> list[Json]:
    """The messages with the plan at the end of the first one, if that instructs; else in one of its own before it."""
    told = plan_text(plan)
    first = messages[0]
    if first["role"] not in INSTRUCTING:
        return [{"role": "system", "content": told}, *messages]
    content: object = first.get("content")
    if isinstance(content, list):
        both: object = [*cast("list[object]", content), {"type": "text", "text": told}]
    else:
        both = f"{content}\n\n{told}" if content else told
    return [{**first, "content": both}, *messages[1:]]


def read_request(body: Json, size: int) -> ChatRequest:
    """A body as a request; only what the gateway itself goes by is looked at.

    Args:
        body: In terms of chat completions.
        size: Its bytes.

    Raises:
        ApiError: Something of that is wrong.
    """
    model = read_model(body)
    refuse_other_models(body)
    stream: object = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise _wrong("stream", "must be true or false")
    check_choices_asked(body)
    for name in ("max_tokens", "max_completion_tokens"):
        if body.get(name) is not None and not (_is_int(body[name]) and body[name] > 0):
            raise _wrong(name, A_COUNT)
    options: object = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise _wrong("stream_options", "must be an object")
    metadata: object = body.get("metadata")
    fields = cast("Json", metadata) if isinstance(metadata, dict) else Json()
    named: object = fields.get(SESSION_FIELD)
    if named is not None and not isinstance(named, str):
        raise _wrong("metadata.sale_session", "must be a text")
    messages = _messages(body.get("messages"))
    cache_key: object = body.get("prompt_cache_key")
    return ChatRequest(
        body=body,
        weight=weigh(body, messages, size),
        model=model,
        messages=messages,
        stream=stream is True,
        wants_usage=isinstance(options, dict) and cast("Json", options).get("include_usage") is True,
        session=named,
        cache_key=cache_key if isinstance(cache_key, str) and cache_key else None,
        require=required_by_body(body),
    )


def read_translated(chat: Json, most: int, param: str | None = None) -> ChatRequest:
    """A request of another protocol, in terms of chat completions, weighed as it is sent.

    Args:
        chat: The translation.
        most: The bytes it may have.
        param: The field that made it large, for the error.

    Raises:
        ApiError: It is larger, or something of it is wrong.
    """
    size = len(orjson.dumps(chat))
    if size > most:
        what = "with what it goes on with" if param else "as a chat completion"
        raise ApiError(
            f"{what}, the request is larger than {most:,} bytes", status=413, name="request_too_large", param=param
        )
    return read_request(chat, size)


def check_choices_asked(body: Mapping[str, Any]) -> None:
    """See that the number of answers is one: money is set aside for so many.

    Raises:
        ApiError: It is written in another way, which an endpoint may understand all the same, or too large.
    """
    for name in CHOICES:
        if body.get(name) is not None and not (_is_int(body[name]) and 1 <= body[name] <= MAX_CHOICES):
            raise _wrong(name, f"must be a number from 1 to {MAX_CHOICES}")


def read_model(body: Mapping[str, object]) -> str:
    """The model that a request names.

    Raises:
        ApiError: It names none.
    """
    model: object = body.get("model")
    if not isinstance(model, str) or not model:
        raise _wrong("model", "must name a model")
    return model


def required_by_body(body: Mapping[str, object]) -> Requirements:
    """The labels that `metadata.sale_require` requires.

    Raises:
        ApiError: They are not written as such.
    """
    metadata: object = body.get("metadata")
    fields = cast("Json", metadata) if isinstance(metadata, dict) else {}
    return read_requirements(fields.get(REQUIRE_FIELD), "metadata.sale_require")


def read_requirements(given: object, param: str) -> Requirements:
    """Read the labels that a request requires, `region=eu|ch, retention=none`.

    Args:
        given: As the client wrote them; `None` where it did not.
        param: Where it wrote them, for the error.

    Raises:
        ApiError: They are not written so.
    """
    if given is None:
        return NOTHING_REQUIRED
    if not isinstance(given, str):
        raise _wrong(param, "must be a text, region=eu|ch, retention=none")
    try:
        return Requirements.parse(given)
    except ValueError as error:
        raise _wrong(param, str(error)) from None


def refuse_other_models(body: Mapping[str, object]) -> None:
    """See that a request is for one model.

    Raises:
        ApiError: It would have its endpoint choose among others.
    """
    for name in OTHER_MODELS:
        if body.get(name):
            raise _wrong(name, "is not taken: the answer is of the one model of `model`")


def _messages(given: object) -> list[Json]:
    if not isinstance(given, list) or not given:
        raise _wrong("messages", "must be a list of at least one message")
    found = cast("list[object]", given)
    for place, one in enumerate(found):
        if not isinstance(one, dict):
            raise _wrong(f"messages[{place}]", "must be an object")
        role: object = cast("Json", one).get("role")
        if not isinstance(role, str) or not 0 < len(role) <= ROLE_CHARACTERS:
            raise _wrong(f"messages[{place}].role", "must be the name of a role")
    return cast("list[Json]", found)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong(param: str, what: str) -> ApiError:
    return ApiError(f"{param} {what}", name="invalid_value", param=param)
