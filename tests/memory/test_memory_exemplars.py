"""The choice of the auctions that stay when a memory is compacted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sale.memory.compaction import EXAMPLES, PLACE_OF_STATISTICS, choose_exemplars
from sale.memory.retrieval import IndexedAuction


def drawn_members(generator: np.random.Generator, size: int) -> tuple[NDArray[np.float32], list[IndexedAuction]]:
    """Auctions of some texts, half of them about the same one."""
    vectors = generator.normal(size=(size, 5)).astype(np.float32)
    vectors[generator.integers(size, size=size // 2)] = vectors[0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, [
        IndexedAuction(
            auction=place,
            task=place,
            started=float(place),
            awarded=True,
            verdict=("success", "failure", None)[generator.integers(3)],
            bidders=("a", "b", "c")[: generator.integers(4)],
        )
        for place in range(size)
    ]


@given(st.integers(1, 40), st.integers(1, 45), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_each_auction_goes_to_the_exemplar_most_like_it(size: int, count: int, seed: int):
    vectors, members = drawn_members(np.random.default_rng(seed), size)
    nearest = choose_exemplars(vectors, members, count)
    kept = np.unique(nearest)
    assert len(kept) == min(count, len({vector.tobytes() for vector in vectors}))
    assert (nearest[kept] == kept).all()
    likeness = vectors @ vectors.T
    assert likeness[np.arange(size), nearest] == pytest.approx(likeness[:, kept].max(axis=1), abs=1e-6)
    same = (vectors == vectors[0]).all(axis=1)
    assert len(np.unique(nearest[same])) == 1, "equal texts are never parted"


def taught(vectors: NDArray[np.float32], members: Sequence[IndexedAuction], kept: Sequence[int]) -> float:
    """The likeness of the nearest examples, over all tasks and agents, by definition."""
    total = 0.0
    for task, vector in enumerate(vectors):
        for agent, weight in (("a", 1.0), ("b", 1.0), ("c", 1.0), (None, PLACE_OF_STATISTICS)):
            able = [
                max(float(vectors[one] @ vector), 0.0)
                for one in kept
                if one != task and (agent is None or (agent in members[one].bidders and len(members[one].bidders) > 1))
            ]
            total += weight * sum(sorted(able)[-EXAMPLES:])
    return total


@given(st.integers(4, 8), st.integers(1, 3), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_what_stays_teaches_nearly_as_much_as_any_choice_could(size: int, count: int, seed: int):
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(size, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    members = [replace(one, verdict="success") for one in drawn_members(generator, size)[1]]
    kept = np.unique(choose_exemplars(vectors, members, count)).tolist()
    most = max(taught(vectors, members, some) for some in combinations(range(size), count))
    assert taught(vectors, members, kept) >= (1 - 1 / np.e) * most - 1e-5
