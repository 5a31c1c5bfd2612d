"""Auctions as they happen, as the browser is told: cards over one connection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sale.auction.events import AuctionOpened, BiddingOpened
from sale.types import Task
from tests.server.dashboard.served import Served
from tests.support.hang import HANG
from tests.support.live_window import Window


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as served:
        yield served


def test_a_window_sees_what_was_and_what_happens(site: Served) -> None:
    before = site.run("The first task.")
    with Window(site.address) as window:
        site.wait(lambda: window.of(before.auction.id))
        result = site.run("The second task.", "failure")
        site.wait(lambda: any("failure" in card for card in window.of(result.auction.id)))
        site.wait(lambda: 'class="card"' in window.of(result.auction.id)[-1])  # settled: the record's own card
        last = window.of(result.auction.id)[-1]
        assert "The second task." in last
        assert re.search(r'<span class="when"><time [^>]+>[\d :-]+</time> UTC</span>', last)
        assert result.auction.winner.agent in last


def test_what_another_process_does_is_seen_without_events(site: Served) -> None:
    with Window(site.address) as window:
        site.remembered(lambda memory: memory.begin("elsewhere", Task(text="A task held elsewhere.")))
        site.wait(lambda: window.of("elsewhere"))
        assert "under way" in window.of("elsewhere")[-1]
        site.remembered(lambda memory: memory.abandon("elsewhere", "no bids"))
        site.wait(lambda: "abandoned" in window.of("elsewhere")[-1])


def test_a_window_opened_in_the_middle_sees_the_beginning(site: Served) -> None:
    task = Task(text="Already under way.")
    site.remembered(lambda memory: memory.begin("midway", task))
    site.hub.publish("midway", AuctionOpened(auction_id="midway", task=task, agents=("small", "large")))
    with Window(site.address) as window:
        site.wait(lambda: window.of("midway"))
        assert "is considered" in window.of("midway")[-1]
        site.hub.publish("midway", BiddingOpened(agents=("small", "large")))
        site.wait(lambda: "writing its plan" in window.of("midway")[-1])


def test_windows_do_not_outlive_the_server(tmp_path: Path) -> None:
    with Served(tmp_path) as site, Window(site.address) as window:
        site._loop.call_soon_threadsafe(site.hub.close)
        assert window.ended.wait(HANG)
