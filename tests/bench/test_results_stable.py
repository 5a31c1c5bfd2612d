"""A rounding moves nothing that is published: embeddings as another processor makes them give the same numbers.

What is shipped is fitted whole, here, on every run of the tests. Tables are made of a quarter of the tasks, by every
way to fit the market and every router but those that take most of the time; all tables, of all tasks, by
`pytest -m release`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from sale.bench.replay import RecordedTasks, load_recorded
from sale.bench.report.comparison import compare
from sale.bench.report.fitted import TrainedWeights
from sale.bench.report.make import make, make_pool
from sale.bench.report.recorded_embeddings import RecordedEmbeddings
from sale.bench.report.report_table import ReportTable
from sale.bench.report.shipping import knowledge
from sale.bench.report.spend_curve import spend_table
from sale.bench.report.tables import main_table
from sale.bench.routers.baselines import learnt_routers
from sale.bench.routers.features import Embeddings, Features
from sale.bench.routers.protocol import Router
from sale.bench.tasks.hst_open import hst_open
from sale.config import RouterSettings
from sale.models.embedding import Vectors
from tests.bench.records import EMBEDDINGS, RECORDS, pool
from tests.support.disturbed.disturbance import disturbed

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "src" / "sale" / "shipped" / "embedded.json"
EPSILON = 1e-6
SEEDS = (1, 2, 3)
SLOW = ("WTP MLP", "TO-Router MLP", "FrugalGPT")


class DisturbedEmbedder:
    """The recorded embeddings, each number moved by up to `EPSILON`; seed 0 moves nothing."""

    def __init__(self, seed: int) -> None:
        self._recorded = RecordedEmbeddings.read(EMBEDDINGS)
        self._seed = seed
        self.name, self.dimensions = self._recorded.name, self._recorded.dimensions

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return disturbed(await self._recorded.embed(texts), EPSILON if self._seed else 0.0, self._seed)


def numbers(value: object, place: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a document with where it is."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from numbers(one, f"{place}.{key}")
    elif isinstance(value, list):
        for key, one in enumerate(value):
            yield from numbers(one, f"{place}.{key}")
    elif isinstance(value, int | float):
        yield place, float(value)


@cache
def parts() -> tuple[RecordedTasks, ...]:
    return tuple(load_recorded(path, hst_open()) for path in sorted((RECORDS / "hst-open").glob("*-*.xz")))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_shipped_number_moves_by_a_hundredth(seed: int) -> None:
    made = knowledge(parts(), Embeddings(DisturbedEmbedder(seed))).as_files()["embedded.json"]
    wanted = dict(numbers(json.loads(SHIPPED.read_bytes())))
    found = dict(numbers(json.loads(made)))
    assert found.keys() == wanted.keys()
    moved = {
        place: (value, found[place])
        for place, value in wanted.items()
        if found[place] != pytest.approx(value, rel=0.01, abs=1e-12)
    }
    assert not moved


def some_tables(seed: int) -> list[ReportTable]:
    whole = pool("hst-open", "test")
    some = replace(whole, tasks=whole.tasks[::4])
    features = Embeddings(DisturbedEmbedder(seed))
    lessons = TrainedWeights(embed=features)
    field = compare(some, None, features, lessons)
    return [main_table(field, "some"), spend_table(field, lessons, "spend", "Some")]


def test_no_table_of_some_tasks_moves_by_a_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    def quick(features: Features, *, answers: bool, more: Sequence[RouterSettings] = ()) -> list[Router]:
        return [router for router in learnt_routers(features, answers=answers, more=more) if router.name not in SLOW]

    monkeypatch.setattr("sale.bench.report.comparison.learnt_routers", quick)
    assert some_tables(SEEDS[0]) == some_tables(0)


@pytest.mark.release
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_table_moves_by_a_digit(seed: int) -> None:
    """All that depends on embeddings, as `make results` makes it."""
    features = Embeddings(DisturbedEmbedder(seed))
    sheets = [*make(RECORDS / "hst-open", hst_open(), features, suffixes=(".xz",)).sheets]
    for folder, title in (("specialists", "A pool of specialists"), ("hst-open", "The embedded pool")):
        sheets += make_pool(RECORDS / folder, hst_open(), features, name=folder, title=title, suffixes=(".xz",))[0]
    tables = ROOT / "docs" / "results"
    moved = [one.key for one in sheets if (tables / f"{one.key}.csv").read_text(encoding="utf-8") != one.csv()]
    assert not moved
