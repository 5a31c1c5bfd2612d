"""Auctions under way at other gateways, over a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sale.auction.events import AuctionOpened, BiddingOpened, Judged
from sale.server.dashboard import live_sharing
from sale.server.dashboard.live_auctions import LiveAuction, LiveBidder
from sale.server.dashboard.live_sharing import CHANNEL, LiveSharing, pack_messages
from sale.server.events import EventHub
from sale.server.store.announcements import MAX_MESSAGE_BYTES
from sale.types import Outcome, Task
from tests.memory.builders import auction, bid, execution, outcome
from tests.server.dashboard.served import Served, sharing
from tests.support.hang import HANG
from tests.support.live_window import Window
from tests.support.postgres import Server

TASK = Task(text="Plan a secret garden.")
DONE = Judged(outcome=Outcome(verdict="success", judged_by="tests"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_sharing, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(live_sharing, "AGAIN_SECONDS", 0.05)


@dataclass
class Gateway:
    """One of several."""

    hub: EventHub
    shared: LiveSharing
    seen: list[LiveAuction] = field(default_factory=list[LiveAuction])

    def open(self, name: str) -> None:
        """An auction begins."""
        self.hub.publish(name, AuctionOpened(auction_id=name, task=TASK, agents=("a", "b")))
        self.hub.publish(name, BiddingOpened(agents=("a", "b")))

    def latest(self, name: str) -> LiveAuction | None:
        return next((auction for auction in reversed(self.seen) if auction.id == name), None)


@asynccontextmanager
async def running(url: str) -> AsyncGenerator[Gateway]:
    hub = EventHub()
    async with sharing(hub, url) as shared:
        assert shared is not None
        yield Gateway(hub, shared)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(HANG):
        while not condition():  # noqa: ASYNC110  what is waited for is of several kinds
            await asyncio.sleep(0.01)


async def test_a_page_is_told_how_auctions_elsewhere_stand(postgres: Server) -> None:
    url = postgres.database()
    async with running(url) as one, running(url) as two:
        one.open("before")
        one.hub.publish("unknown", BiddingOpened(agents=("a",)))
        with two.shared.page(two.seen.append):
            await until(lambda: two.latest("before"))
            one.open("after")
            two.open("own")
            await until(lambda: two.latest("after"))
            first: list[LiveAuction] = []
            with two.shared.page(first.append):
                assert {auction.id for auction in first} == {"before", "after"}, "a second page knows at once"
            one.hub.publish("before", DONE)
            await until(lambda: (auction := two.latest("before")) and auction.phase == "done")
        found = two.latest("after")
        assert found is not None
        assert (found.task, found.phase, list(found.bids)) == ("", "bidding", ["a", "b"])
        assert {auction.id for auction in two.seen} == {"before", "after"}
        with two.shared.page(two.seen.append):
            two.seen.clear()
            await until(lambda: two.latest("after"))
            assert two.latest("before") is None


async def test_without_a_page_nothing_is_told(postgres: Server) -> None:
    url = postgres.database()
    said: list[str] = []
    async with running(url) as one, running(url) as two:

        async def listen() -> None:
            async for message in two.shared._channel.hear():
                said.append(message)

        listening = asyncio.create_task(listen())
        await until(lambda: listeners(postgres, url) == 3)
        one.open("x")
        await asyncio.sleep(0.3)
        assert said == []
        with two.shared.page(two.seen.append):
            await until(lambda: two.latest("x"))
        assert not any("garden" in message for message in said)
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


def listeners(postgres: Server, url: str) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE starts_with(query, 'LISTEN') AND datname = current_database()"
    return int(str(postgres.run(query, url=url)[0][0]))


async def test_what_others_say_on_the_channel_is_not_believed(postgres: Server) -> None:
    url = postgres.database()
    async with running(url) as one, running(url) as two:
        with two.shared.page(two.seen.append):
            await until(lambda: listeners(postgres, url) == 2)
            for said in ("", "x", "[]", '{"owner": 1}', '{"owner": "x", "auctions": [{"id": "y", "bids": 3}]}'):
                postgres.run(f"SELECT pg_notify('{CHANNEL}', '{said}')", url=url)
            one.open("x")
            await until(lambda: two.latest("x"))
        assert {auction.id for auction in two.seen} == {"x"}


async def test_a_connection_that_breaks_is_made_again(postgres: Server, caplog: pytest.LogCaptureFixture) -> None:
    url = postgres.database()
    async with running(url) as one, running(url) as two:
        with two.shared.page(two.seen.append):
            one.open("x")
            await until(lambda: two.latest("x"))
            postgres.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
                url=url,
            )
            await until(lambda: "shows this gateway alone" in caplog.text)
            await until(lambda: listeners(postgres, url) == 2)
            one.open("y")
            await until(lambda: two.latest("y"))


async def test_no_more_are_kept_than_fit(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_sharing, "MAX_AUCTIONS", 3)
    url = postgres.database()
    async with running(url) as one, running(url) as two:
        with two.shared.page(two.seen.append):
            for number in range(5):
                one.open(f"x{number}")
                await until(lambda number=number: two.latest(f"x{number}"))
            late: list[LiveAuction] = []
            with two.shared.page(late.append):
                assert [auction.id for auction in late] == ["x2", "x3", "x4"]
        await until(lambda: len(one.shared._own) == 3)


def test_messages_are_short() -> None:
    auctions = [
        LiveAuction(
            id=f"x{number}",
            task="secret" * 1000,
            leader="a290",
            winner="a299",
            bids={
                f"a{place}": LiveBidder(agent=f"a{place}", state="left: " + "long " * 100, votes={"j": 3.0})
                for place in range(300 if number == 0 else 3)
            },
        )
        for number in range(60)
    ]
    made = pack_messages("owner", auctions)
    assert max(len(one.encode()) for one in made) <= MAX_MESSAGE_BYTES
    found = [auction for one in made for auction in live_sharing._MESSAGE.validate_json(one).auctions]
    assert [auction.id for auction in found] == [auction.id for auction in auctions]
    assert 2 < len(found[0].bids) < 300
    assert {"a290", "a299"} <= set(found[0].bids), "leader and winner stay"
    assert not any("secret" in one for one in made)
    assert pack_messages("owner", []) == []


def test_a_window_shows_auctions_of_other_gateways_that_are_on_record(tmp_path: Path, postgres: Server) -> None:
    url = postgres.database()
    with Served(tmp_path, shares=url) as site, Window(site.address) as window:

        async def hold() -> None:
            memory = await site.market.memory()
            assert memory is not None
            async with running(url) as other:
                other.open("early")  # its record comes afterwards
                await until(lambda: site.others is not None and "early" in site.others._others)
                assert window.of("early") == []
                await memory.begin("early", TASK)
                await until(lambda: any("card live" in card for card in window.of("early")))
                assert "secret garden" in window.of("early")[-1]
                await memory.begin("late", TASK)
                await until(lambda: window.of("late"))
                other.open("late")
                await until(lambda: any("card live" in card for card in window.of("late")))
                assert "secret garden" in window.of("late")[-1]
                other.hub.publish("late", BiddingOpened(agents=("a", "b", "c")))
                await until(lambda: "among 3 agents" in window.of("late")[-1])
                assert "secret garden" in window.of("late")[-1]
                await memory.award(auction("late", TASK, (bid("a", 1.0), bid("b", 2.0))))
                await memory.settle("late", execution("a"), outcome("success"))
                await until(lambda: "card live" not in window.of("late")[-1])
                told = len(window.of("late"))
                other.hub.publish("late", BiddingOpened(agents=("a", "b", "c", "d")))
                other.open("last")
                await until(lambda: site.others is not None and "last" in site.others._others)
                await asyncio.sleep(0.5)
                assert len(window.of("late")) == told, "its record is closed"

        site.do(hold())
