"""Times and agreement, from attempts: against published figures, the package, and the rules themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import mean, stdev
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sale.bench.annotate.agreement import Agreement, agreement
from sale.bench.annotate.attempts import AnnotatorAttempt
from sale.bench.annotate.events import Stamp, digest
from sale.bench.annotate.times import human_time, task_times, times, with_times, without_outliers
from sale.errors import InputError
from tests.bench.annotate.site import task

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROMPT = digest("What is the capital of France?")
MINUTES = st.floats(0.01, 100)
UNITS = st.lists(st.lists(MINUTES, min_size=0, max_size=5), min_size=0, max_size=8)


def attempt(who: str, minutes: float, own: str = "capital", **more: Any) -> AnnotatorAttempt:
    values: dict[str, Any] = {
        "annotator": who,
        "task": f"made/{own}",
        "prompt": PROMPT,
        "tools": "",
        "started": START,
        "run": "r",
        "since": 0.0,
        "seen": Stamp(mono=0.0, wall=START),
        "phase": "submitted",
        "banked": minutes * 60,
        "answer": "Paris",
        "judged": True,
        "right": True,
    }
    return AnnotatorAttempt(**{**values, **more})


def people(*minutes: float, own: str = "capital") -> list[AnnotatorAttempt]:
    return [attempt(f"p{number}", value, own) for number, value in enumerate(minutes)]


def quick(units: Sequence[Sequence[float]]) -> tuple[Agreement, Agreement]:
    return agreement(units, resamples=20)


# Outliers


def test_one_far_from_six_is_dropped() -> None:
    assert without_outliers([1, 1, 1, 1, 1, 30]) == ((1, 1, 1, 1, 1), (30,))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_few_times_lose_nothing(count: int) -> None:
    values = [1.0] * (count - 1) + [1000.0]
    assert without_outliers(values) == (tuple(values), ())


def test_exactly_two_deviations_is_not_beyond() -> None:
    """Of 0, 0, 0, 0, 5 and x the last is exactly two sample deviations from the mean for one x between."""
    low, high = 5.0, 1000.0
    for _ in range(200):
        middle = (low + high) / 2
        values = [1.0, 1.0, 1.0, 1.0, 6.0, middle]
        if abs(middle - mean(values)) > 2 * stdev(values):
            high = middle
        else:
            low = middle
    assert without_outliers([1.0, 1.0, 1.0, 1.0, 6.0, low])[1] == ()
    assert without_outliers([1.0, 1.0, 1.0, 1.0, 6.0, high * 1.001])[1] == (high * 1.001,)


@given(st.lists(MINUTES, max_size=20), st.randoms(use_true_random=False))
def test_outliers_are_those_beyond_two_deviations_in_any_order(values: list[float], random: Any) -> None:
    kept, dropped = without_outliers(values)
    assert sorted((*kept, *dropped)) == sorted(values)
    shuffled = list(values)
    random.shuffle(shuffled)
    assert without_outliers(shuffled) == (kept, dropped)
    if len(values) < 3:
        assert not dropped
        return
    edge = 2 * stdev(values)
    assert all(abs(value - mean(values)) > edge for value in dropped)
    assert all(abs(value - mean(values)) <= edge * (1 + 1e-9) + 1e-6 for value in kept)
    assert len(kept) >= 0.75 * len(values)  # Chebyshev


@given(MINUTES, st.integers(3, 30))
def test_equal_times_are_no_outliers(value: float, count: int) -> None:
    assert without_outliers([value] * count)[1] == ()


# One task


def test_only_right_answers_count() -> None:
    found = task_times(
        "made/capital",
        [
            *people(1, 2, 3),
            attempt("wrong", 50, right=False),
            attempt("unsure", 50, right=None),
            attempt("later", 50, right=None, judged=False),
            attempt("lost", 50, phase="gave_up", judged=False, right=None, answer=None),
        ],
    )
    assert (found.status, found.minutes, found.bin) == ("timed", 2, 2)
    assert (found.wrong, found.undecided, found.unjudged, found.gave_up, found.people) == (1, 1, 1, 1, 7)
    time = human_time(found)
    assert time is not None
    assert (time.minutes, time.people, time.bins) == (2, 3, (2,))
    assert time.provenance == "measured with sale bench annotate, 2026-03-01: mean of 3 right answers"


def test_an_outlier_is_out_of_the_mean_and_mentioned() -> None:
    found = task_times("made/capital", people(1, 1, 1, 1, 1, 30))
    assert (found.minutes, found.dropped) == (1, (30,))
    time = human_time(found)
    assert time is not None
    assert "mean of 5 right answers, 1 beyond 2 SD dropped" in time.provenance


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 right, 1 wrong: needs 3 more"), (2, "2 right, 1 wrong: needs 1 more")]
)
def test_too_few_people(count: int, words: str) -> None:
    found = task_times("made/capital", [*people(*[1.0] * count), attempt("wrong", 1, right=False)])
    assert (found.status, found.minutes, human_time(found)) == ("not yet", None, None)
    assert words in found.missing


@pytest.mark.parametrize("minutes", [61.0, 0.0])
def test_out_of_range(minutes: float) -> None:
    found = task_times("made/capital", people(minutes, minutes, minutes))
    assert (found.status, found.bin, human_time(found)) == ("out of range", None, None)
    assert f"{minutes:g} minutes" in found.missing


def test_sixty_minutes_are_the_last_bin() -> None:
    assert task_times("made/capital", people(60, 60, 60)).bin == 4


def test_a_task_that_half_report_is_invalid() -> None:
    flags = [attempt(f"f{n}", 1, phase="flagged", judged=False, right=None, note="no answer") for n in range(3)]
    found = task_times("made/capital", [*people(1, 2, 3), *flags])
    assert (found.status, human_time(found)) == ("invalid", None)
    assert "reported by 3 of 6: f0: no answer" in found.missing
    assert task_times("made/capital", [*people(1, 2, 3, 4), *flags]).status == "timed"


# All tasks


def test_a_second_try_does_not_count() -> None:
    later = START + timedelta(days=1)
    again = attempt("p0", 0.1, started=later)
    found = times([again, *people(1, 2, 3)])
    assert (found.tasks[0].minutes, found.repeated) == (2, 1)
    seen_before = attempt("p3", 1, phase="paused", right=None, judged=False)
    found = times([attempt("p3", 9, started=later), seen_before, *people(1, 2, 3)])
    assert (found.tasks[0].minutes, found.repeated, found.unfinished) == (2, 1, 1)


def test_other_texts_and_other_tasks_are_left_out_and_counted() -> None:
    given = [*people(1, 2, 3), attempt("x", 9, prompt="0"), attempt("x", 9, "other")]
    found = times(given, [task(), task("untried")])
    assert [one.status for one in found.tasks] == ["timed", "not yet"]
    assert (found.tasks[0].minutes, found.changed, found.strangers) == (2, 1, 1)
    with pytest.raises(InputError, match="different texts"):
        times(given)


def test_tasks_get_their_times_and_others_keep_theirs() -> None:
    tasks = [task(), task("untried")]
    timed, untried = with_times(tasks, times(people(1, 2, 6), tasks))
    assert (timed.time.minutes, timed.time.bins, timed.prompt) == (3, (3,), tasks[0].prompt)
    assert untried == tasks[1]


def test_nothing_at_all() -> None:
    found = times([])
    assert found.tasks == ()
    assert all(one.alpha is None and one.note for one in found.agreement)


def test_agreement_is_over_right_answers_outliers_included_and_valid_tasks_only() -> None:
    given = [*people(1, 1, 1, 1, 1, 30, own="a"), *people(2, 3, own="b"), *people(9, 0.1, own="c")]
    given += [attempt(f"f{n}", 1, "c", phase="flagged", judged=False, right=None) for n in range(2)]
    headline = times(given).agreement[0]
    assert headline.alpha == agreement([[1, 1, 1, 1, 1, 30], [2, 3]])[0].alpha
    assert (headline.tasks, headline.times) == (2, 8)


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), MINUTES, st.booleans()), max_size=25), st.data()
)
def test_the_order_of_attempts_makes_no_difference(
    rows: list[tuple[str, str, float, bool]], data: st.DataObject
) -> None:
    given = [
        attempt(who, minutes, own, right=right, started=START + timedelta(seconds=place))
        for place, (who, own, minutes, right) in enumerate(rows)
    ]
    shuffled = data.draw(st.permutations(given))
    tasks = [task(own) for own in "xyz"]
    assert times(given, tasks, resamples=20) == times(shuffled, tasks, resamples=20)


# Agreement

_ = math.nan
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
"""Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), example C to E: 12 units, 4 observers."""


def columns(shape: Any) -> list[list[float]]:
    return [[shape(value) for value in unit if not math.isnan(value)] for unit in np.array(PUBLISHED).T]


def test_the_published_example() -> None:
    """0.849 on the interval level, 0.815 on the ordinal; our levels are of log-minutes and of bins."""
    interval, _unused = quick(columns(math.exp))
    assert interval.alpha == pytest.approx(0.849, abs=5e-4)
    middles = {1: 0.05, 2: 0.3, 3: 1.0, 4: 5.0, 5: 30.0}
    _unused, ordinal = quick(columns(middles.get))
    assert ordinal.alpha == pytest.approx(0.815, abs=5e-4)
    assert (interval.tasks, interval.times) == (11, 40)


@given(UNITS)
def test_the_interval_level_is_the_packages(units: list[list[float]]) -> None:
    paired = [unit for unit in units if len(unit) > 1]
    logs = [np.log(unit) for unit in paired]
    assume(len(paired) > 1)
    assume(np.ptp(np.concatenate(logs)) > 1e-3)
    table = np.full((max(map(len, logs)), len(logs)), np.nan)
    for place, unit in enumerate(logs):
        table[: len(unit), place] = unit
    expected = krippendorff.alpha(reliability_data=table, level_of_measurement="interval")
    assert quick(units)[0].alpha == pytest.approx(expected, abs=1e-6)


@given(st.lists(MINUTES, min_size=2, max_size=12), st.integers(2, 4))
def test_perfect_agreement_is_one(values: list[float], people: int) -> None:
    assume(max(values) / min(values) > 1.01)
    interval, ordinal = quick([[value] * people for value in values])
    assert interval.alpha == pytest.approx(1)
    assert interval.low is None or (interval.low, interval.high) == (pytest.approx(1), pytest.approx(1))
    assert ordinal.alpha is None or ordinal.alpha == pytest.approx(1)


@given(UNITS, st.data())
def test_neither_tasks_nor_people_have_an_order(units: list[list[float]], data: st.DataObject) -> None:
    shuffled = [data.draw(st.permutations(unit)) for unit in data.draw(st.permutations(units))]
    assert quick(shuffled) == quick(units)


@given(UNITS, st.floats(0.1, 10))
def test_the_unit_of_time_makes_no_difference(units: list[list[float]], factor: float) -> None:
    """α of log-minutes is the same for people who are all slower by a factor."""
    before, after = quick(units)[0], quick([[value * factor for value in unit] for unit in units])[0]
    assert (before.alpha is None) == (after.alpha is None)
    if before.alpha is not None and np.ptp(np.log([value for unit in units if len(unit) > 1 for value in unit])) > 1e-3:
        assert after.alpha == pytest.approx(before.alpha, abs=1e-6)


@given(UNITS)
def test_there_is_a_figure_or_a_reason_and_never_nan(units: list[list[float]]) -> None:
    for one in quick(units):
        if one.alpha is None:
            assert one.note
            assert (one.low, one.high) == (None, None)
        elif one.low is None or one.high is None:
            assert (one.low, one.high, one.resamples) == (None, None, 0)
            assert "no interval" in one.note
        else:
            assert math.isfinite(one.low)
            assert one.low <= one.high
            assert one.alpha <= 1 + 1e-9


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ([], "no task has"),
        ([[1.0], [2.0], [3.0]], "no task has"),
        ([[1.0, 2.0, 3.0]], "only one task"),
        ([[4.0, 4.0], [4.0, 4.0]], "without differences"),
    ],
)
def test_what_is_not_defined_says_why(units: list[list[float]], words: str) -> None:
    for one in quick(units):
        assert one.alpha is None
        assert words in one.note


def test_one_bin_says_nothing_about_bins_though_times_differ() -> None:
    interval, ordinal = quick([[3.0, 3.1], [6.0, 6.5], [9.0, 9.1]])
    assert interval.alpha is not None
    assert interval.alpha > 0.9
    assert "interval over 3 tasks says little" in interval.note
    assert "one bin" in ordinal.note


def test_resamples_in_which_it_is_not_defined_are_counted_and_said() -> None:
    """Of two tasks, half the resamples draw the same one twice, in which all times of these are equal."""
    interval = agreement([[1.0, 1.0], [2.0, 2.0]], resamples=200)[0]
    assert interval.alpha == pytest.approx(1)
    assert 70 < interval.resamples < 130
    assert f"not defined in {200 - interval.resamples} of 200 resamples" in interval.note
    (none, _unused) = agreement([[1.0, 1.0], [2.0, 2.0]], resamples=0)
    assert (none.low, none.high) == (None, None)
    assert "no interval" in none.note


def test_the_interval_holds_the_figure_and_narrows_with_tasks() -> None:
    generator = np.random.default_rng(7)

    def drawn(tasks: int) -> Agreement:
        true = generator.normal(0, 1.5, size=(tasks, 1))
        return agreement(np.exp(true + generator.normal(0, 0.6, size=(tasks, 3))).tolist())[0]

    few, many = drawn(15), drawn(300)
    expected = 1.5**2 / (1.5**2 + 0.6**2)  # the intraclass correlation, which α estimates
    for one in (few, many):
        assert one.low is not None
        assert one.high is not None
        assert one.alpha is not None
        assert one.low < one.alpha < one.high
        assert one.low < expected < one.high
        assert one.resamples == 2000
    assert (many.high or 0) - (many.low or 0) < ((few.high or 0) - (few.low or 0)) / 2


def test_times_beyond_the_last_bin_are_a_kind_of_their_own() -> None:
    assert quick([[30.0, 40.0], [70.0, 90.0], [1.0, 1.2]])[1].alpha == pytest.approx(1)
