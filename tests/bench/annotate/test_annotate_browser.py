"""The page in a real browser, used as a person would."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sale.bench.annotate.attempts import attempts_of
from sale.bench.annotate.events import now, read_events
from tests.bench.annotate.browser import Browser, missing
from tests.bench.annotate.site import THREE, Site, lines, session, task

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "there is a browser")

CONTROL, ENTER, TAB = "\ue009", "\ue007", "\ue004"
QUESTION = "capital of France"


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "ada.jsonl"


def answer(browser: Browser, site: Site) -> None:
    """Whatever the current task asks for, rightly."""
    current = site.session.current
    assert current is not None
    match current.kind:
        case "choice":
            browser.click("input[value=B]")
        case "short" | "judged":
            browser.type("#answer", "Paris")
        case "tests":
            browser.type("#answer", "def double(x):\n    return 2 * x")


def test_a_person_solves_three_tasks(record: Path) -> None:
    with Site(session(record, now, THREE)) as site, Browser() as browser:
        browser.open(site.address)
        for number in range(3):
            assert f"Task {number + 1} of 3" in browser.text("h1")
            browser.press("Start")
            answer(browser, site)
            if number == 0:
                browser.press("Pause")
                assert "is paused" in browser.text("h1")
                assert not browser.script("return document.querySelector('#task, #answering')")
                browser.press("Resume")
            browser.press("Submit")
        assert "All 3 tasks are done" in browser.text()
        site.wait(lambda: len(lines(record, "judged")) == 3)
    assert [line["right"] for line in lines(record, "judged")] == [True] * 3
    assert all(attempt.seconds() > 0 for attempt in attempts_of(read_events(record)).values())


def test_the_keyboard_alone_suffices_and_the_clock_ticks(record: Path) -> None:
    with Site(session(record, now, [task()])) as site, Browser() as browser:
        browser.open(site.address)
        browser.keys(ENTER)  # Start has the focus
        browser.wait(lambda: QUESTION in browser.text())
        assert browser.script("return document.activeElement.tagName") == "H1"
        browser.wait(lambda: browser.text("#clock") >= "0:02")
        browser.keys(TAB, *"Paris")
        browser.keys(ENTER, holding=CONTROL)
        browser.wait(lambda: "The task is done" in browser.text())
    assert lines(record, "submit")[0]["answer"] == "Paris"


def test_a_reload_loses_nothing_and_going_back_shows_nothing(record: Path) -> None:
    with Site(session(record, now, THREE[:1])) as site, Browser() as browser:
        browser.open(site.address)
        browser.press("Start")
        browser.type("#answer", "Par")
        time.sleep(1.1)
        browser.reload()  # before a beat was due
        browser.wait(lambda: bool(lines(record, "draft")))
        browser.reload()
        assert browser.value("#answer") == "Par"
        assert browser.text("#clock") >= "0:01"
        browser.type("#answer", "is")
        browser.press("Submit")
        browser.back()
        browser.wait(lambda: "The task is done" in browser.text())
        assert QUESTION not in browser.text()
    assert len(lines(record, "start")) == 1


def test_a_second_tab_hides_the_task_when_the_first_pauses(record: Path) -> None:
    with Site(session(record, now, [task()])) as site, Browser() as browser:
        browser.open(site.address)
        browser.press("Start")
        first = browser.tab()
        browser.new_tab()
        browser.open(site.address)
        assert QUESTION in browser.text()
        browser.press("Pause")
        browser.switch(first)
        browser.wait(lambda: "is paused" in browser.text())
        assert QUESTION not in browser.text()
    assert len(lines(record, "start")) == 1


def test_the_command_dies_and_comes_back_in_the_middle_of_a_task(record: Path) -> None:
    with Browser() as browser:
        with Site(session(record, now, [task()])) as site:
            browser.open(site.address)
            browser.press("Start")
            browser.type("#answer", "Pa")
        browser.wait(lambda: "connection" in browser.text())
        assert QUESTION not in browser.text()
        browser.type("#answer", "ris")
        with Site(session(record, now, [task()]), port=site.port):
            browser.wait(lambda: "The command was stopped" in browser.text())
            browser.press("Resume")
            assert browser.value("#answer") == "Paris"
            browser.press("Submit")
            assert "The task is done" in browser.text()


def test_without_scripts(record: Path) -> None:
    with Site(session(record, now, [task()])) as site, Browser(scripts=False) as browser:
        browser.open(site.address)
        browser.press("Start")
        assert QUESTION in browser.text()
        browser.wait(lambda: bool(lines(record, "beat")))  # the frame renews itself
        browser.type("#answer", "Par")
        browser.press("Pause")
        assert QUESTION not in browser.text()
        browser.press("Resume")
        browser.type("#answer", "is")
        browser.press("Submit")
        assert "The task is done" in browser.text()
    assert lines(record, "submit")[0]["answer"] == "Paris"


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1280, False), (390, True)])
def test_it_fits_the_screen_in_both_colours(record: Path, width: int, dark: bool) -> None:
    long = task(prompt=f"What is it?\n\n```\nx = '{'long ' * 60}'\n{'y' * 300}\n```\n\n{'wide' * 100}")
    with Site(session(record, now, [long])) as site, Browser(width=width, dark=dark) as browser:
        browser.open(site.address)
        for step in ("Start", "Pause", "Resume"):
            browser.press(step)
            size = browser.script("return [document.documentElement.scrollWidth, window.innerWidth]")
            assert size[0] <= size[1] == width
        assert browser.script(UNREADABLE) == []


UNREADABLE = """
const channel = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const light = (rgb) => 0.2126 * channel(rgb[0]) + 0.7152 * channel(rgb[1]) + 0.0722 * channel(rgb[2]);
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const ground = (element) => {
  for (; element; element = element.parentElement) {
    const colour = parts(getComputedStyle(element).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
return [...document.querySelectorAll("h1, p, label, button, summary, pre, strong")].filter((element) => {
  const both = [light(parts(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
  return (both[0] + 0.05) / (both[1] + 0.05) < 4.5;
}).map((element) => element.outerHTML);
"""
"""Text with less contrast than WCAG 2 asks for (AA: 4.5 to 1)."""
