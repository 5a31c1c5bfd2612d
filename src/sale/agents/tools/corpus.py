"""Something to search without a network: passages with titles, found by words (SQLite FTS5) and by meaning (MiniLM).

The two rankings are joined by reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009). Which passages come back
depends on the corpus and the query alone, so a recorded execution can be repeated.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from sale.errors import InputError
from sale.files.private import make_own_directory
from sale.files.reading import decode_text, read_bytes
from sale.models.embedding import Embedder, Vectors

FUSION = 60
"""The constant of reciprocal rank fusion, as its authors set it."""
DEPTH = 50
"""Number of passages read from each ranking."""
PASSAGES = 3
BATCH = 64
"""Number of passages embedded between two reports of progress."""
IndexProgress = Callable[[int, int], None]
"""Called with the number of passages embedded so far, and the number of all."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """One passage of the corpus."""

    id: str
    title: str
    text: str


class Corpus:
    """Passages in memory with both indexes. Open it with `open_corpus`."""

    def __init__(self, passages: Sequence[Passage], vectors: Vectors | None, embedder: Embedder | None) -> None:
        """Index the words; `vectors` has one row for each passage, or is `None` for search by words alone."""
        self.passages = tuple(passages)
        self._vectors = vectors
        self._embedder = embedder
        self._words = sqlite3.connect(":memory:", check_same_thread=False)
        self._words.execute("CREATE VIRTUAL TABLE passages USING fts5(title, text, tokenize='porter unicode61')")
        self._words.executemany(
            "INSERT INTO passages(rowid, title, text) VALUES (?, ?, ?)",
            ((number, passage.title, passage.text) for number, passage in enumerate(self.passages)),
        )

    def __len__(self) -> int:
        return len(self.passages)

    def close(self) -> None:
        """Let go of the index."""
        self._words.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def search(self, query: str, k: int = PASSAGES) -> tuple[Passage, ...]:
        """The k passages that fit a query best, best first; fewer where fewer have anything to do with it."""
        return tuple(passage for passage, _ in await self.search_scored(query, k))

    async def search_scored(self, query: str, k: int = PASSAGES) -> tuple[tuple[Passage, float | None], ...]:
        """The same, each with its cosine similarity to the query; `None` where words alone are searched."""
        rankings = [self._by_words(query)]
        similarity: Vectors | None = None
        if self._vectors is not None and self._embedder is not None and query.strip():
            likeness: Vectors = self._vectors @ (await self._embedder.embed([query]))[0]
            rankings.append([int(row) for row in np.argsort(-likeness, kind="stable")[:DEPTH]])
            similarity = likeness
        points: Counter[int] = Counter()
        for ranking in rankings:
            for place, row in enumerate(ranking, start=1):
                points[row] += 1_000_000 // (FUSION + place)  # whole numbers: no rounding decides a tie
        best = sorted(points, key=lambda row: (-points[row], row))[:k]
        return tuple((self.passages[row], None if similarity is None else float(similarity[row])) for row in best)

    def _by_words(self, query: str) -> list[int]:
        words = _WORD.findall(query)
        if not words:
            return []
        # Every word in quotes: what a model writes is no query language.
        asked = " OR ".join(f'"{word}"' for word in words)
        found = self._words.execute(
            "SELECT rowid FROM passages WHERE passages MATCH ? ORDER BY bm25(passages, 2.0, 1.0), rowid LIMIT ?",
            (asked, DEPTH),
        )
        return [row for (row,) in found]


async def open_corpus(
    path: Path, *, embedder: Embedder | None = None, cache: Path | None = None, progress: IndexProgress | None = None
) -> Corpus:
    """A corpus from JSON lines with `id`, `title` and `text`, compressed with xz or not.

    Args:
        path: The file.
        embedder: Adds search by meaning; without one words alone are searched.
        cache: A directory where vectors are kept, under the digests of corpus and embedder.
        progress: Called with the passages embedded so far and the number of all, where vectors have to be made.

    Raises:
        InputError: The file cannot be read, or a line is not a passage; the message names the line.
    """
    passages = read_passages(path)
    vectors = await _vectors(passages, embedder, cache, progress) if embedder is not None else None
    return Corpus(passages, vectors, embedder)


async def index_corpus(path: Path, *, embedder: Embedder, cache: Path, progress: IndexProgress) -> None:
    """Make the vectors of a corpus and keep them, unless they are kept already: the next `open_corpus` is quick.

    Raises:
        InputError: As for `open_corpus`.
    """
    await _vectors(read_passages(path), embedder, cache, progress)


def read_passages(path: Path) -> list[Passage]:
    """The passages of a file; see `open_corpus`."""
    data = read_bytes(path)
    try:
        data = lzma.decompress(data) if path.suffix == ".xz" else data
    except (EOFError, lzma.LZMAError) as error:
        raise InputError(f"cannot read the corpus: {error}", where=str(path)) from error
    text = decode_text(data, str(path))
    passages: list[Passage] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            passages.append(Passage(id=str(row["id"]), title=str(row["title"]), text=str(row["text"])))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"no passage: {error!r}", where=f"{path}:{number}", hint="A line has id, title and text."
            ) from error
    if not passages:
        raise InputError("there are no passages in it", where=str(path))
    return passages


async def _vectors(
    passages: Sequence[Passage], embedder: Embedder, cache: Path | None, progress: IndexProgress | None
) -> Vectors:
    digest = hashlib.sha256(embedder.name.encode())
    for passage in passages:
        digest.update(f"\0{passage.title}\0{passage.text}".encode())
    kept = cache / f"corpus-{digest.hexdigest()[:16]}.npy" if cache is not None else None
    if kept is not None and kept.is_file():
        stored: Vectors = np.load(kept, allow_pickle=False)
        if stored.shape == (len(passages), embedder.dimensions):
            return stored
    vectors = np.concatenate([part async for part in _embed_in_batches(passages, embedder, progress)])
    if kept is not None:
        make_own_directory(kept.parent)
        partial = kept.with_suffix(f".{id(vectors):x}.tmp.npy")
        np.save(partial, vectors, allow_pickle=False)
        partial.replace(kept)
    return vectors


async def _embed_in_batches(
    passages: Sequence[Passage], embedder: Embedder, progress: IndexProgress | None
) -> AsyncIterator[Vectors]:
    """Embed some at a time, so that progress can be told; a text has the same vector whatever it is embedded with."""
    for first in range(0, len(passages), BATCH):
        if progress is not None:
            progress(first, len(passages))
        yield await embedder.embed([f"{one.title}. {one.text}" for one in passages[first : first + BATCH]])
    if progress is not None:
        progress(len(passages), len(passages))
