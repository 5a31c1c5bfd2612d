"""The dashboard in a real browser, by what a person does, sees and hears."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.annotate.browser import Browser, missing
from tests.server.dashboard.served import Served
from tests.support.hang import HANG

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "a browser is there")

PAGES = ("/", "/memory", "/agents", "/money", "/pareto", "/weights", "/sessions", "/shadow", "/keys")
AXE = gzip.decompress((Path(__file__).parent / "axe" / "axe.min.js.gz").read_bytes()).decode()
"""Seconds that looking a page through may take, on a busy machine."""
RIGHT, TAB = "\ue014", "\ue004"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("browser")) as served:
        for number in range(4):
            served.run(f"Add the numbers from 1 to {number}.", "failure" if number == 2 else "success", domain="sums")
        served.do(served.store.create_key("ci", budget=2.0, period="day"))
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as window:
        yield window


def violations(browser: Browser) -> list[Any]:
    """What axe-core finds, in short."""
    browser._ask("POST", "/timeouts", {"script": int(1000 * HANG)})
    browser.script(AXE)
    run = (
        "const done = arguments[0];"
        "axe.run(document, {resultTypes: ['violations']}).then(found => done(found.violations.map(one =>"
        " [one.id, one.nodes.slice(0, 3).map(node => node.html.slice(0, 200))])))"
    )
    return browser._ask("POST", "/execute/async", {"script": run, "args": []})


def paths(site: Served) -> list[str]:
    (latest,) = site.remembered(lambda memory: memory.list(1))
    return [*PAGES, f"/auctions/{latest.id}"]


def test_an_auction_appears_while_one_looks(site: Served, browser: Browser) -> None:
    browser.open(f"{site.address}/")
    browser.wait(lambda: "live" in browser.text("#pulse"))
    cards = browser.script("return document.querySelectorAll('.card').length")
    browser.script("window.stayed = true")
    result = site.run("Appear while somebody looks.", "success")
    card = f"#auction-{result.auction.id}"
    browser.wait(lambda: "Appear while somebody looks." in browser.text(card))
    browser.wait(lambda: "success" in browser.text(card))
    assert browser.script("return document.querySelector('#live').firstElementChild.id") == card[1:]
    assert browser.script("return document.querySelectorAll('.card').length") == cards + 1
    assert "Appear while somebody looks." in browser.text("#aloud")
    assert browser.script("return window.stayed")
    browser.click(f"{card} a")
    browser.wait(lambda: result.auction.id[:8] in browser.text("h1"))


def test_a_judgement_is_given(site: Served, browser: Browser) -> None:
    auction_id = site.run(verdict=None).auction.id
    browser.open(f"{site.address}/auctions/{auction_id}")
    browser.click("input[value=failure]")
    browser.type("#detail", "not what I asked")
    browser.press("Put it on record")
    assert "Your judgement is on record." in browser.text("main")
    assert "not what I asked" in browser.text(".history")


def test_the_memory_is_searched_as_one_types(site: Served, browser: Browser) -> None:
    site.run("Name the largest river of Europe.")
    browser.open(f"{site.address}/memory")
    browser.script("window.stayed = true")
    browser.type("#q", "largest river")
    browser.wait(lambda: "river of Europe" in browser.text("#results tbody tr:first-child"))
    browser.wait(lambda: "largest" in browser.script("return location.search"))
    assert browser.script("return window.stayed")


def test_charts_speak_to_pointers_and_keys(site: Served, browser: Browser) -> None:
    browser.open(f"{site.address}/agents")
    browser.script("document.querySelector('.drawing.wide svg').focus()")
    browser.keys(RIGHT)
    winner = browser.text(".key[data-series='0']").strip()
    tip = browser.text("#tip")
    assert winner in tip
    assert "%" in tip
    assert winner in browser.text("#aloud")
    browser.click(".key[data-series='0']")
    browser.script("document.querySelector('.drawing.wide svg').focus()")
    browser.keys(RIGHT)
    assert winner not in browser.text("#tip")
    assert (
        browser.script("return getComputedStyle(document.querySelector('.wide g[data-series=\"0\"]')).display")
        == "none"
    )


def test_the_scheme_is_chosen_and_kept(site: Served, browser: Browser) -> None:
    browser.open(f"{site.address}/money")
    light = browser.script("return getComputedStyle(document.body).backgroundColor")
    browser.click("#scheme")
    dark = browser.script("return getComputedStyle(document.body).backgroundColor")
    assert dark != light
    browser.open(f"{site.address}/agents")
    assert browser.script("return getComputedStyle(document.body).backgroundColor") == dark
    look = "return getComputedStyle(document.getElementById('scheme')).borderTopColor"
    pressed = browser.script(look)
    assert browser.script(f"document.getElementById('scheme').setAttribute('aria-pressed', 'false'); {look}") != pressed
    browser.click("#scheme")
    assert browser.script("return getComputedStyle(document.body).backgroundColor") == light


def test_on_a_phone_the_search_says_what_it_wants(site: Served) -> None:
    with Browser(width=400) as window:
        window.open(f"{site.address}/memory")
        fits = (
            "const field = document.getElementById('q'), pen = document.createElement('canvas').getContext('2d');"
            "pen.font = getComputedStyle(field).font;"
            "return pen.measureText(field.placeholder).width < field.clientWidth - 48"
        )
        assert window.script(fits)


def test_the_keyboard_reaches_the_content_first(site: Served, browser: Browser) -> None:
    browser.open(f"{site.address}/agents")
    browser.keys(TAB)
    assert browser.script("return document.activeElement.textContent") == "Skip to the content"


def test_nobody_broke_the_pages_policy(site: Served, browser: Browser) -> None:
    for path in paths(site):
        browser.open(site.address + path)
        browser.wait(lambda: browser.script("return typeof htmx") == "object")
        logged = browser._ask("POST", "/se/log", {"type": "browser"})
        assert [one["message"] for one in logged if one["level"] == "SEVERE"] == [], path


@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 390)])
def test_everybody_can_read_it(site: Served, dark: bool, width: int) -> None:
    with Browser(width=width, dark=dark) as browser:
        for path in paths(site):
            browser.open(site.address + path)
            assert violations(browser) == [], path
            wide = browser.script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, path


def test_it_works_without_scripts(site: Served) -> None:
    result = site.run("Seen without scripts.", None)
    with Browser(scripts=False) as browser:
        for path in PAGES:
            assert "</main>" in site.page(path)
        browser.open(f"{site.address}/")
        assert "Seen without scripts." in browser.text("#live")
        browser.open(f"{site.address}/auctions/{result.auction.id}")
        browser.click("input[value=success]")
        browser.press("Put it on record")
        assert "Your judgement is on record." in browser.text("main")
        browser.open(f"{site.address}/memory")
        browser.type("#q", "without scripts")
        browser.press("Find")
        assert "Seen without scripts." in browser.text("#results")


def test_a_password_is_asked_for_and_taken(tmp_path: Path) -> None:
    with Served(tmp_path, password="open sesame") as site, Browser() as browser:
        browser.open(f"{site.address}/agents")
        assert "Log in" in browser.text("h1")
        assert violations(browser) == []
        browser.type("#password", "open barley")
        browser.press("Log in")
        assert "That is not the password." in browser.text("main")
        browser.type("#password", "open sesame")
        browser.press("Log in")
        assert browser.text("h1") == "Agents"
        browser.press("Log out")
        assert "Log in" in browser.text("h1")


def test_texts_of_models_run_nothing(site: Served, browser: Browser) -> None:
    bad = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    browser.open(f"{site.address}/")
    browser.wait(lambda: "live" in browser.text("#pulse"))
    result = site.run(f"Harmless {bad}", "failure", detail=bad)
    browser.wait(lambda: "Harmless" in browser.text(f"#auction-{result.auction.id}"))
    assert browser.script("return document.title") != "owned"
    assert json.dumps(bad)[1:20] not in browser.script("return document.body.innerHTML")
    browser.open(f"{site.address}/auctions/{result.auction.id}")
    assert browser.script("return document.title") != "owned"
    assert bad in browser.text("main")
