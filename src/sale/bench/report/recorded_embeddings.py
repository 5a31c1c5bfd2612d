"""Sentence embeddings of recorded texts, kept beside the records: a report says the same on any machine.

Another processor embeds a text with another seventh digit, and what is trained for hundreds of steps on embeddings
need not forgive that. The file is not believed blindly: `RecordedEmbeddings.differences` holds it to the embedder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sale.bench.replay import RecordedTasks
from sale.errors import InputError
from sale.models.embedding import Embedder, Vectors
from sale.storage.columns import text_digest

KEPT = 16
"""Hexadecimal digits of a text's digest: 64 bits tell a few thousand texts apart."""


class RecordedEmbeddings:
    """An embedder that knows the texts of some records, and no others."""

    def __init__(self, name: str, digests: Sequence[str], vectors: NDArray[np.float16]) -> None:
        """Keep what was embedded.

        Args:
            name: Of the embedder that made the vectors.
            digests: Of texts, by `digest_of`.
            vectors: A row for each.
        """
        self.name = name
        self.dimensions: int = vectors.shape[1]
        self._vectors = vectors
        self._places = {digest: place for place, digest in enumerate(digests)}

    @classmethod
    async def create(cls, texts: Iterable[str], embedder: Embedder) -> Self:
        """Embed texts, in the order of their digests."""
        by_digest = {digest_of(text): text for text in texts}
        digests = sorted(by_digest)
        vectors = await embedder.embed([by_digest[digest] for digest in digests])
        return cls(embedder.name, digests, vectors.astype(np.float16))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that `write` made.

        Raises:
            InputError: The file is missing, or is not of this kind.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                return cls(str(held["embedder"]), held["digests"].astype(str).tolist(), held["vectors"])
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
            raise InputError(f"the embeddings of the records cannot be read: {error}", where=str(path)) from error

    def write(self, path: Path) -> None:
        """Write a file, half precision: a thousandth of a cosine is far below what texts of one meaning differ by."""
        np.savez_compressed(
            path, embedder=np.array(self.name), digests=np.array([*self._places], "S"), vectors=self._vectors
        )

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Look up.

        Raises:
            InputError: A text is not among those recorded.
        """
        return self._rows([digest_of(text) for text in texts])

    def _rows(self, digests: Sequence[str]) -> Vectors:
        missing = sum(digest not in self._places for digest in digests)
        if missing:
            raise InputError(
                f"{missing} of {len(digests)} texts are not among the recorded embeddings",
                hint="After a new recording: python scripts/generate_results.py --embed",
            )
        rows = self._vectors[[self._places[digest] for digest in digests]].astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True) if len(rows) else rows

    async def differences(self, texts: Sequence[str], embedder: Embedder) -> Vectors:
        """(texts,) the largest difference of any coordinate from what an embedder says now."""
        fresh = await embedder.embed(texts)
        return np.abs(fresh - await self.embed(texts)).max(axis=1)


def digest_of(text: str) -> str:
    """The name of a text in the file."""
    return text_digest(text)[:KEPT]


def texts_of(recorded: RecordedTasks) -> set[str]:
    """Return the texts a report embeds: tasks, and answers that were given without a plan."""
    answers = {recorded.works[task.id, agent, ""].answer for task in recorded.tasks for agent in recorded.agents}
    return {task.prompt for task in recorded.tasks} | answers
