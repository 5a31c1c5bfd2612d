"""Human times as annotators write them: what is plainly a time is read, and nothing else."""

from __future__ import annotations

import pytest

from sale.bench.tasks.loaders.times import PUBLISHED, by_source, minutes_of
from sale.bench.tasks.schema import BIN_EDGES


@pytest.mark.parametrize(
    ("written", "minutes"),
    [
        ("5 minutes", 5),
        ("10 min", 10),
        ("10 mins.", 10),
        ("1 hour", 60),
        ("1 hr", 60),
        ("1.5 hours", 90),
        ("30 seconds", 0.5),
        ("90 sec", 1.5),
        ("15m", 15),
        ("~8 mins", 8),
        ("About 5 minutes", 5),
        ("approximately 2 Minutes", 2),
        ("5-10 minutes", 7.5),
        ("5 – 10 min", 7.5),
        ("5 to 10 minutes", 7.5),
        ("5 or 6 minutes", 5.5),
        ("between 5 and 10 minutes", 7.5),
        ("45 minutes - 1 hour", 52.5),
        ("30 seconds to 1 minute", 0.75),
        ("1 hour 30 minutes", 90),
        ("1 hour and 30 minutes", 90),
        ("1h30m", 90),
        ("6 mins, 30 secs", 6.5),
        ("half an hour", 30),
        ("an hour", 60),
        ("One minute", 1),
        ("two hours", 120),
        ("  7\n minutes ", 7),
    ],
)
def test_times_written_plainly_are_read(written: str, minutes: float) -> None:
    assert minutes_of(written) == pytest.approx(minutes)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "5",
        "minutes",
        "unknown",
        "N/A",
        "a few minutes",
        "a while",
        "<1 minute",
        "less than 5 minutes",
        "10+ minutes",
        "up to 20 minutes",
        "0 minutes",
        "-5 minutes",
        "10-5 minutes",
        "1:30",
        "1,5 hours",
        "1 minute 30",
        "5 minutes 10 minutes",
        "30 minutes 1 hour",
        "5 minutes (10 with breaks)",
        "5 mimutes",
        "5 months",
        "3 days",
        "5 minutes to find, 10 minutes to check",
    ],
)
def test_times_that_are_not_plain_are_not_read(written: str) -> None:
    assert minutes_of(written) is None


@pytest.mark.parametrize("source", PUBLISHED)
def test_every_source_of_the_published_table_has_bins_that_exist(source: str) -> None:
    time = by_source(source)
    assert time.bins
    assert set(time.bins) <= set(range(len(BIN_EDGES)))
    assert time.minutes is None
    assert time.label.endswith("(by source)")
