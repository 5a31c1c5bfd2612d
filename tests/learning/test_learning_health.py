"""How well jurors tell success from failure, by outcomes on record."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.learning.health import area_within, jury_health
from sale.types import NOTHING_TO_READ, Example, Score, Worked
from tests.learning.pools import auctions, bid


def example(task: str, domain: str | None, *scored: tuple[str, float | None, bool]) -> Example:
    """An auction of agents, each with its score by `juror`, if any, and what came of its work."""
    bids = tuple(
        replace(
            bid(agent, 1.0, 10, 0.5, {}),
            scores=(
                Score(juror="juror", bidder=agent, value=2.5, imputed=True, note=NOTHING_TO_READ)
                if value is None
                else Score(juror="juror", bidder=agent, value=value),
            ),
        )
        for agent, value, _ in scored
    )
    work = {agent: Worked(success=success, dollars=0.0) for agent, _, success in scored}
    return Example(auction_id=task, task=task, domain=domain, bids=bids, winner=scored[0][0], work=work)


def test_success_and_failure_are_compared_within_a_kind() -> None:
    """Across kinds this juror is right about every pair, within each about none."""
    easy = example("easy", "code", ("a", 4.0, True), ("b", 5.0, False))
    hard = example("hard", "search", ("a", 0.0, True), ("b", 1.0, False))
    (one,) = jury_health([easy, hard])
    assert one.area is not None
    assert (one.area[0], one.pairs) == (0.0, 2)
    (mixed,) = jury_health([replace(easy, domain=None), replace(hard, domain=None)])
    assert mixed.area is not None
    assert (mixed.area[0], mixed.pairs) == (0.25, 4)


def test_calibration_is_by_part_of_the_scale() -> None:
    shown = [("a", 0.0, False), ("b", 1.6, True), ("c", 5.0, True), ("d", 4.0, False), ("e", None, True)]
    (one,) = jury_health([example("task", "code", *shown)])
    assert (one.scored, one.silent) == (4, 1)
    assert [(band.scored, band.solved) for band in one.bands] == [(2, 1), (2, 1)]
    assert [round(band.low, 2) for band in one.bands] == [0.0, 3.33]
    assert one.bias is not None
    assert one.bias[0] == pytest.approx((0.0 + 1.6 + 5.0 + 4.0) / 20 - 0.5)
    assert one.bias[1:] == (-1.0, 1.0)  # of a single task nothing is known


def test_without_a_success_and_a_failure_there_is_no_area() -> None:
    (one,) = jury_health([example("task", "code", ("a", 3.0, True), ("b", 5.0, True))])
    assert (one.area, one.pairs) == (None, 0)
    (silent,) = jury_health([example("task", "code", ("a", None, True))])
    assert (silent.area, silent.bias, silent.bands, silent.silent) == (None, None, (), 1)
    assert jury_health([]) == ()


def test_work_that_nobody_judged_says_nothing() -> None:
    one = example("task", "code", ("a", 3.0, True), ("b", 5.0, False))
    (health,) = jury_health([replace(one, work={"a": one.work["a"]})])
    assert health.scored == 1


def test_a_juror_that_knows_is_told_from_one_that_guesses() -> None:
    found = {one.juror: one for one in jury_health(auctions(300, seed=3))}
    assert next(iter(found)) == "good"
    assert found["good"].area is not None
    assert found["random"].area is not None
    assert found["constant"].area is not None
    assert found["good"].area[1] > 0.6
    assert found["random"].area[1] < 0.5 < found["random"].area[2]
    assert found["constant"].area == (0.5, 0.5, 0.5)
    lows = [band.solved / band.scored for band in found["good"].bands]
    assert lows == sorted(lows)


def test_the_interval_holds_as_often_as_it_says() -> None:
    """Over pools of one truth: the interval of a juror that guesses holds 0.5 about 95 times in 100."""
    held = 0
    for seed in range(100):
        random = next(one for one in jury_health(auctions(60, seed=seed)) if one.juror == "random")
        assert random.area is not None
        held += random.area[1] <= 0.5 <= random.area[2]
    assert 88 <= held <= 99


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=30)
)
def test_the_area_is_the_share_of_pairs(rows: list[tuple[int, bool, int, int]]) -> None:
    scores, success, kinds, tasks = (np.array(column) for column in zip(*rows, strict=True))
    wins = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high, won, kind, _ in rows
        for low, lost, other, _ in rows
        if won and not lost and kind == other
    ]
    area, pairs = area_within(scores.astype(float), success, kinds, tasks)
    assert pairs == len(wins)
    if not wins:
        assert area is None
        return
    assert area is not None
    assert area[0] == pytest.approx(sum(wins) / len(wins))
    assert 0.0 <= area[1] <= area[0] <= area[2] <= 1.0
