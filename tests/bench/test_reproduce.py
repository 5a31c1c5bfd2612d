"""Published figures beside ours: when they agree, the measures behind them, and whether the record is the code's."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.published.gap import call_curve, random_curve
from benchmarks.published.reproduce import arena_score, main, routerarena, routerbench_mini, swebench
from benchmarks.published.reproduction import (
    Figure,
    Published,
    Reproduction,
    bootstrap,
    make_exact,
    mean_of,
    spread,
    write,
)
from sale.bench.routers.features import WordNgrams
from sale.errors import OutputError

DATA = os.environ.get("SALE_BENCH_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="SALE_BENCH_DATA does not name the outcome tables")
RECORD = Path(__file__).parents[2] / "benchmarks" / "records" / "reproductions.json"
ONE = Reproduction(
    name="one",
    unit="%",
    published=Published(value=50.0, error=0.5, source="somewhere", checked="at the source"),
    ours=Figure(value=49.0, low=48.0, high=49.6),
    n=10,
    explanation="",
)


class TestAgreement:
    @pytest.mark.parametrize(
        ("low", "high", "agrees"),
        [(48.0, 49.6, True), (48.0, 49.4, False), (50.4, 52.0, True), (50.6, 52.0, False), (40.0, 60.0, True)],
    )
    def test_the_published_error_must_meet_our_interval(self, low: float, high: float, agrees: bool) -> None:
        assert replace(ONE, ours=Figure(value=0.0, low=low, high=high)).agrees is agrees

    def test_where_nothing_is_published(self) -> None:
        assert replace(ONE, published=None).agrees is None

    def test_record(self, tmp_path: Path) -> None:
        write([ONE], {"another": "no table"}, tmp_path / "out.json")
        content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
        assert content["reproductions"][0]["agrees"] is True
        assert content["reproductions"][0]["published"]["source"] == "somewhere"
        assert content["left_out"] == {"another": "no table"}

    def test_a_record_that_cannot_be_written_leaves_nothing(self, tmp_path: Path) -> None:
        taken = tmp_path / "records" / "out.json"
        taken.mkdir(parents=True)
        with pytest.raises(OutputError, match="cannot be written"):
            write([ONE], {}, taken)
        assert list(taken.parent.iterdir()) == [taken]


class TestIntervals:
    def test_mean(self) -> None:
        values = np.array([0.0, 1.0] * 200)
        found = mean_of(values, 100)
        assert found.value == 50
        assert (found.low, found.high) == pytest.approx((45.1, 54.9), abs=0.6)
        assert mean_of(values, 100) == found, "the same again"

    def test_all_alike(self) -> None:
        assert bootstrap(5, lambda rows: 3.0) == make_exact(3.0)

    def test_over_draws(self) -> None:
        found = spread(range(201))
        assert (found.value, found.low, found.high) == (100, 5, 195)


class TestGap:
    WEAK = np.array([1.0] * 60 + [0.0] * 40)
    STRONG = np.array([1.0] * 100)

    def test_a_router_that_knows(self) -> None:
        # Only the last 40 need the strong model; scores that say so recover the whole gap with 40 % of the calls.
        curve = call_curve(np.arange(100.0), self.WEAK, self.STRONG)
        assert curve.cpt(0.5) == pytest.approx(0.2, abs=0.02)
        assert curve.cpt(0.99) == pytest.approx(0.4, abs=0.02)
        assert curve.apgr() == pytest.approx(0.8, abs=0.02)

    def test_a_router_that_knows_the_opposite(self) -> None:
        curve = call_curve(-np.arange(100.0), self.WEAK, self.STRONG)
        assert curve.apgr() == pytest.approx(0.2, abs=0.02)
        assert curve.cpt(0.5) == pytest.approx(0.8, abs=0.02)

    def test_chance(self) -> None:
        weak, strong = np.tile(self.WEAK, 50), np.tile(self.STRONG, 50)
        curve = random_curve(weak, strong, seed=1)
        assert curve.apgr() == pytest.approx(0.5, abs=0.01)
        assert curve.cpt(0.8) == pytest.approx(0.8, abs=0.02)

    @given(st.integers(0, 1000))
    def test_ends_are_the_models_themselves(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        weak, strong = rng.random(30), rng.random(30)
        curve = call_curve(rng.random(30), weak, strong)
        assert curve.shares[[0, -1]].tolist() == [0, 1]
        assert curve.performance[[0, -1]] == pytest.approx([weak.mean(), strong.mean()])


def test_arena_score_by_hand() -> None:
    assert arena_score(1.0, 0.0044) == pytest.approx(1.0)
    assert arena_score(0.5, 200.0) == 0.0
    # Halfway between the two costs, by logarithm, cheapness is one half.
    assert arena_score(0.5, (200 * 0.0044) ** 0.5) == pytest.approx(0.5)


def test_the_formula_gives_the_scores_printed() -> None:
    assert all(one.agrees for one in routerarena())


def test_missing_tables_are_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--data", str(tmp_path), "--out", str(tmp_path / "out.json")])
    assert result.exit_code == 1
    assert "test_predictions.csv" in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out.json").exists()


class TestRecord:
    CONTENT = json.loads(RECORD.read_text(encoding="utf-8"))
    FOUND = CONTENT["reproductions"]

    def test_two_published_routers_are_reproduced(self) -> None:
        sources = {
            one["published"]["source"].partition(",")[0]
            for one in self.FOUND
            if one["agrees"] and one["same_conditions"] and one["published"]["checked"] != "not read again"
        }
        assert {"RouterBench-Mini V5", "RouteLLM"} <= sources

    def test_every_difference_is_explained(self) -> None:
        assert all(one["explanation"] for one in self.FOUND)
        assert {one["same_conditions"] for one in self.FOUND if one["agrees"] is False} <= {False}

    @needs_data
    def test_it_is_what_the_code_gives(self) -> None:
        tables = Path(DATA or "") / "routers"
        again = [
            *routerbench_mini(tables / "routerbench_mini", WordNgrams()),
            *swebench(tables / "swebench_bash_only"),
            *routerarena(),
        ]
        kept = {one["name"]: one for one in self.FOUND}
        compared = [one for one in again if one.published is not None]
        assert len(compared) >= 12
        for one in compared:
            assert kept[one.name]["ours"]["value"] == pytest.approx(one.ours.value), one.name
            assert kept[one.name]["agrees"] == one.agrees
