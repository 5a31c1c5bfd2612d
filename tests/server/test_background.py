"""Loops in the background of a server: an error of any kind ends one beat of them, and not the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from sale.auction.events import AuctionOpened
from sale.errors import StoreError
from sale.server.dashboard.live_auctions import LiveAuction
from sale.server.dashboard.live_sharing import LiveSharing
from sale.server.events import EventHub
from sale.server.periodic_task import PeriodicTask
from sale.types import Task
from tests.support.virtual_time import VirtualLoop


@pytest.mark.parametrize("error", [KeyError("gone"), StoreError("gone", where="x", hint="y")])
def test_a_beat_that_fails_is_logged_and_tried_again(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    beats: list[float] = []

    async def run() -> None:
        loop, enough = asyncio.get_running_loop(), asyncio.Event()

        async def act() -> None:
            beats.append(round(loop.time() - began, 3))
            if len(beats) == 7:
                enough.set()
            if len(beats) not in (5, 6):
                raise error

        began = loop.time()
        task = PeriodicTask(6.0, act, "looking", again_seconds=2.0)
        await enough.wait()
        await task.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())
    assert beats == [6.0, 8.0, 10.0, 12.0, 14.0, 20.0, 26.0]
    assert "looking failed, and will be tried again" in caplog.text
    assert "gone" in caplog.text


def test_a_beat_is_ended_by_who_waits_no_longer_for_it() -> None:
    async def run() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def act() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        task = PeriodicTask(1.0, act, "looking")
        await begun.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.0):
                await task.close()
        assert ended.is_set()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


class _Channel:
    """Breaks at first, in a way that was not foreseen; then it has an auction of another gateway."""

    def __init__(self) -> None:
        self.told = 0
        self.heard = 0

    async def tell(self, messages: list[str]) -> None:
        self.told += 1
        if self.told == 1:
            raise KeyError("told")

    async def hear(self) -> AsyncGenerator[str]:
        self.heard += 1
        if self.heard == 1:
            raise KeyError("heard")
        yield '{"owner": "other", "auctions": [{"id": "x"}]}'
        await asyncio.Event().wait()


def test_the_live_page_goes_on_after_an_error_of_any_kind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    take = LiveAuction.take

    def broken(self: LiveAuction, event: object) -> None:
        if self.id == "bad":
            raise KeyError("bad")
        take(self, event)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(LiveAuction, "take", broken)
    channel, seen = _Channel(), list[LiveAuction]()

    async def run() -> None:
        hub = EventHub()
        async with LiveSharing(hub, channel) as sharing:
            with sharing.page(seen.append):
                for name in ("bad", "good"):
                    hub.publish(name, AuctionOpened(auction_id=name, task=Task(text="x"), agents=()))
                await asyncio.sleep(30.0)
                assert sharing._own["good"].phase != "done"
        hub.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())
    assert channel.told > 1
    assert [one.id for one in seen] == ["x"]
    assert all(word in caplog.text for word in ("told", "heard", "bad"))
