"""Estimates of requests that are passed through: prompts, texts to be embedded, and documents to be ranked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, cast

import orjson

from sale.server.gateway.token_estimate import SOME_MORE, TokenEstimate, weigh
from sale.types.calls import byte_length

Json = dict[str, Any]

UNREAD: Final = frozenset({"model", "user", "metadata", "encoding_format"})
"""Fields that no model reads."""
DOCUMENTS: Final = ("documents", "texts", "passages")
"""Names that rerankers have for what is ranked."""
QUERY: Final = "query"


def weigh_embedding(body: Mapping[str, Any]) -> TokenEstimate:
    """Estimate a request for embeddings: `input`, `messages` in its place, and what else an endpoint may read."""
    found = _weigh_inputs(body.get("input")) + TokenEstimate(words=_words(body, ("input", "messages")))
    said: object = body.get("messages")
    if not said:
        return found
    messages = (
        [cast("Json", one) for one in cast("list[object]", said) if isinstance(one, dict)] if _is_list(said) else []
    )
    return found + weigh({"messages": said}, messages, _size(said))


def weigh_prompts(body: Mapping[str, Any], size: int) -> TokenEstimate:
    """Estimate a request for a completion: words, but for prompts that are tokens.

    Args:
        body: The request.
        size: Its bytes as it came.
    """
    prompts = _weigh_inputs(body.get("prompt"))
    if not prompts.most:
        return TokenEstimate(words=size)
    return prompts + TokenEstimate(words=_size(body) - _size(body["prompt"]))


def weigh_ranking(body: Mapping[str, Any], size: int) -> TokenEstimate:
    """Estimate a request for a ranking: a reranker reads the query, and whatever else is said, with each document.

    Args:
        body: The request.
        size: Its bytes as it came.
    """
    several = {name: _length(value) for name, value in body.items() if name not in {QUERY, *UNREAD}}
    count = max(several.values(), default=1)
    ranked = [name for name in DOCUMENTS if name in several] or [
        name for name, many in several.items() if many == count
    ]
    again = count - 1
    return TokenEstimate(words=size + _words(body, ranked) * again, most=SOME_MORE * again)


def count_prompts(body: Mapping[str, Any]) -> int:
    """Return the number of prompts, each of which gets answers of its own: as texts, tokens or vectors."""
    return max(1, sum(_count_prompts(body.get(name)) for name in ("prompt", "prompt_embeds")))


def _count_prompts(given: object) -> int:
    """A list holds several, unless it holds the tokens of one."""
    if not _is_list(given):
        return int(given is not None)
    found = cast("list[object]", given)
    return max(sum(not _is_number(one) for one in found), int(bool(found)))


def _weigh_inputs(given: object) -> TokenEstimate:
    """Texts and lists of tokens; anything else as words."""
    if given is None:
        return TokenEstimate()
    if not _is_list(given):
        return TokenEstimate(words=_text_size(given))
    words = tokens = 0
    for one in cast("list[object]", given):
        if _is_number(one):
            tokens += 1
        elif _is_list(one) and all(_is_number(token) for token in cast("list[object]", one)):
            tokens += len(cast("list[object]", one))
        else:
            words += _text_size(one)
    return TokenEstimate(words=words, most=tokens, usual=tokens)


def _words(body: Mapping[str, Any], but: Collection[str]) -> int:
    """The bytes of all texts of a request but for those of some fields."""
    return sum(
        _text_size(cast("object", value))
        for name, value in body.items()
        if name not in but and name not in UNREAD and isinstance(value, str | list | dict) and value
    )


def _length(value: object) -> int:
    """The length of a list, or of the longest one that an object holds; else 1."""
    if isinstance(value, dict):
        return max((_length(one) for one in cast("Json", value).values() if _is_list(one)), default=1)
    return max(1, len(cast("list[object]", value))) if _is_list(value) else 1


def _text_size(value: object) -> int:
    return byte_length(value) if isinstance(value, str) else _size(value)


def _size(value: object) -> int:
    return len(orjson.dumps(value))


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
