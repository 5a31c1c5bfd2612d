"""Budgets: never overspent by tasks or processes, never refused while money is there, never reserved for ever."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.errors import BudgetError, StoreError
from sale.server.store.periods import ALWAYS, end_of, nano, start_of
from sale.server.store.store import ABANDONED_SECONDS, ServerStore

ROOT = Path(__file__).parents[3]
WORKER = Path(__file__).with_name("store_worker.py")


class Clock:
    """A time that can be set."""

    def __init__(self, now: datetime | None = None) -> None:
        self.ahead = (now or datetime.now(UTC)) - datetime.now(UTC)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


async def spent(store: ServerStore, key: str) -> float:
    """What is on disk, once everything is."""
    for _ in range(250):
        if not any(one.unsettled for one in store._budgets._accounts.values()):
            break
        await asyncio.sleep(0.02)
    return (await store.key(key)).spent


async def test_what_is_settled_is_spent_and_the_rest_is_free_again(store: ServerStore):
    secret, info = await store.create_key("ci", budget=1.0)
    holder = await store.admit(secret)
    first = await store.reserve(holder, 0.9, 10)
    with pytest.raises(BudgetError, match=r"\$0\.2, and \$0\.1") as refused:
        await store.reserve(holder, 0.2, 10)
    assert refused.value.retry_after is None
    await store.settle(first, dollars=0.3, tokens=10)
    second = await store.reserve(holder, 0.7, 10)
    for _ in range(3):  # once counts
        await store.settle(second, dollars=0.7, tokens=10)
    assert await spent(store, info.id) == 1.0
    with pytest.raises(BudgetError):
        await store.reserve(holder, 1e-9, 1)
    await store.reserve(holder, 0.0, 1)


async def test_more_than_was_reserved_is_counted_too(store: ServerStore):
    secret, info = await store.create_key("ci", budget=1.0)
    holder = await store.admit(secret)
    await store.settle(await store.reserve(holder, 0.1, 10), dollars=1.5, tokens=10)
    with pytest.raises(BudgetError):
        await store.reserve(holder, 0.1, 1)
    assert await spent(store, info.id) == 1.5


async def test_a_key_without_a_budget_is_counted_and_never_refused(store: ServerStore):
    secret, info = await store.create_key("ci")
    holder = await store.admit(secret)
    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(store.reserve(holder, 1e6, 10))
    await store.settle(await store.reserve(holder, 1.0, 1), dollars=0.25, tokens=1)
    assert await spent(store, info.id) == 0.25


async def test_hundreds_of_tasks_spend_exactly_the_budget(store: ServerStore):
    secret, info = await store.create_key("ci", budget=0.5, period="week")
    holder = await store.admit(secret)
    granted: list[float] = []

    async def work(number: int) -> None:
        dollars = 0.001
        for _ in range(5):
            try:
                reservation = await store.reserve(holder, dollars, 1)
            except BudgetError:
                return
            granted.append(dollars)
            await asyncio.sleep(0.001 * (number % 7))
            await store.settle(reservation, dollars=dollars, tokens=1)

    async with asyncio.TaskGroup() as group:
        for number in range(256):
            group.create_task(work(number))
    assert len(granted) == 500
    assert await spent(store, info.id) == pytest.approx(0.5, abs=1e-12)


async def test_nothing_is_refused_that_could_be_had_of_another_process(opened):
    """Each of three holds a slice it does not use; the whole of the rest is there for who asks."""
    one, two, three = [await opened() for _ in range(3)]
    secret, info = await one.create_key("ci", budget=1.0)
    for store in (one, two, three):
        await store.settle(await store.reserve(await store.admit(secret), 0.01, 1), dollars=0.01, tokens=1)
    assert (await one.key(info.id)).reserved > 0.2
    everything = await two.reserve(await two.admit(secret), 0.97, 1)
    with pytest.raises(BudgetError):
        await three.reserve(await three.admit(secret), 0.001, 1)
    await two.settle(everything, dollars=0.0, tokens=0)
    assert (await three.reserve(await three.admit(secret), 0.97, 1)).dollars == 0.97


async def test_two_short_processes_do_not_wait_for_each_other(opened):
    one, two = await opened(), await opened()
    secret, _ = await one.create_key("ci", budget=1.0)
    reservations = [await store.reserve(await store.admit(secret), 0.4, 1) for store in (one, two)]
    assert len(reservations) == 2
    results = await asyncio.wait(
        [asyncio.ensure_future(store.reserve(await store.admit(secret), 0.15, 1)) for store in (one, two)]
    )
    failures = [task.exception() for task in results[0]]
    # Had they waited for each other, both would have waited in vain.
    assert sorted(type(one).__name__ for one in failures) == ["BudgetError", "NoneType"]


def start(place: str, secret: str, tasks: int, dollars: float) -> subprocess.Popen[str]:
    """A worker that has opened its store."""
    arguments = [sys.executable, str(WORKER), place, secret, str(tasks), str(dollars)]
    worker = subprocess.Popen(arguments, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def go(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("\n")
    worker.stdin.flush()


async def test_processes_spend_exactly_the_budget_together(store: ServerStore, place: str):
    """Neither a cent more, nor is anybody refused while a cent is left."""
    secret, info = await store.create_key("ci", budget=1.0, period="month")
    workers = await asyncio.gather(*[asyncio.to_thread(start, place, secret, 16, 0.004) for _ in range(3)])
    for worker in workers:
        go(worker)
    said = [json.loads((await asyncio.to_thread(worker.communicate))[0].splitlines()[-1]) for worker in workers]
    assert sum(one["done"] for one in said) == 250, said
    standing = await store.key(info.id)
    assert (standing.spent, standing.reserved) == (1.0, 0.0)


async def test_what_a_killed_process_had_reserved_comes_back(opened, place: str):
    clock = Clock()
    store = await opened(clock=clock)
    secret, info = await store.create_key("ci", budget=1.0)
    worker = await asyncio.to_thread(start, place, secret, 0, 0.9)
    go(worker)
    assert worker.stdout is not None
    assert await asyncio.to_thread(worker.stdout.readline) == "reserved\n"
    with pytest.raises(BudgetError):
        await store.reserve(await store.admit(secret), 0.5, 1)
    worker.kill()
    await asyncio.to_thread(worker.communicate)
    assert (await store.key(info.id)).reserved >= 0.9
    clock.ahead += timedelta(seconds=31)
    assert (await store.key(info.id)).reserved == 0.0
    await store.reserve(await store.admit(secret), 0.95, 1)


async def test_a_process_that_lives_keeps_what_it_has_reserved(opened, monkeypatch: pytest.MonkeyPatch):
    """However long its request takes: it says that it lives, by its own clock."""
    clock = Clock()
    one, two = await opened(clock=clock), await opened(clock=clock)
    secret, _ = await one.create_key("ci", budget=1.0)
    long = await one.reserve(await one.admit(secret), 0.9, 1)
    clock.ahead += timedelta(seconds=29)
    monkeypatch.setattr("sale.server.store.budgets.ALIVE_SECONDS", 0.0)
    await one._budgets.tick()
    clock.ahead += timedelta(seconds=29)
    with pytest.raises(BudgetError):
        await two.reserve(await two.admit(secret), 0.5, 1)
    await one.settle(long, dollars=0.1, tokens=1)
    await two.reserve(await two.admit(secret), 0.9, 1)


async def test_an_idle_process_gives_back_what_it_does_not_use(opened, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sale.server.store.budgets.IDLE_SECONDS", 0.1)
    store = await opened()
    secret, info = await store.create_key("ci", budget=1.0)
    await store.settle(await store.reserve(await store.admit(secret), 0.01, 1), dollars=0.01, tokens=1)
    for _ in range(250):
        if not (await store.key(info.id)).reserved:
            break
        await asyncio.sleep(0.02)
    assert (await store.key(info.id)).reserved == 0


async def test_who_leaves_while_waiting_takes_nothing_along(store: ServerStore):
    secret, info = await store.create_key("ci", budget=1.0)
    holder = await store.admit(secret)
    for delay in (0, 0.001, 0.003, 0.005, 0.01, 0.02):
        waiting = [asyncio.ensure_future(store.reserve(holder, 0.001, 1)) for _ in range(40)]
        await asyncio.sleep(delay)
        for task in waiting:
            task.cancel()
        for task in waiting:
            if (reservation := (await asyncio.gather(task, return_exceptions=True))[0]) and not isinstance(
                reservation, BaseException
            ):
                await store.settle(reservation, dollars=0, tokens=0)
    whole = await store.reserve(holder, 1.0, 1)
    await store.settle(whole, dollars=0, tokens=0)
    assert await spent(store, info.id) == 0


async def test_a_new_period_is_a_new_budget(opened):
    clock = Clock(datetime(2026, 2, 28, 12, tzinfo=UTC))
    store = await opened(clock=clock)
    secret, info = await store.create_key("ci", budget=1.0, period="month")
    holder = await store.admit(secret)
    late = await store.reserve(holder, 0.75, 1)
    with pytest.raises(BudgetError) as refused:
        await store.reserve(holder, 0.5, 1)
    assert refused.value.retry_after == pytest.approx(12 * 3600, abs=60)
    clock.ahead += timedelta(hours=13)
    await store.settle(await store.reserve(holder, 1.0, 1), dollars=0.5, tokens=1)
    await store.settle(late, dollars=0.75, tokens=1)  # it counts where it was reserved
    assert await spent(store, info.id) == 0.5
    clock.ahead -= timedelta(hours=13)
    assert await spent(store, info.id) == 0.75


async def test_a_reservation_nobody_settles_is_released(store: ServerStore):
    secret, info = await store.create_key("ci", budget=1.0)
    holder = await store.admit(secret)
    forgotten = await store.reserve(holder, 0.9, 1)
    store._open[forgotten.id].at -= ABANDONED_SECONDS + 1.0
    await store._give_up()
    await store.reserve(holder, 0.8, 1)
    await store.settle(forgotten, dollars=0.1, tokens=1)
    assert await spent(store, info.id) == 0.1


async def test_a_database_that_is_gone_refuses_and_bills_nobody(tmp_path: Path):
    place = tmp_path / "s.sqlite3"
    store = await ServerStore.open(place)
    secret, info = await store.create_key("ci", budget=1.0)
    holder = await store.admit(secret)
    await store.settle(await store.reserve(holder, 0.01, 1), dollars=0.01, tokens=1)
    await store._database.write(lambda c: c.exec_driver_sql("ALTER TABLE server_slices RENAME TO away"))
    with pytest.raises(StoreError):
        await store.reserve(holder, 0.8, 1)
    await store._database.write(lambda c: c.exec_driver_sql("ALTER TABLE away RENAME TO server_slices"))
    await store.reserve(holder, 0.8, 1)
    assert await spent(store, info.id) == 0.01
    await store.aclose()
    with pytest.raises(StoreError, match="closed"):
        await store.key(info.id)


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2090, 1, 1)))  # noqa: DTZ001
def test_periods_follow_each_other_without_a_gap(naive: datetime):
    at = naive.replace(tzinfo=UTC)
    for period in ("day", "week", "month"):
        start = start_of(period, at)
        end = end_of(period, start)
        assert end is not None
        assert start <= at < end
        assert start_of(period, end) == end
        assert start_of(period, end - timedelta(microseconds=1)) == start
    assert start_of(None, at) == ALWAYS
    assert end_of(None, ALWAYS) is None


@pytest.mark.parametrize("dollars", [-1.0, float("nan"), float("inf")])
def test_money_is_never_negative_nor_endless(dollars: float):
    with pytest.raises(ValueError, match="dollars"):
        nano(dollars)
