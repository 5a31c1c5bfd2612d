"""Rate limits: a sliding minute, exact in one process and shared by several."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from sale.errors import BudgetError, RateLimitError, StoreError
from sale.server.store import schema
from sale.server.store.rates import WINDOW, RateLimits


class Seconds:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_so_many_requests_a_minute_and_the_next_when_the_first_is_a_minute_old():
    clock = Seconds()
    rates = RateLimits("me", clock)
    for _ in range(3):
        assert rates.request("k", 4, None) is None
    clock.now += 30.25
    assert rates.request("k", 4, None) is None
    assert rates.request("k", 4, None) == pytest.approx(29.75)
    clock.now += 29.5
    assert rates.request("k", 4, None) == pytest.approx(0.25)
    assert rates.request("other", 4, None) is None
    clock.now += 0.25
    for _ in range(3):
        assert rates.request("k", 4, None) is None
    assert rates.request("k", 4, None) == pytest.approx(30.0)


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 40)), max_size=80), st.integers(1, 100))
def test_no_minute_has_more_tokens_than_the_limit(asked: list[tuple[float, int]], limit: int):
    """Whatever comes when; but for one request that is above the limit by itself, alone."""
    clock = Seconds()
    rates = RateLimits("me", clock)
    granted: list[tuple[float, int]] = []
    for pause, tokens in asked:
        clock.now += pause
        _, wait = rates.tokens("k", tokens, limit)
        if wait is None:
            granted.append((clock.now, tokens))
        else:
            clock.now += wait  # who waits as long as told is let in
            assert rates.tokens("k", tokens, limit)[1] is None
            granted.append((clock.now, tokens))
        window = [tokens for at, tokens in granted if at > clock.now - WINDOW + 1]
        assert sum(window) <= limit or len(window) == 1


def test_what_was_set_aside_and_not_used_is_free_again():
    clock = Seconds()
    rates = RateLimits("me", clock)
    second, wait = rates.tokens("k", 900, 1000)
    assert wait is None
    assert rates.tokens("k", 200, 1000)[1] is not None
    rates.correct("k", second, -800)
    assert rates.tokens("k", 200, 1000)[1] is None
    clock.now += 120
    rates.correct("k", second, 950)  # used beyond what was set aside two minutes ago
    assert rates.tokens("k", 100, 1000)[1] is not None


def test_what_was_set_aside_over_a_minute_ago_is_not_free_a_second_time() -> None:
    clock = Seconds()
    rates = RateLimits("me", clock)
    second, _ = rates.tokens("k", 900, 1000)
    clock.now += 61
    rates.correct("k", second, -800)
    assert rates.tokens("k", 1000, 1000)[1] is None
    assert rates.tokens("k", 1, 1000)[1] == pytest.approx(60.0)


def test_counts_whose_writing_failed_are_told_the_next_time():
    clock = Seconds()
    engine = create_engine("sqlite://")
    schema.rates.create(engine)
    mine, other = RateLimits("me", clock), RateLimits("other", clock)
    other.tokens("k", 0, 100)

    def exchange(rates: RateLimits) -> None:
        tell = rates.prepare_exchange()
        with engine.begin() as connection:
            rates.hear(tell(connection))

    mine.tokens("k", 60, 100)
    mine.prepare_exchange()  # its transaction fails: it is never heard of
    exchange(mine)
    exchange(other)
    assert other.wait_for_tokens("k", 60, 100) is not None

    tell = mine.prepare_exchange()
    with engine.begin() as connection:
        brought = tell(connection)
        mine.tokens("k", 30, 100)  # counted while the transaction was under way
    mine.hear(brought)
    exchange(mine)
    exchange(other)
    assert other.wait_for_tokens("k", 20, 100) is not None


async def test_requests_and_tokens_over_the_limit_are_refused_with_the_time_to_wait(store):
    secret, _ = await store.create_key("ci", rpm=3)
    for _ in range(3):
        await store.admit(secret)
    with pytest.raises(RateLimitError, match="3 requests a minute") as refused:
        await store.admit(secret)
    assert refused.value.retry_after == pytest.approx(59, abs=1.01)
    assert refused.value.retryable
    second, _ = await store.create_key("tokens", tpm=100)
    holder = await store.admit(second)
    reservation = await store.reserve(holder, 0.0, 90)
    with pytest.raises(RateLimitError, match="100 tokens a minute"):
        await store.reserve(holder, 0.0, 20)
    await store.settle(reservation, dollars=0.0, tokens=10)
    await store.reserve(holder, 0.0, 20)


async def test_tokens_of_a_request_without_budget_are_not_counted(store):
    secret, _ = await store.create_key("ci", tpm=100, budget=1.0)
    holder = await store.admit(secret)
    with pytest.raises(BudgetError):
        await store.reserve(holder, 2.0, 100)
    await store.reserve(holder, 0.5, 100)


async def test_processes_tell_each_other(opened):
    one, two = await opened(), await opened()
    secret, _ = await one.create_key("ci", rpm=10)
    for _ in range(5):
        await one.admit(secret)
        await two.admit(secret)
    until = time.monotonic() + 3
    refused = 0
    for _ in range(100):
        for store in (one, two):
            try:
                await store.admit(secret)
            except RateLimitError:
                refused += 1
        if refused >= 4 or time.monotonic() > until:
            break
        await asyncio.sleep(0.05)
    assert refused >= 4


async def test_a_number_that_no_database_holds_is_an_error_of_the_store_and_its_work_goes_on(store):
    secret, _ = await store.create_key("ci", tpm=100)
    holder = await store.admit(secret)
    reservation = await store.reserve(holder, 0.0, 2**64)
    with pytest.raises(StoreError):
        await store._exchange_rates()
    await store.settle(reservation, dollars=0.0, tokens=50)
    await store._exchange_rates()
