"""`POST /v1/embeddings`: passed to the endpoint the settings name, or answered by the embedded MiniLM."""

from __future__ import annotations

import base64
import time
from typing import Any, cast

import numpy as np
import orjson
from starlette.types import Receive, Scope, Send

from sale import config
from sale.errors import SaleError
from sale.models.address import Address
from sale.models.embedding import MiniLMEmbedder
from sale.server.gateway.chat import MEGABYTE, Noted
from sale.server.gateway.desk import Desk
from sale.server.gateway.errors import CLIENT_LEFT, ApiError, told_as
from sale.server.gateway.exchange import Exchange, document

MOST_TEXTS = 2048
SECONDS = 60.0
BYTES_PER_TOKEN = 4
Json = dict[str, Any]


class EmbeddingsEndpoint:
    """Texts to vectors."""

    def __init__(self, desk: Desk) -> None:
        """Nothing is loaded before the first request."""
        self._desk = desk
        self._embedder = MiniLMEmbedder()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        noted = Noted(path=exchange.path, began=time.monotonic())
        holder = None
        try:
            holder = await self._desk.store.admit(exchange.secret)
            body = document(await exchange.body(self._desk.settings.body_mb * MEGABYTE))
            async with exchange.connected():
                await exchange.reply(200, await self._answer(body))
            noted.status, noted.error = 200, None
        except SaleError as error:
            told = told_as(error)
            noted.status, noted.error = told.status, told.name or told.code
            if told.status != CLIENT_LEFT and not exchange.started:
                await exchange.reply(told.status, told.document(), told.headers)
        finally:
            if holder is not None:
                await self._desk.store.note(noted.line(holder, lambda _: 0.0))

    async def _answer(self, body: Json) -> bytes:
        settings = self._desk.settings.embeddings
        if settings is None:
            return await self._embedded(body)
        key = config.embeddings_key(settings)
        model = settings.model or str(body.get("model"))
        address = Address(base_url=settings.endpoint, model=model, api_key=key)
        sent = orjson.dumps(body | {"model": model})
        async with self._desk.upstream.post(address, "/embeddings", sent, silence=SECONDS) as answer:
            return await answer.whole()

    async def _embedded(self, body: Json) -> bytes:
        texts = _texts(body.get("input"))
        wanted = body.get("encoding_format") or "float"
        if wanted not in {"float", "base64"}:
            raise _wrong("encoding_format", "must be float or base64")
        if body.get("dimensions") not in {None, self._embedder.dimensions}:
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
        tokens = sum(-(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return orjson.dumps({"object": "list", "data": data, "model": self._embedder.name, "usage": usage})


def _texts(given: object) -> list[str]:
    """The input as texts; tokens, which OpenAI takes too, mean nothing to another model."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(one, str) for one in cast("list[object]", texts)):
        raise _wrong("input", "must be a text or a list of texts")
    found = cast("list[str]", texts)
    if len(found) > MOST_TEXTS or not all(found):
        raise _wrong("input", f"must be 1 to {MOST_TEXTS} texts, none of them empty")
    return found


def _wrong(param: str, what: str) -> ApiError:
    return ApiError(f"{param} {what}", name="invalid_value", param=param)
