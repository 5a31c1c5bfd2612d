"""The map of the pools on record: what the page shows, and what was found before by other means."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from sale.bench.figure_style import svg
from sale.bench.report.paying import Paying, break_even_lines, paying
from sale.bench.report.recorded_embeddings import RecordedEmbeddings
from sale.bench.routers.features import Embeddings
from sale.bench.tasks.hst_open import hst_open
from sale.errors import InputError
from sale.learning.break_even import Rule
from tests.bench.records import EMBEDDINGS, RECORDS

SHOWN = Path(__file__).parents[2] / "docs" / "break-even"
POOLS = ("hst-open", "specialists")
BEFORE: dict[Rule, dict[float, tuple[float, float]]] = {
    "best use": {
        0.65: (0.0, 0.0),
        0.75: (0.17, 0.22),
        0.80: (0.31, 0.39),
        0.85: (0.44, 0.54),
        0.90: (0.54, 0.66),
    },
    "linear rule": {0.65: (0.0, 0.0), 0.75: (0.0, 0.0), 0.80: (0.0, 0.0), 0.85: (0.0, 0.22), 0.90: (0.0, 0.49)},
}
"""An earlier map of the same pools, made by another program with another draw of jurors."""
ERROR = 0.07
"""Within which two maps with draws of their own agree, in shares of the work; half of the narrowest interval."""


@cache
def made() -> Paying:
    features = Embeddings(RecordedEmbeddings.read(EMBEDDINGS))
    return paying({name: RECORDS / name for name in POOLS}, list(hst_open()), features)


@pytest.mark.parametrize("rule", ["best use", "linear rule"])
def test_it_agrees_with_the_map_made_before(rule: Rule) -> None:
    for area, before in BEFORE[rule].items():
        for pool, expected in zip(made().pools, before, strict=True):
            point = next(one for one in pool.found.points if (one.area, one.rule) == (area, rule))
            assert point.break_even[0] == pytest.approx(expected, abs=ERROR), (pool.name, area)
            assert point.break_even[1] <= expected <= point.break_even[2] + ERROR


def test_neither_pool_comes_near_to_paying() -> None:
    for pool in made().pools:
        assert pool.found.ratio == pytest.approx(2.8, abs=0.05)
        assert pool.jurors[0].area is not None
        assert pool.jurors[0].area[2] < 0.6
        assert pool.found.pays(pool.jurors[0].area[2]) is False


def test_the_page_shows_what_the_command_makes() -> None:
    """Figures may differ in the last digit: sentence embeddings do between processors."""
    for sheet in made().sheets():
        shown = list(csv.reader((SHOWN / f"{sheet.key}.csv").read_text(encoding="utf-8").splitlines()))
        assert len(shown) == 1 + len(sheet.rows)
        for before, now in zip(shown, (sheet.head, *sheet.rows), strict=True):
            for old, new in zip(before, now, strict=True):
                assert re.sub(r"[\d.]+", "#", old) == re.sub(r"[\d.]+", "#", new)
                numbers = [[float(one) for one in re.findall(r"\d+\.?\d*", text)] for text in (old, new)]
                assert numbers[0] == pytest.approx(numbers[1], abs=0.3 if "gain" in sheet.key else 0.03, rel=0.01)
    page = (SHOWN.parent / "break-even.md").read_text(encoding="utf-8")
    for row in list(csv.reader((SHOWN / "break-even.csv").read_text(encoding="utf-8").splitlines()))[1:]:
        assert f"| {' | '.join(row)} |" in page


def test_the_figure_is_the_same_every_time() -> None:
    once, again = (svg(made().figure()) for _ in range(2))
    assert once == again
    assert b"<svg" in once


def test_a_pool_that_is_near_is_drawn_in_its_place() -> None:
    pool = made().pools[0]
    near = replace(pool, found=replace(pool.found, auction=(1e-5, 1e-5, 1e-5)))
    unknown = replace(pool, jurors=())
    assert svg(break_even_lines({"near": near, "unknown": unknown})) != svg(break_even_lines({"near": pool}))
    rows = Paying(pools=(replace(near, found=replace(near.found, auction=None)), unknown)).sheets()[2].rows
    assert rows[0][6:8] == ("–", "–")
    assert rows[1][8:] == ("–", "–", "–")
    with pytest.raises(ValueError, match="nothing to draw"):
        break_even_lines({})


def test_a_folder_without_records_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no record of a whole test task"):
        paying({"empty": tmp_path}, list(hst_open()), Embeddings(RecordedEmbeddings.read(EMBEDDINGS)))


def test_what_it_writes(tmp_path: Path) -> None:
    written = made().write(tmp_path / "new")
    assert sorted(path.name for path in written) == [
        "break-even-gain.csv",
        "break-even-standing.csv",
        "break-even.csv",
        "break-even.svg",
        "giving-up.csv",
    ]


def test_nobody_solves_four_in_ten_and_past_outcomes_tell_half_of_it() -> None:
    for pool, hopeless in zip(made().pools, (0.45, 0.39), strict=True):
        assert pool.given_up.known.share == pytest.approx(hopeless, abs=0.01)
        for point in pool.given_up.points:
            assert point.saved[0] > 1.4 * point.lost[0], "giving up at random loses what it saves"
            assert point.hopeless > pool.given_up.known.share
