"""Intervals and tests, against hand computation and against scipy's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from sale.bench.stats import (
    Resampling,
    bootstrap,
    compare_paired,
    detectable_difference,
    draws,
    holm,
    mcnemar,
    mcnemar_power,
    mean,
    over_last,
    paired_statistic,
    rate,
    ratio,
    totals,
    wilson,
)

FAST = Resampling(seed=7, resamples=500)
FULL = Resampling(seed=7)
outcomes = st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=30)
numbers = st.lists(st.floats(0, 100), min_size=2, max_size=30)


def test_every_resample_draws_as_many_tasks_as_there_are() -> None:
    counts = np.concatenate(list(draws(17, FAST)))
    assert counts.shape == (500, 17)
    assert (counts.sum(axis=1) == 17).all()
    assert abs(counts.mean() - 1) < 1e-12
    assert len({row.tobytes() for row in counts}) > 490


def test_many_tasks_are_drawn_in_chunks_that_fit() -> None:
    counts = list(draws(12_000, Resampling(seed=1, resamples=1_000)))
    assert len(counts) > 1
    assert sum(map(len, counts)) == 1_000
    assert all((chunk.sum(axis=1) == 12_000).all() for chunk in counts)


def test_the_mean_agrees_with_scipys_bootstrap() -> None:
    values = np.random.default_rng(3).lognormal(size=80)
    ours = mean(values, FULL)
    theirs = scipy_stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=1)
    assert ours.value == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.confidence_interval.low, rel=0.02)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, rel=0.02)


def _of_sums(above: np.ndarray, below: np.ndarray, axis: int) -> np.ndarray:
    return above.sum(axis=axis) / below.sum(axis=axis)


def test_a_ratio_agrees_with_scipys_bootstrap_of_pairs() -> None:
    rng = np.random.default_rng(4)
    tokens = rng.lognormal(size=60)
    dollars = tokens * rng.choice([0.05, 0.36], 60)
    ours = ratio(dollars, tokens, FULL)
    theirs = scipy_stats.bootstrap(
        (dollars, tokens),
        _of_sums,
        paired=True,
        n_resamples=10_000,
        method="percentile",
        rng=1,
    )
    assert ours is not None
    assert ours.value == pytest.approx(dollars.sum() / tokens.sum())
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), rel=0.02)


def test_a_ratio_is_of_sums_not_a_mean_of_ratios() -> None:
    found = ratio([1.0, 9.0], [1.0, 1.0], FAST)
    uneven = ratio([1.0, 10.0], [1.0, 100.0], FAST)
    assert found is not None
    assert uneven is not None
    assert found.value == 5.0
    assert uneven.value == pytest.approx(11 / 101)


def test_a_ratio_to_nothing_is_unknown_not_zero() -> None:
    assert ratio([0.0, 0.0], [0.0, 0.0], FAST) is None
    assert ratio([1.0, 0.0], [0.0, 0.0], FAST) is None


def test_an_interval_too_often_undefined_is_not_given() -> None:
    found = ratio([1.0, 0.0, 0.0], [1.0, 0.0, 0.0], FAST)
    assert found is not None
    assert (found.value, found.low, found.high) == (1.0, None, None)


def test_a_single_task_has_a_figure_but_no_spread() -> None:
    found = mean([3.5], FAST)
    assert (found.value, found.low, found.high, found.tasks) == (3.5, None, None, 1)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
@pytest.mark.parametrize("tasks", [1, 5])
def test_tasks_that_all_went_alike_get_wilsons_interval(outcome: float, tasks: int) -> None:
    found = rate([outcome] * tasks, FAST)
    assert found.how == "wilson"
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low > 0.4


def test_runs_of_one_task_are_drawn_together() -> None:
    """Three equal runs of every task say no more than one run of it."""
    once = rate([1.0, 0.0, 1.0, 1.0], FAST)
    thrice = rate([1.0, 0.0, 1.0, 1.0] * 3, FAST, clusters=["a", "b", "c", "d"] * 3)
    blind = rate([1.0, 0.0, 1.0, 1.0] * 3, FAST)
    assert thrice == once
    assert thrice.tasks == 4
    assert thrice.low is not None
    assert blind.low is not None
    assert blind.low > thrice.low


def test_totals_keep_the_order_of_first_rows() -> None:
    found = totals([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]], ["b", "a", "b"])
    assert found.tolist() == [[4.0, 2.0], [2.0, 1.0]]


def test_several_statistics_share_their_resamples() -> None:
    columns = np.random.default_rng(0).random((20, 2))
    both = bootstrap(np.column_stack([columns, np.ones(20)]), over_last, FAST)
    assert both == [mean(columns[:, 0], FAST), mean(columns[:, 1], FAST)]


@pytest.mark.parametrize("bad", [[], [math.nan, 1.0], [math.inf]])
def test_what_is_no_number_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        mean(bad, FAST)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="resamples"):
        Resampling(seed=1, resamples=0)
    with pytest.raises(ValueError, match="level"):
        Resampling(seed=1, level=1.0)
    with pytest.raises(ValueError, match="names for"):
        mean([1.0, 2.0], FAST, clusters=["a"])
    with pytest.raises(ValueError, match="one length"):
        compare_paired([1.0], [1.0, 0.0], FAST)
    with pytest.raises(ValueError, match="same tasks"):
        paired_statistic([[1.0]], [[1.0], [0.0]], over_last, FAST)
    with pytest.raises(ValueError, match="outcome"):
        rate([0.5, 1.2], FAST)


@settings(max_examples=50, deadline=None)
@given(numbers, st.integers(0, 9))
def test_the_interval_lies_within_the_data_and_is_the_same_every_time(values: list[float], seed: int) -> None:
    resampling = Resampling(seed=seed, resamples=200)
    found = mean(values, resampling)
    assert found == mean(values, resampling)
    assert found.low is not None
    assert found.high is not None
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_the_interval_covers_as_often_as_it_says() -> None:
    resampling = Resampling(seed=1, resamples=1_000)
    hits = 0
    for seed in range(300):
        found = rate((np.random.default_rng(seed).random(100) < 0.7).astype(float), resampling)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.7 <= found.high
    assert 0.91 <= hits / 300 <= 0.98


def test_paired_outcomes_by_hand() -> None:
    ours = [1, 1, 1, 1, 1, 1, 0, 0, 1, 0]
    theirs = [1, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    found = compare_paired(ours, theirs, FULL)
    assert found.difference.value == pytest.approx(0.4)
    assert (found.ours_only, found.theirs_only) == (5, 1)
    assert found.mcnemar == pytest.approx(2 * (1 + 6) / 2**6)


def test_pairing_narrows_the_interval() -> None:
    rng = np.random.default_rng(5)
    hard = rng.random(200)
    ours, theirs = (hard < 0.6).astype(float), (hard < 0.55).astype(float)
    together = compare_paired(ours, theirs, FULL).difference
    apart = compare_paired(ours, rng.permutation(theirs), FULL).difference
    assert together.low is not None
    assert together.high is not None
    assert apart.low is not None
    assert apart.high is not None
    assert together.high - together.low < (apart.high - apart.low) / 2


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_comparison_turned_round_changes_sign_only(data: st.DataObject) -> None:
    ours = data.draw(outcomes)
    theirs = data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=len(ours), max_size=len(ours)))
    here, there = compare_paired(ours, theirs, FAST), compare_paired(theirs, ours, FAST)
    assert here.difference.value == -there.difference.value
    assert here.p == there.p
    assert here.mcnemar == there.mcnemar
    assert 0 < here.p <= 1


def test_equal_routers_do_not_differ() -> None:
    found = compare_paired([1.0, 0.0, 1.0], [1.0, 0.0, 1.0], FAST)
    assert (found.difference.value, found.p, found.mcnemar) == (0.0, 1.0, 1.0)


def test_an_interval_off_zero_and_a_small_p_go_together() -> None:
    rng = np.random.default_rng(11)
    for shift in (0.0, 0.1, 0.2, 0.3, 0.5):
        found = compare_paired(rng.normal(shift, 1, 60), np.zeros(60), FULL)
        assert found.difference.low is not None
        assert found.difference.high is not None
        off = found.difference.low > 0 or found.difference.high < 0
        assert off == (found.p < 0.05)


def test_graded_or_repeated_outcomes_have_no_mcnemar() -> None:
    assert compare_paired([0.5, 1.0], [1.0, 0.0], FAST).mcnemar is None
    assert compare_paired([1.0, 1.0], [1.0, 0.0], FAST, clusters=["a", "a"]).mcnemar is None


@pytest.mark.parametrize(("here", "there"), [(0, 0), (5, 1), (1, 5), (12, 12), (30, 11)])
def test_mcnemar_is_the_binomial_test(here: int, there: int) -> None:
    expected = scipy_stats.binomtest(here, here + there).pvalue if here + there else 1.0
    assert mcnemar(here, there) == pytest.approx(expected)


def test_mcnemar_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([]) == ()
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    with pytest.raises(ValueError, match="p values"):
        holm([0.5, 1.5])


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_only_raises_and_keeps_the_order(ps: list[float]) -> None:
    adjusted = holm(ps)
    assert all(p <= q <= 1 for p, q in zip(ps, adjusted, strict=True))
    order = sorted(range(len(ps)), key=ps.__getitem__)
    assert [adjusted[place] for place in order] == sorted(adjusted)


def test_wilson_by_hand() -> None:
    found = wilson(8, 10)
    z = 1.959963984540054
    middle = (0.8 + z * z / 20) / (1 + z * z / 10)
    half = z * math.sqrt(0.8 * 0.2 / 10 + z * z / 400) / (1 + z * z / 10)
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half))
    for bad in ((1, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="proportion"):
            wilson(*bad)


def test_the_power_is_what_a_simulation_finds() -> None:
    rng = np.random.default_rng(9)
    counts = rng.multinomial(120, [0.2, 0.08, 0.72], size=4_000)
    found = np.mean([mcnemar(int(ours), int(theirs)) <= 0.05 for ours, theirs, _ in counts])
    assert mcnemar_power(120, 0.28, 0.12) == pytest.approx(found, abs=0.03)


def test_without_a_difference_the_test_keeps_its_level() -> None:
    assert 0.01 < mcnemar_power(220, 0.2, 0.0) <= 0.05


def test_the_detectable_difference_has_the_power_it_promises() -> None:
    found = detectable_difference(220, 0.2)
    assert found is not None
    assert found == pytest.approx(0.087, abs=0.002)
    assert mcnemar_power(220, 0.2, found) == pytest.approx(0.8, abs=1e-3)


@given(st.integers(30, 400), st.floats(0.1, 0.6))
@settings(max_examples=20, deadline=None)
def test_more_tasks_show_less(tasks: int, discordant: float) -> None:
    fewer, more = detectable_difference(tasks, discordant), detectable_difference(2 * tasks, discordant)
    if fewer is not None:
        assert more is not None
        assert more <= fewer + 0.002


def test_few_tasks_can_show_nothing() -> None:
    assert detectable_difference(5, 0.1) is None
    with pytest.raises(ValueError, match="power"):
        detectable_difference(100, 0.2, power=0.01)
    with pytest.raises(ValueError, match="discordant"):
        detectable_difference(100, 0.0)
