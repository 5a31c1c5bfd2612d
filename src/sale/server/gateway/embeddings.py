"""`POST /v1/embeddings`: passed to the endpoint the settings name, or answered by the embedded MiniLM.

They count against a key's budget and its tokens a minute like everything else, and are on the ledger.
"""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any, cast

import numpy as np
import orjson
from starlette.types import Receive, Scope, Send

from sale import config
from sale.errors import RequirementError, SaleError
from sale.models.address import Address
from sale.models.embedding import MiniLMEmbedder
from sale.models.prices import listed_embedding_price
from sale.server.gateway.chat import MEGABYTE, RequestRecord, commit_line, required_by_header, say_last_word
from sale.server.gateway.chat_request import refuse_other_models, remove_own_fields, required_by_body
from sale.server.gateway.direct_estimate import weigh_embedding
from sale.server.gateway.errors import CLIENT_LEFT, ApiError, as_api_error, stopping_error
from sale.server.gateway.exchange import Exchange, document
from sale.server.gateway.state import GatewayState
from sale.server.gateway.token_estimate import TokenEstimate
from sale.server.gateway.upstream_json import error_in, protocol_error, read_json, reported_error
from sale.server.store.types import Holder
from sale.types import Usage
from sale.types.labels import Requirements, read_labels

MAX_TEXTS = 2048
SECONDS = 60.0
MAX_TOKENS = 2**40
Json = dict[str, Any]


class EmbeddingsEndpoint:
    """Texts to vectors."""

    def __init__(self, state: GatewayState) -> None:
        """Nothing is loaded before the first request."""
        self._state = state
        self._embedder = MiniLMEmbedder()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        with self._state.track_request():
            await self._take(Exchange(scope, receive, send))

    async def _take(self, exchange: Exchange) -> None:
        noted = RequestRecord(path=exchange.path, began=time.monotonic())
        holder = None
        try:
            holder = await self._state.store.admit(exchange.secret)
            body = document(await exchange.body(self._state.settings.body_mb * MEGABYTE))
            self._check_labels(holder.require | required_by_body(body) | required_by_header(exchange))
            remove_own_fields(body)
            async with exchange.watch_connection():
                answer = await self._paid(body, holder, noted)
                await commit_line(self._state, noted, holder)
                await exchange.reply(200, answer)
            noted.status, noted.error = 200, None
        except SaleError as error:
            told = as_api_error(error)
            noted.status, noted.error = told.status, told.name or told.code
            if told.status != CLIENT_LEFT and not exchange.started:
                await exchange.reply(told.status, told.document(), told.headers)
        except asyncio.CancelledError:
            if not self._state.draining:
                raise
            told = stopping_error()
            noted.status, noted.error = told.status, told.name
            if not exchange.started:
                await say_last_word(exchange.reply(told.status, told.document(), told.headers))
        finally:
            if holder is not None:
                await self._state.store.note(noted.line(holder, lambda _: 0.0))

    def _check_labels(self, require: Requirements) -> None:
        """See that the endpoint may see the texts; from the embedded model they do not leave the process.

        Raises:
            RequirementError: It has not the labels that are required.
        """
        settings = self._state.settings.embeddings
        if settings is not None and not require.met_by(labels := read_labels(settings.labels)):
            raise RequirementError(f"of the endpoint for embeddings, {require.explain_unmet([labels])}")

    async def _paid(self, body: Json, holder: Holder, noted: RequestRecord) -> bytes:
        """The answer, with money and tokens set aside before and settled after, however it ends."""
        refuse_other_models(body)
        settings = self._state.settings.embeddings
        weight = weigh_embedding(body)
        noted.model = self._embedder.name if settings is None else settings.model or str(body.get("model"))
        price = _price(settings, noted.model)
        most = weight.max_tokens()
        reservation = await self._state.store.reserve(holder, most * price / 1e6, most)
        try:
            if settings is None:
                answer, tokens = await self._embedded(body, weight)
                noted.usage = Usage(input_tokens=tokens)
                return answer
            return await self._forwarded(settings, body, weight, noted)
        finally:
            noted.dollars = noted.usage.total * price / 1e6
            await self._state.store.settle(reservation, dollars=noted.dollars, tokens=noted.usage.total)

    async def _forwarded(
        self, settings: config.EmbeddingSettings, body: Json, weight: TokenEstimate, noted: RequestRecord
    ) -> bytes:
        key = config.embeddings_key(settings)
        address = Address(base_url=settings.endpoint, model=noted.model, api_key=key)
        sent = orjson.dumps(body | {"model": noted.model})
        silence = min(SECONDS, self._state.settings.silence_seconds)
        noted.usage = Usage(input_tokens=weight.as_a_rule)
        try:
            async with self._state.upstream.post(address, "/embeddings", sent, silence=silence) as answer:
                raw = await answer.read_body()
                value, damage = read_json(raw)
                if (error := error_in(value)) is not None:
                    raise reported_error(error, answer.hide)
                if damage or not isinstance(value, dict) or not isinstance(cast("Json", value).get("data"), list):
                    raise protocol_error("sent what are no embeddings")
        except ApiError as error:
            if not error.spent:
                noted.usage = Usage()
            raise
        noted.usage = Usage(input_tokens=_counted(cast("Json", value), weight.as_a_rule))
        return raw

    async def _embedded(self, body: Json, weight: TokenEstimate) -> tuple[bytes, int]:
        texts = _texts(body.get("input"))
        wanted = body.get("encoding_format") or "float"
        if wanted not in ("float", "base64"):
            raise _wrong("encoding_format", "must be float or base64")
        if body.get("dimensions") not in (None, self._embedder.dimensions):
            raise _wrong("dimensions", f"must be {self._embedder.dimensions}")
        rows = await self._embedder.embed(texts)
        data = [
            {
                "object": "embedding",
                "index": place,
                "embedding": row.tolist()
                if wanted == "float"
                else base64.b64encode(row.astype(np.float32).tobytes()).decode(),
            }
            for place, row in enumerate(rows)
        ]
        tokens = weight.as_a_rule
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        value = {"object": "list", "data": data, "model": self._embedder.name, "usage": usage}
        return orjson.dumps(value), tokens


def _price(settings: config.EmbeddingSettings | None, model: str) -> float:
    """Dollars per million tokens."""
    if settings is None:
        return 0.0
    if settings.price is not None:
        return settings.price
    return listed_embedding_price(model, settings.endpoint) or 0.0


def _counted(value: Json, otherwise: int) -> int:
    """The tokens an endpoint has counted; an estimate where it has not."""
    usage: object = value.get("usage")
    fields = cast("Json", usage) if isinstance(usage, dict) else {}
    for name in ("prompt_tokens", "total_tokens"):
        found: object = fields.get(name)
        if isinstance(found, int) and not isinstance(found, bool) and 0 < found < MAX_TOKENS:
            return found
    return otherwise


def _texts(given: object) -> list[str]:
    """The input as texts; tokens, which OpenAI takes too, mean nothing to another model."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(one, str) for one in cast("list[object]", texts)):
        raise _wrong("input", "must be a text or a list of texts")
    found = cast("list[str]", texts)
    if len(found) > MAX_TEXTS or not all(found):
        raise _wrong("input", f"must be 1 to {MAX_TEXTS} texts, none of them empty")
    return found


def _wrong(param: str, what: str) -> ApiError:
    return ApiError(f"{param} {what}", name="invalid_value", param=param)
