"""Texts to unit vectors by any `/v1/embeddings` endpoint."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from openai import APIStatusError
from pydantic import SecretStr
from pydantic_ai.exceptions import (
    ModelAuthenticationError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelRateLimitError,
)

from sale.errors import BadReplyError
from sale.models.address import Address
from sale.models.connection import connect
from sale.models.embedding import Vectors, to_unit_length
from sale.models.errors import map_errors

if TYPE_CHECKING:
    from openai.types import Embedding as OneEmbedding

RETRIES = 2
ENDPOINT_SECONDS = 60.0
CATEGORIES = {
    401: ModelAuthenticationError,
    403: ModelAuthenticationError,
    404: ModelNotFoundError,
    429: ModelRateLimitError,
}


class EndpointEmbedder:
    """Any OpenAI-compatible `/v1/embeddings`."""

    def __init__(self, *, base_url: str, model: str, dimensions: int, api_key: SecretStr | None = None) -> None:
        """Nothing is opened.

        Args:
            base_url: Usually ends in `/v1`.
            model: The model's name there.
            dimensions: The length of its vectors.
            api_key: If it needs one.
        """
        self._address = Address(base_url=base_url, model=model, api_key=api_key)
        self._hide = (api_key.get_secret_value(),) if api_key else ()
        self.name = f"{base_url} {model}"
        self.dimensions = dimensions

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One request.

        Raises:
            CallError: The endpoint failed; the subclass says why and whether to try again.
            BadReplyError: It answered with vectors of another number or length, or with values that are not numbers.
        """
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        model = connect(self._address, agent=self.name, retries=RETRIES)
        try:
            with map_errors(self.name, self._hide, reading=True), _by_category(self._address.model):
                answer = await model.client.embeddings.create(
                    model=self._address.model, input=list(texts), encoding_format="float", timeout=ENDPOINT_SECONDS
                )
                # Sorted, as the protocol numbers them and does not promise an order.
                rows = np.array([one.embedding for one in sorted(answer.data, key=_index)], dtype=np.float32)
        finally:
            await model.client.close()
        return to_unit_length(self._checked(rows, len(texts)))

    def _checked(self, rows: Vectors, wanted: int) -> Vectors:
        if rows.shape != (wanted, self.dimensions):
            raise BadReplyError(
                f"expected {wanted} vectors of {self.dimensions} numbers, got {' × '.join(map(str, rows.shape))}",
                where=self.name,
                hint="Is `dimensions` the length of this model's vectors?",
            )
        if not np.isfinite(rows).all() or not rows.any(axis=1).all():
            raise BadReplyError("a vector is zero or not finite", where=self.name, hint="Take another model.")
        return rows


@contextmanager
def _by_category(model: str) -> Generator[None]:
    """Give a refusal the class that Pydantic AI gives those of its own calls, so that there is one map of errors."""
    try:
        yield
    except APIStatusError as error:
        raise ModelHTTPError.for_category(
            CATEGORIES.get(error.status_code), status_code=error.status_code, model_name=model, body=error.body
        ) from error


def _index(one: OneEmbedding) -> int:
    return one.index
