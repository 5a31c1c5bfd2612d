"""Texts as numbers: each text embedded once, with or without a running loop; n-grams; and the predictors on top."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from sale.bench.routers.estimators import (
    folds,
    logistic_columns,
    nearest,
    neighbour_means,
    neural_columns,
    ridge_columns,
    soft_classifier,
    units,
)
from sale.bench.routers.features import Embeddings, JoinedFeatures, WordNgrams, distinct, sum_by
from sale.bench.routers.oi_mas import OiMas
from sale.bench.routers.strmac import Strmac
from sale.bench.routers.wtp import WtpNearest
from sale.models.embedding import MiniLMEmbedder, Vectors
from tests.bench.routers.tables import separable

LINE = np.linspace(-1, 1, 20)[:, None]


class Counted(MiniLMEmbedder):
    """The real embedder, and what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return await super().embed(texts)


def test_a_text_is_embedded_once() -> None:
    embedder = Counted()
    embeddings = Embeddings(embedder)
    rows = embeddings(["a cat", "a dog", "a cat"])
    assert rows.shape == (3, 384)
    assert np.array_equal(rows[0], rows[2])
    assert np.array_equal(embeddings.learn(["a dog"])(["a dog"]), rows[1:2])
    assert embedder.asked == ["a cat", "a dog"]
    assert embeddings([]).shape == (0, 384)


async def test_inside_a_running_loop() -> None:
    assert asyncio.get_running_loop().is_running()
    assert Embeddings(MiniLMEmbedder())(["a cat"]).shape == (1, 384)


def test_a_router_over_the_real_embedder() -> None:
    train, test = separable(30, 1), separable(12, 2)
    router = WtpNearest(Embeddings(MiniLMEmbedder()), k=5)
    router.fit(train)
    assert test.success[np.arange(12), router.route(test).chosen].mean() >= 0.9


def test_joined_features_stand_side_by_side() -> None:
    texts = ["one two", "two three"]
    both = JoinedFeatures(WordNgrams(), WordNgrams(most=2)).learn(texts)(texts)
    assert both.shape == (2, 5 + 2)
    assert JoinedFeatures(WordNgrams()).learn(["", " "])(["x"]).tolist() == [[0.0]]


class TestPredictors:
    def test_nearest_by_cosine(self) -> None:
        known = np.array([[1.0, 0.0], [0.0, 1.0], [5.0, 1.0]])
        assert nearest(known, np.array([[2.0, 0.1]]), 2).tolist() == [[0, 2]]
        assert nearest(known, known, 9).shape == (3, 3)

    def test_means_of_neighbours(self) -> None:
        known = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        predict = neighbour_means(known, np.array([[0.0, 4.0], [1.0, 2.0], [9.0, 9.0]]), 2)
        assert predict(np.array([[1.0, 0.05]])).tolist() == [[0.5, 3.0]]

    def test_logistic_weighs_grades(self) -> None:
        # Without a slope to learn from, the graded mean is all there is.
        predict = logistic_columns(np.zeros((4, 1)), np.array([[0.2], [0.6], [0.4], [0.8]]))
        assert predict(np.zeros((1, 1))) == pytest.approx(0.5, abs=1e-3)
        rising = logistic_columns(LINE, (LINE > 0).astype(float))(LINE)[:, 0]
        assert np.all(np.diff(rising) > 0)

    def test_ridge_keeps_the_scale(self) -> None:
        values = np.hstack([1e-4 * (LINE + 2), 300 * LINE, np.full_like(LINE, 7.0)])
        found = ridge_columns(LINE, values)(LINE)
        assert found.mean(axis=0) == pytest.approx(values.mean(axis=0), abs=1e-9)
        assert np.corrcoef(found[:, 0], values[:, 0])[0, 1] == pytest.approx(1.0)
        assert found[:, 2] == pytest.approx(7.0)

    def test_neural_learns_a_step(self) -> None:
        features = np.repeat([[1.0, 0.0], [0.0, 1.0]], 60, axis=0)
        predict = neural_columns(features, features[:, :1], (100,))
        low, high = predict(np.array([[0.0, 1.0], [1.0, 0.0]]))[:, 0]
        assert high - low > 0.8

    def test_soft_labels_are_matched(self) -> None:
        features = np.ones((200, 1))
        labels = np.tile([0.2, 0.0, 0.8], (200, 1))
        assert soft_classifier(features, labels, (8,))(features[:1])[0] == pytest.approx([0.2, 0.0, 0.8], abs=0.05)

    @pytest.mark.parametrize(("rows", "count"), [(1, 0), (2, 2), (7, 5), (50, 5)])
    def test_folds_part_the_rows(self, rows: int, count: int) -> None:
        parts = folds(rows, 5, 1)
        assert len(parts) == count
        if parts:
            assert sorted(np.concatenate([held for _, held in parts])) == list(range(rows))
        assert all(not set(train) & set(held) for train, held in parts)

    def test_small_tables_have_small_networks(self) -> None:
        assert [units(100, rows) for rows in (1, 50, 500)] == [4, 25, 100]


def test_equal_items_stand_once_in_order_and_their_rows_add_up() -> None:
    first, place = distinct(["b", "a", "b", "c", "a"])
    assert first.tolist() == [0, 1, 3]
    assert place.tolist() == [0, 1, 0, 2, 1]
    rows = np.arange(10.0).reshape(5, 2)
    assert sum_by(place, rows, 3).tolist() == [[4, 6], [10, 12], [6, 7]]
    assert distinct([])[0].tolist() == []


@pytest.mark.parametrize("make", [OiMas, Strmac])
def test_a_text_that_many_tasks_share_teaches_what_its_copies_do(make: type[OiMas] | type[Strmac]) -> None:
    table, other = separable(40, seed=5), separable(30, seed=6)
    few = tuple(text.split()[0] for text in table.texts)
    shared, apart = (
        replace(table, texts=texts) for texts in (few, tuple(text + " " * row for row, text in enumerate(few)))
    )
    assert len(set(shared.texts)) < 15
    assert len(set(apart.texts)) == 40
    routings: list[list[list[int]]] = []
    for known in (shared, apart):
        router = make(WordNgrams())
        router.fit(known)
        routings.append([routing.chosen.tolist() for routing in router.sweep(other, router.grid(known))])
    assert routings[0] == routings[1]
    assert len({tuple(chosen) for chosen in routings[0]}) > 1
