"""The page over real HTTP: what it shows, what it hides, and whom it refuses."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Iterator
from pathlib import Path

import pytest

from sale.bench.annotate.session import SILENCE
from sale.bench.annotate.shown import TextPart, lay_out
from sale.bench.tasks.schema import BenchTask
from sale.errors import SandboxError
from tests.bench.annotate.site import CHOICE, THREE, Clock, Site, lines, session, task


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "ada.jsonl"


@pytest.fixture
def site(record: Path, clock: Clock) -> Iterator[Site]:
    with Site(session(record, clock)) as served:
        yield served


QUESTION = "capital of France"


def test_the_task_is_shown_only_while_its_clock_runs(site: Site, record: Path, clock: Clock) -> None:
    assert QUESTION not in site.page()
    assert "A web browser" in site.page()
    assert site.post("start").status_code == 303
    assert QUESTION in site.page()
    clock.work(7)
    site.post("pause", answer="Lyon?\r\nno")
    page = site.page()
    assert QUESTION not in page
    assert "0:07" in page
    site.post("resume")
    assert QUESTION in site.page()
    assert "Lyon?\nno</textarea>" in site.page()
    clock.work(8)
    site.post("submit", answer="Paris")
    assert "The task is done" in site.page()
    site.wait(lambda: lines(record, "judged"))
    assert lines(record, "judged")[0]["right"] is True


def test_a_reload_neither_loses_nor_stops_time(site: Site, clock: Clock) -> None:
    site.post("start")
    for _ in range(10):
        clock.work(6)
        assert QUESTION in site.page()
    assert 'data-seconds="60.000"' in site.page()


def test_beats_keep_what_is_written_and_say_the_time(site: Site, clock: Clock) -> None:
    site.post("start")
    view = site.view()
    clock.work(5)
    assert site.post("beat", answer="Par").json() == {"view": view, "seconds": 5.0}
    assert "Par</textarea>" in site.page()
    clock.work(SILENCE + 1)
    assert site.post("beat").json()["view"] != view
    page = site.page()
    assert "not\n    counted" in page
    assert QUESTION not in page


def test_a_page_that_is_out_of_date_does_no_harm(record: Path, clock: Clock) -> None:
    with Site(session(record, clock, THREE)) as site:
        first = site.session.current
        assert first is not None
        site.post("start")
        site.post("submit", answer="x")
        reply = site.post("submit", task=first.id, answer="again")
        assert "notice=moved" in reply.headers["location"]
        assert "out of date" in site.client.get(reply.headers["location"]).text
        assert len(lines(record, "submit")) == 1


def test_an_empty_answer_is_not_handed_in(site: Site) -> None:
    site.post("start")
    reply = site.client.get(site.post("submit", answer=" ").headers["location"])
    assert "There is no answer yet" in reply.text
    assert QUESTION in reply.text


def test_an_answer_after_a_gap_waits(site: Site, clock: Clock) -> None:
    site.post("start")
    clock.work(SILENCE * 2)
    reply = site.client.get(site.post("submit", answer="Paris").headers["location"])
    assert "It is kept" in reply.text
    site.post("resume")
    assert "Paris</textarea>" in site.page()


def test_giving_up_and_reporting(record: Path, clock: Clock) -> None:
    with Site(session(record, clock, THREE)) as site:
        for step, fields in (("give-up", {}), ("flag", {"note": " two answers "}), ("flag", {})):
            site.post("start")
            site.post(step, **fields)
        assert "All 3 tasks are done" in site.page()
    assert [line["kind"] for line in lines(record, "give_up", "flag")] == ["give_up", "flag", "flag"]
    assert [line["note"] for line in lines(record, "flag")] == ["two answers", ""]


def test_text_is_shown_as_text(record: Path, clock: Clock) -> None:
    nasty = "<script>alert(1)</script> {{ 7 * 7 }} \"'&amp; ```"
    with Site(session(record, clock, [task(prompt=nasty)])) as site:
        site.post("start")
        site.post("pause", answer="</textarea><script>alert(2)</script>")
        site.post("resume")
        page = site.page()
        assert "<script>alert" not in page
        assert html.escape(nasty).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page


@pytest.mark.parametrize("step", ["start", "beat", "submit", "flag"])
@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", "https://127.0.0.1"])
def test_forms_of_other_pages_are_refused(site: Site, record: Path, step: str, origin: str) -> None:
    assert site.post(step, origin=origin).status_code == 403
    assert len(lines(record)) == 1


def test_a_request_that_does_not_say_where_it_is_from_is_refused(site: Site, record: Path) -> None:
    assert site.client.post("/start", data={"task": "made/capital"}).status_code == 403
    assert len(lines(record)) == 1


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.7", "0.0.0.0", ""])
def test_other_host_names_are_refused(site: Site, host: str) -> None:
    where = f"{host}:{site.port}" if host else ""
    headers = {"host": where, "origin": f"http://{where}"}
    assert site.client.get("/", headers=headers).status_code == 400
    assert site.client.post("/start", data={"task": "made/capital"}, headers=headers).status_code == 400


def test_localhost_is_the_same_place(site: Site) -> None:
    where = f"localhost:{site.port}"
    reply = site.client.post(
        "/start", data={"task": "made/capital"}, headers={"host": where, "origin": f"http://{where}"}
    )
    assert reply.status_code == 303


def test_odd_requests(site: Site, record: Path) -> None:
    assert site.post("nonsense").status_code == 404
    assert site.client.get("/start").status_code == 405
    site.post("start")
    own = {"origin": site.address}
    assert site.client.post("/submit", content=b"task=made/capital&answer=%ff\xff", headers=own).status_code == 400
    assert site.client.post("/submit", content=b"a" * 3_000_000, headers=own).status_code == 413
    assert site.client.get("/static/%2e%2e/page.py").status_code == 404
    assert not lines(record, "submit")


def test_nothing_is_kept_or_fetched_from_elsewhere(site: Site) -> None:
    site.post("start")
    reply = site.client.get("/")
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    for kind in ("css", "js"):
        assert f"/static/annotate.{kind}" in reply.text
        assert "http" not in site.client.get(f"/static/annotate.{kind}").text
    assert "http://" not in reply.text
    assert "https://" not in reply.text


def test_the_frame_without_scripts_beats(site: Site, record: Path, clock: Clock) -> None:
    site.post("start")
    view = site.view()
    clock.work(65)
    frame = site.client.get("/clock", params={"view": view})
    assert "1:05" in frame.text
    assert 'http-equiv="refresh"' in frame.text
    assert len(lines(record, "beat")) == 1
    clock.work(5)
    foreign = site.client.get("/clock", params={"view": view}, headers={"sec-fetch-site": "cross-site"})
    assert foreign.status_code == 403
    clock.work(SILENCE)
    for _ in range(2):
        stale = site.client.get("/clock", params={"view": view}).text
        assert "out of date" in stale
        assert "refresh" not in stale
    assert len(lines(record, "beat")) == 1


def test_what_cannot_be_judged_is_judged_next_time(record: Path, clock: Clock) -> None:
    async def broken(task: BenchTask, answer: str) -> bool | None:
        raise SandboxError("no sandbox here", hint="Install one.")

    with Site(session(record, clock), broken) as site:
        site.post("start")
        site.post("submit", answer="Paris")
        site.wait(lambda: "no sandbox here" in site.page())
    assert not lines(record, "judged")
    with Site(session(record, clock)) as site:
        site.wait(lambda: lines(record, "judged"))
        assert "no sandbox here" not in site.page()


def test_a_slow_judge_holds_nobody_up_and_is_waited_for_at_the_end(record: Path, clock: Clock) -> None:
    async def slow(task: BenchTask, answer: str) -> bool | None:
        await asyncio.sleep(0.3)
        return None

    with Site(session(record, clock, THREE), slow) as site:
        for _ in range(3):
            site.post("start")
            site.post("submit", answer="x")
        page = site.page()
        assert "3 answers are still" in page or "2 answers are still" in page
    assert [line["right"] for line in lines(record, "judged")] == [None] * 3


def test_options_are_laid_out_apart() -> None:
    laid = lay_out(THREE[2])
    assert laid.options == (("A", "one"), ("B", "two,\n   or II"), ("C", "`three`"))
    assert laid.parts == (
        TextPart(text="What is 1 + 1?", code=False),
        TextPart(text="A. is_no(option)", code=True),
        TextPart(text="Answer with the letter.", code=False),
    )


@pytest.mark.parametrize("prompt", [CHOICE.replace("B. ", "D. "), "Is it so?", "A. only one"])
def test_options_with_a_gap_stay_in_the_text(prompt: str) -> None:
    laid = lay_out(task("odd", "choice", prompt))
    assert not laid.options
    assert prompt.split("\n")[-1] in laid.parts[-1].text


def test_a_choice_is_made_with_radio_buttons(record: Path, clock: Clock) -> None:
    with Site(session(record, clock, THREE[2:])) as site:
        site.post("start")
        site.post("pause", answer="B")
        site.post("resume")
        page = site.page()
        assert page.count('type="radio"') == 3
        assert 'value="B" required checked' in page
        assert '<textarea id="answer"' not in page
