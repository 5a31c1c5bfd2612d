"""What several processes share: who begins a session, and the allowance of auctions."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from sale.auction.allowance import Allowance, Outlook
from sale.server.gateway.allowance_sharing import AllowanceSharing
from sale.server.store import allowances, beginnings
from sale.server.store.allowances import NOTHING, AllowanceUse
from sale.server.store.store import ServerStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
Opener = Callable[..., Awaitable[ServerStore]]


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_one_process_begins_a_session(opened: Opener) -> None:
    one, two = await opened(), await opened()
    assert await one.beginnings.begin("s", "k")
    assert not await two.beginnings.begin("s", "k")
    assert await two.beginnings.begin("s", None), "another key's session of the name"
    assert await two.beginnings.begin("t", "k")
    await two.beginnings.end("s", "k")
    assert not await two.beginnings.begin("s", "k"), "who did not begin it does not end it"
    await one.beginnings.end("s", "k")
    assert await two.beginnings.begin("s", "k")


async def test_a_process_that_was_killed_holds_a_session_for_seconds(opened: Opener, clock: Clock) -> None:
    one, two = await opened(clock=clock), await opened(clock=clock)
    assert await one.beginnings.begin("s", "k")
    clock.pass_by(beginnings.LEASE_SECONDS - 1)
    assert not await two.beginnings.begin("s", "k")
    await one.beginnings._renew()  # it lives
    clock.pass_by(beginnings.LEASE_SECONDS - 1)
    assert not await two.beginnings.begin("s", "k")
    clock.pass_by(2)
    assert await two.beginnings.begin("s", "k")
    await one.beginnings.end("s", "k")
    assert not await one.beginnings.begin("s", "k"), "it is the other's now"


def use(earned: float = 0.0, spent: float = 0.0, reserved: float = 0.0) -> AllowanceUse:
    return AllowanceUse(earned=earned, spent=spent, reserved=reserved)


async def test_each_hears_what_the_others_have_counted(opened: Opener, clock: Clock) -> None:
    one, two, three = [await opened(clock=clock) for _ in range(3)]
    assert not await one.allowance.join(), "the first counts the past"
    assert await one.allowance.exchange(use(earned=5.0, spent=1.0)) == NOTHING
    assert await two.allowance.join()
    assert await two.allowance.exchange(use(spent=0.5, reserved=0.25)) == use(earned=5.0, spent=1.0)
    assert await one.allowance.exchange(use(earned=6.0, spent=1.0)) == use(spent=0.5, reserved=0.25)
    await two.allowance.leave(use(earned=1.0, spent=0.75))
    assert await one.allowance.exchange(use(earned=6.0, spent=1.0)) == use(earned=1.0, spent=0.75)
    assert await three.allowance.join()
    assert await three.allowance.exchange(NOTHING) == use(earned=7.0, spent=1.75), "also of those that have left"


async def test_what_a_killed_process_had_set_aside_is_spent(opened: Opener, clock: Clock) -> None:
    one, two = await opened(clock=clock), await opened(clock=clock)
    await one.allowance.join()
    await two.allowance.join()
    await one.allowance.exchange(use(earned=4.0, spent=1.0, reserved=0.5))
    assert await two.allowance.exchange(NOTHING) == use(earned=4.0, spent=1.0, reserved=0.5)
    found = NOTHING
    for _ in range(4):
        clock.pass_by(allowances.RENEW_SECONDS + 1)
        found = await two.allowance.exchange(NOTHING)
    assert found == use(earned=4.0, spent=1.5)
    clock.pass_by(allowances.LEASE_SECONDS + 1)
    later = await opened(clock=clock)
    assert not await later.allowance.join(), "after all have ended, the count begins anew"
    assert await later.allowance.exchange(NOTHING) == NOTHING


async def test_what_is_told_by_one_who_leaves_counts_once(
    opened: Opener, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await opened(clock=clock), await opened(clock=clock)
    await one.allowance.join()
    await two.allowance.join()
    begun, tell = threading.Event(), cast("Any", allowances._tell)

    def tell_slowly(*given: Any) -> None:
        begun.set()
        time.sleep(0.2)
        tell(*given)

    monkeypatch.setattr(allowances, "_tell", tell_slowly)
    telling = asyncio.ensure_future(one.allowance.exchange(use(earned=4.0, spent=1.0)))
    await asyncio.to_thread(begun.wait)
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    await one.allowance.leave(use(earned=4.0, spent=1.0))
    assert await two.allowance.exchange(NOTHING) == use(earned=4.0, spent=1.0)


class _Market:
    """As much of a market as the sharing asks for."""

    def __init__(self, share: float) -> None:
        self.allowance = Allowance(share=share, begun=True)

    async def memory(self) -> None:
        return None


async def test_gateways_spend_one_allowance(opened: Opener) -> None:
    markets: list[Any] = [_Market(0.5), _Market(0.5)]
    stores = [await opened() for _ in markets]
    sharing = [
        AllowanceSharing(store.allowance, lambda market=market: market)
        for store, market in zip(stores, markets, strict=True)
    ]
    for one in sharing:
        await one.start()

    async def beat() -> None:
        for one in (*sharing, *sharing):
            await one.exchange()

    first, second = (market.allowance for market in markets)
    first.count(10.0, 10.0)
    await beat()
    assert first.balance == second.balance == 5.0
    dear = Outlook(most=3.0, gain=100.0)
    assert second.reserve(dear), "what the first has earned the second may spend"
    await beat()
    assert not first.reserve(dear), "once"
    second.settle(dear, 2.5)
    await beat()
    assert first.balance == second.balance == pytest.approx(2.5)
    await sharing[1].close()
    await sharing[0].exchange()
    assert first.balance == pytest.approx(2.5), "what one has spent stays spent when it has ended"
