"""Weights by version: kept for good, put in use and taken out of it, and no auction's to take along."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, update

from sale.errors import InputError
from sale.memory.schema import success_models
from sale.memory.store import AuctionMemory
from sale.types import SuccessModel, Training, Weights, WeightSet
from tests.memory import builders
from tests.memory.builders import HashEmbedder, Place, remember, rows

TRAINING = Training(
    objective="utility",
    auctions=120,
    judged=100,
    since="2026-01-01T00:00:00+00:00",
    settings={"worth": 0.01, "folds": 5, "solver": "exact"},
    held_out={"pass@1": (0.6, 0.5, 0.7)},
    notes=("agents never seen: c",),
)
WEIGHTS = Weights(cost=1.0, entropy=-0.5, jurors={"a": 2.0, "b": 0.0}, track=1.5, source="fitted")


async def test_versions_are_counted_and_come_back_equal(memory: AuctionMemory, place: Place):
    before = datetime.now(UTC)
    assert await memory.weight_sets() == ()
    assert await memory.weights_in_use() is None
    first = await memory.add_weights(WEIGHTS, TRAINING)
    second = await memory.add_weights(replace(WEIGHTS, model=builders.MODEL), replace(TRAINING, since=None, notes=()))
    assert (first.version, second.version) == (1, 2)
    assert first.weights == replace(WEIGHTS, source="weights 1")
    assert second.weights == replace(WEIGHTS, source="weights 2", model=builders.MODEL)
    assert (first.training, second.training) == (TRAINING, replace(TRAINING, since=None, notes=()))
    times = [datetime.fromisoformat(one.made_at) for one in (first, second)]
    times = [before, *times, datetime.now(UTC)]
    assert times == sorted(times)
    assert await memory.weight_sets() == (first, second)
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as again:
        assert await again.weight_sets() == (first, second)


async def test_models_of_the_first_version_are_read_without_their_shift(memory: AuctionMemory, place: Place):
    await memory.add_weights(replace(WEIGHTS, model=builders.MODEL), TRAINING)
    old = asdict(builders.MODEL) | {"after_failure": -0.4}
    del old["difficulty"]

    def age(connection: Connection) -> None:
        connection.execute(update(success_models).values(body=old))

    await memory._database.write(age)
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as again:
        (found,) = await again.weight_sets()
    assert found.weights.model == replace(builders.MODEL, difficulty=0.0)


ONE_MEMORY = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
numbers = st.floats(allow_nan=False)
trainings = st.builds(
    Training,
    objective=st.sampled_from(["minmax", "margin", "utility"]),
    auctions=builders.counts,
    judged=builders.counts,
    since=st.none() | builders.sound_texts,
    settings=st.dictionaries(builders.sound_texts, numbers | builders.sound_texts, max_size=3),
    held_out=st.dictionaries(builders.sound_texts, st.tuples(numbers, numbers, numbers), max_size=3),
    notes=builders.some(builders.sound_texts),
)


@ONE_MEMORY
@given(weights=builders.weights(builders.sound_texts), training=trainings)
async def test_whatever_was_fitted_comes_back_equal(memory: AuctionMemory, weights: Weights, training: Training):
    added = await memory.add_weights(weights, training)
    assert added == WeightSet(
        version=added.version,
        weights=replace(weights, source=f"weights {added.version}"),
        training=training,
        made_at=added.made_at,
    )
    assert (await memory.weight_sets())[-1] == added


async def test_a_use_is_noted_and_can_be_taken_back(memory: AuctionMemory):
    for _ in range(3):
        await memory.add_weights(WEIGHTS, TRAINING)
    before = datetime.now(UTC)
    for version in (2, 2, 3, 2, None, None, 1):
        await memory.use_weights(version)
        found = await memory.weights_in_use()
        assert (found.version if found else None) == version
        assert found is None or found.in_use
        assert [one.version for one in await memory.weight_sets() if one.in_use] == ([version] if version else [])
    uses = await memory.weight_uses()
    assert [one.version for one in uses] == [2, 3, 2, None, 1]
    times = [before, *(one.at for one in uses), datetime.now(UTC)]
    assert times == sorted(times)


async def test_weights_that_are_not_there_cannot_be_used(memory: AuctionMemory):
    with pytest.raises(InputError, match="no weights 1 in the memory") as caught:
        await memory.use_weights(1)
    assert "none yet" in caught.value.hint
    await memory.use_weights(None)
    await memory.add_weights(WEIGHTS, TRAINING)
    await memory.add_weights(WEIGHTS, TRAINING)
    for wrong in (0, -1, 3):
        with pytest.raises(InputError, match=f"no weights {wrong} in the memory") as caught:
            await memory.use_weights(wrong)
        assert caught.value.hint == "The versions are 1 to 2."
    assert await memory.weight_uses() == ()
    assert await memory.weights_in_use() is None


async def test_numbers_of_a_library_are_kept_as_numbers(memory: AuctionMemory):
    loose: Any = np.array([7, 5], dtype=np.int64)
    shares: Any = np.array([0.5, 0.25, 0.75], dtype=np.float32)
    odd = Weights(cost=np.float64(1.5), entropy=shares[0], jurors={"a": np.float64(2)})
    training = replace(TRAINING, auctions=loose[0], settings={"folds": loose[1]}, held_out={"pass@1": tuple(shares)})
    added = await memory.add_weights(odd, training)
    assert added.weights == Weights(cost=1.5, entropy=0.5, jurors={"a": 2.0}, source="weights 1")
    assert added.training == replace(
        TRAINING, auctions=7, settings={"folds": 5.0}, held_out={"pass@1": (0.5, 0.25, 0.75)}
    )


async def test_equal_models_are_kept_once(memory: AuctionMemory):
    other = replace(builders.MODEL, worth=2.0)
    reordered = replace(builders.MODEL, rates={name: builders.MODEL.rates[name] for name in ("b", "a")})
    for model in (builders.MODEL, other, reordered):
        await memory.add_weights(replace(WEIGHTS, model=model), TRAINING)
    assert [one.weights.model for one in await memory.weight_sets()] == [builders.MODEL, other, builders.MODEL]
    assert await count(memory, "success_models") == 2


async def count(memory: AuctionMemory, table: str) -> int:
    return (await rows(memory, f"SELECT count(*) FROM {table}"))[0][0]


async def test_versions_given_at_once_are_all_different(memory: AuctionMemory, place: Place):
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as second:
        async with asyncio.TaskGroup() as group:
            added = [
                group.create_task(one.add_weights(WEIGHTS, TRAINING)) for _ in range(10) for one in (memory, second)
            ]
            for _ in range(5):
                group.create_task(second.use_weights(None))
        assert sorted(one.result().version for one in added) == list(range(1, 21))
        await second.use_weights(7)
        found = await memory.weights_in_use()
        assert found is not None
        assert found.version == 7, "what another process puts in use counts here too"


async def test_weights_outlive_what_is_forgotten(memory: AuctionMemory):
    await remember(memory, "x", "sort")
    added = await memory.add_weights(replace(WEIGHTS, model=builders.MODEL), TRAINING)
    await memory.use_weights(1)
    await memory.forget("x")
    assert await memory.weights_in_use() == replace(added, in_use=True)
    assert isinstance(added.weights.model, SuccessModel)
