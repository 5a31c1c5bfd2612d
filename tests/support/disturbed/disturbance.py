"""Embeddings as another processor might make them: each vector a little off, equal ones in the same way.

`pytest --disturb-embeddings=1e-6` runs the whole suite so, programs that tests start included: this directory is then
on PYTHONPATH, whose `sitecustomize` disturbs MiniLM as soon as a program imports it. Nothing of it is in the product.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.machinery
import os
import sys
from types import ModuleType
from typing import Any

EPSILON, SEED = "DISTURB_EMBEDDINGS", "DISTURB_SEED"
MODULE = "sale.models.embedding"


def disturbed(vectors: Any, epsilon: float, seed: int = 0) -> Any:
    """Rows of length one, each coordinate moved by up to `epsilon`."""
    import numpy as np

    if not len(vectors):
        return vectors
    noise = np.stack([_noise(row, seed) for row in vectors])
    moved = vectors.astype(np.float64) + epsilon * noise
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(vectors.dtype)


def _noise(row: Any, seed: int) -> Any:
    import numpy as np

    digest = hashlib.sha256(row.tobytes()).digest()
    return np.random.default_rng([seed, *digest[:8]]).uniform(-1.0, 1.0, len(row))


def disturb(module: ModuleType) -> None:
    """Have the module's MiniLM embed with a disturbance, as the environment says."""
    epsilon, seed = float(os.environ[EPSILON]), int(os.environ.get(SEED, "0"))
    embedder: Any = module.MiniLMEmbedder
    plain = embedder._embed

    def embed(self: Any, texts: list[str]) -> Any:
        return disturbed(plain(self, texts), epsilon, seed)

    embedder._embed = embed


class _Loader(importlib.abc.Loader):
    """Load the module as it is, then disturb it."""

    def __init__(self, plain: importlib.abc.Loader) -> None:
        self._plain = plain

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._plain.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._plain.exec_module(module)
        disturb(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Find the one module, and have it loaded by `_Loader`."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        if fullname != MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


def install() -> None:
    """Disturb MiniLM in this program, now or when it is imported."""
    if MODULE in sys.modules:
        disturb(sys.modules[MODULE])
    else:
        sys.meta_path.insert(0, _Finder())
