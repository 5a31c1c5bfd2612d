"""Texts as numbers: sentence embeddings, as the papers use them, and word n-grams.

Embeddings are the default everywhere: 384 numbers say more about 50 to 100 training tasks than thousands of sparse
counts. Word n-grams need no model, so they are for an installation without the `local` extra, and may be joined to
embeddings, since code and arithmetic differ in tokens that a sentence embedding blurs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from sklearn.feature_extraction import text as sklearn_text

from sale.bench.routers.protocol import Floats, Ints
from sale.models.embedding import Embedder

_TfidfVectorizer: Any = sklearn_text.TfidfVectorizer

Vectorise = Callable[[Sequence[str]], Floats]
"""n texts to an (n, d) array."""


class Features(Protocol):
    """A way of turning texts into numbers."""

    def learn(self, texts: Sequence[str], /) -> Vectorise:
        """Learn what there is in training texts alone; the function returned may be given any texts."""
        ...


def distinct(items: Sequence[Hashable]) -> tuple[Ints, Ints]:
    """Equal items as one: where each stands first, in order; and, for each item, its place among those.

    Some tables name no more of a task than where it comes from. What is learnt from a text need be computed once then.
    """
    first: dict[Hashable, int] = {}
    for row, item in enumerate(items):
        first.setdefault(item, row)
    place = {item: number for number, item in enumerate(first)}
    return np.array([*first.values()], np.intp), np.array([place[item] for item in items], np.intp)


def sum_by(place: Ints, values: Floats, count: int) -> Floats:
    """(count, A) sums of the rows of `values`, (n, A), that have the same place."""
    found: Floats = np.zeros((count, values.shape[1]))
    np.add.at(found, place, values)
    return found


class Embeddings:
    """Sentence embeddings, each text embedded once in the life of this object: hand one to all routers of a run.

    The embedder is asynchronous and routers are not, so it runs in an event loop of its own, in a thread: this works
    with and without a running loop, and blocks until it is done.
    """

    def __init__(self, embedder: Embedder) -> None:
        """Nothing is embedded yet."""
        self._embedder = embedder
        self._known: dict[str, Floats] = {}

    @property
    def embedder(self) -> str:
        """Its name."""
        return self._embedder.name

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Shape (texts, dimensions), rows of length one.

        Raises:
            MissingExtraError: The embedder needs an extra that is not installed.
            CallError: The embedder's endpoint failed.
        """
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        if missing:
            with ThreadPoolExecutor(max_workers=1) as thread:
                rows = thread.submit(asyncio.run, self._embedder.embed(missing)).result()
            self._known.update(zip(missing, np.asarray(rows, dtype=np.float64), strict=True))
        if not texts:
            return np.zeros((0, self._embedder.dimensions))
        return np.stack([self._known[text] for text in texts])

    def learn(self, texts: Sequence[str], /) -> Vectorise:
        """Nothing is learnt from the texts; they are embedded now."""
        self(texts)
        return self


class WordNgrams:
    """TF-IDF of words and pairs of words, with logarithmic counts, rows of length one."""

    def __init__(self, most: int = 1000) -> None:
        """Keep the `most` frequent n-grams of the training texts."""
        self._most = most

    def learn(self, texts: Sequence[str], /) -> Vectorise:
        """The n-grams of these texts; texts without a single word give one column of zeros."""
        model = _TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=self._most)
        try:
            model.fit(texts)
        except ValueError:  # there is no word in any text
            return lambda asked: np.zeros((len(asked), 1))

        def vectorise(asked: Sequence[str]) -> Floats:
            if not asked:
                return np.zeros((0, len(model.vocabulary_)))
            return np.asarray(model.transform(asked).toarray(), dtype=np.float64)

        return vectorise


class JoinedFeatures:
    """Several features side by side."""

    def __init__(self, *parts: Features) -> None:
        """In this order."""
        self._parts = parts

    def learn(self, texts: Sequence[str], /) -> Vectorise:
        """Each part learns alone."""
        learnt = [part.learn(texts) for part in self._parts]
        return lambda asked: np.hstack([vectorise(asked) for vectorise in learnt])
