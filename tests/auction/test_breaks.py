"""Errors and observers of others: how an end from outside is described, and what a foreign part may give back."""

from __future__ import annotations

import asyncio
import logging

import pytest

from sale.auction.breaks import SHOWN_BYTES, describe_break
from sale.auction.events import AgentDropped, Event, ignore, shield_observer
from sale.auction.foreign import expect_kind
from sale.errors import InputError, StoreError
from sale.types import Dropout, Outcome

DROPPED = AgentDropped(dropout=Dropout(agent="a", stage="bid", code="call.failed", reason="none"))


@pytest.mark.parametrize(
    ("error", "stage", "said"),
    [
        (asyncio.CancelledError(), "", "cancelled"),
        (asyncio.CancelledError(), "at work", "cancelled at work"),
        (StoreError("the disk is full"), "", "store: the disk is full"),
        (ValueError("odd"), "at work", "at work: ValueError: odd"),
        (ExceptionGroup("two", [ExceptionGroup("inner", [KeyError("x")]), ValueError()]), "", "KeyError: 'x'"),
    ],
)
def test_an_end_is_described_by_its_first_error_and_its_stage(error: BaseException, stage: str, said: str) -> None:
    assert describe_break(error, stage) == said


def test_a_long_text_of_an_error_is_cut() -> None:
    assert len(describe_break(ValueError("é" * 10_000)).encode()) <= SHOWN_BYTES


def test_an_observer_that_fails_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Event] = []

    def observe(event: Event) -> None:
        seen.append(event)
        raise ConnectionError("gone")

    with caplog.at_level(logging.ERROR):
        shield_observer(observe)(DROPPED)
    assert seen == [DROPPED]
    assert "an observer failed at AgentDropped" in caplog.text
    assert shield_observer(ignore) is ignore


def test_an_observer_must_be_a_plain_function() -> None:
    async def awaited(event: Event) -> None:
        """Nothing would wait for it."""

    class Awaited:
        async def __call__(self, event: Event) -> None:
            """Nor for this."""

    for observer in (awaited, Awaited(), None):
        with pytest.raises(InputError, match="plain function"):
            shield_observer(observer)  # pyright: ignore[reportArgumentType]  what a caller without types may give


def test_a_foreign_part_gives_back_what_its_protocol_says() -> None:
    outcome = Outcome(verdict="success", judged_by="tests")
    assert expect_kind(outcome, Outcome, "verify") is outcome
    with pytest.raises(TypeError, match="verify must return an object of sale's Outcome, got bool"):
        expect_kind(True, Outcome, "verify")  # pyright: ignore[reportArgumentType]
