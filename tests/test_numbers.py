"""Numbers of others: one that can be counted with, or none."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.types.numbers import MAX_WAIT, parse_finite, parse_whole, wait_of

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("1.5", 1.5),
        (" 7 ", 7.0),
        ("1e3", 1000.0),
        ("86400", MAX_WAIT),
        ("9" * 400, None),
        ("1e999", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("-1", None),
        ("", None),
        ("soon", None),
        (None, None),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_WAIT),
        ("Fri, 31 Dec 9999 23:59:59 -2359", MAX_WAIT),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
    ],
)
def test_a_wait(header: str | None, seconds: float | None) -> None:
    assert wait_of(header, NOW) == seconds


@given(st.text(st.characters(max_codepoint=255)))
def test_any_header_is_a_wait_or_none(header: str) -> None:
    wait = wait_of(header, NOW)
    assert wait is None or 0.0 <= wait <= MAX_WAIT
    length = parse_whole(header)
    assert length is None or str(length) == (header.lstrip("0") or "0")


@pytest.mark.parametrize("text", ["²", "٣", "1" * 5000, "-1", "+1", "1.0", " 1", "", None, 1])
def test_what_is_no_whole_number(text: object) -> None:
    assert parse_whole(text) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, True, None, [], "1_0x", 10**400])
def test_what_is_no_finite_number(value: object) -> None:
    assert parse_finite(value) is None


def test_a_whole_number_is_read() -> None:
    assert [parse_whole(text) for text in ("0", "017", "9" * 18, "9" * 19, "-1", "١")] == [
        0,
        17,
        10**18 - 1,
        None,
        None,
        None,
    ]
