"""What the pages say, and what they never say."""

from __future__ import annotations

import html
import math
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from sale.auction.lead import measure_lead
from sale.errors import StoreError
from sale.server.dashboard.formatting import micro, money
from sale.shipped import load_shipped
from sale.types import SuccessModel, Training, Weights
from tests.memory.builders import MODEL, bid, remember
from tests.server.dashboard.served import PLANS, Served, agents

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>"\'><svg/onload=alert(2)>\u202eevil\x1b[2J'
PAGES = ("/", "/memory", "/agents", "/money", "/pareto", "/weights", "/sessions", "/shadow", "/keys")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("dashboard")) as served:
        for number in range(3):
            served.run(f"Add the numbers from 1 to {number}.", "failure" if number == 2 else "success", domain="sums")
        served.run("Name the largest river of Europe.", None)
        yield served


def test_pages_are_whole_and_guarded(site: Served) -> None:
    for path in PAGES:
        reply = site.client.get(path)
        assert reply.status_code == 200, path
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.text.rstrip().endswith("</html>")


IMPOSSIBLE = (math.inf, -math.inf, math.nan, 1e300, -5.0)


@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_pages_survive_records_out_of_range(tmp_path: Path, year: int) -> None:
    """Earlier versions imported whatever was written in a file: such rows are on record, and stay."""
    with Served(tmp_path) as served:
        sound = [served.run(f"Add the numbers from 1 to {number}.", "success", domain="sums") for number in range(2)]
        odd = [served.run(f"Name {number} rivers.", "failure", domain="rivers") for number in range(len(IMPOSSIBLE))]
        with closing(sqlite3.connect(tmp_path / "memory.sqlite3")) as rows, rows:
            for result, amount in zip(odd, IMPOSSIBLE, strict=True):
                (key,) = rows.execute("SELECT key FROM auctions WHERE id = ?", [result.auction.id]).fetchone()
                rows.execute("UPDATE auctions SET started_at = ? WHERE key = ?", [f"{year:04}-06-01 00:00:00", key])
                for table, column in (
                    ("calls", "dollars"),
                    ("calls", "seconds"),
                    ("baselines", "dollars"),
                    ("executions", "seconds"),
                    ("strategies", "price"),
                    ("strategies", "cost"),
                    ("strategies", "value"),
                ):
                    rows.execute(f"UPDATE {table} SET {column} = ? WHERE auction = ?", [amount, key])
        for path in (*PAGES, *(f"{page}?days=all" for page in ("/money", "/agents", "/pareto"))):
            reply = served.client.get(path)
            assert reply.status_code == 200, path
            assert not re.search(r"\b(inf|nan)\b", re.sub(r"<[^>]*>", " ", reply.text)), path
        for result in (*sound, *odd):
            assert served.client.get(f"/auctions/{result.auction.id}").status_code == 200
        spent = sum(one.settlement.dollars for one in sound)
        assert spent > 0
        assert money(spent) in served.page("/money?days=all"), "impossible amounts count as nothing"


def test_nothing_is_inline_or_from_elsewhere(site: Served) -> None:
    paths = (*PAGES, f"/auctions/{site.run().auction.id}")
    for path in paths:
        text = site.page(path)
        assert re.findall(r"<script(?![^>]* src=)", text) == []
        assert re.findall(r"<style|\sstyle=|\son[a-z]+=", text) == []
        addresses = re.findall(r'(?:src|href|action)="([^"]*)"', text)
        assert [one for one in addresses if not one.startswith(("/", "#"))] == []
        assert all(tag in text for tag in ("<main", "<nav", 'lang="en"', 'class="skip"'))


def test_assets_are_served_with_their_licence(site: Served) -> None:
    page = site.page("/")
    for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        assert site.client.get(path).status_code == 200
    assert "Zero-Clause BSD" in site.page("/static/htmx-LICENSE.txt")
    assert site.client.get("/static/../desk.py").status_code == 404


def test_an_auction_in_full(site: Served) -> None:
    result = site.run("Add the numbers from 1 to 10, quickly.", "failure", detail="expected 55, got 54")
    text = site.page(f"/auctions/{result.auction.id}")
    for one in result.auction.contenders:
        assert one.strategy.text.splitlines()[0] in text
    assert "expected 55, got 54" in text
    assert result.answer in text
    assert result.always_largest.basis in text
    assert len(re.findall(r'<td class="h[0-5]', text)) == sum(len(bid.scores) for bid in result.auction.contenders)
    assert len(re.findall(r'class="bar cost"', text)) == len(result.auction.contenders)


def test_an_auction_says_what_the_lead_is_made_of(site: Served) -> None:
    result = site.run()
    lead = measure_lead(result.auction)
    assert lead is not None
    assert lead.winner == result.auction.winner.agent
    assert sum(lead.parts.values()) == pytest.approx(lead.net)
    assert lead.describe(micro) in html.unescape(site.page(f"/auctions/{result.auction.id}"))


def test_what_refinement_changed_and_what_it_rests_on(site: Served) -> None:
    result = site.run("Add the numbers from 1 to 2, once more.")
    (made,) = [one for one in result.auction.refinements if one.agent == "small" and one.pairs]
    text = site.page(f"/auctions/{result.auction.id}")
    assert f'href="/auctions/{made.pairs[0].auction_id}"' in text
    gone = "".join(re.findall(r"<del>.*?</span>(.*?)<span", text, re.S))
    assert "Guess" in gone
    new = "".join(re.findall(r"<ins>.*?</span>(.*?)<span", text, re.S))
    assert "pairs" in new


def test_an_auction_is_found_by_the_beginning_of_its_id(site: Served) -> None:
    whole = site.run().auction.id
    reply = site.client.get(f"/auctions/{whole[:12]}")
    assert (reply.status_code, reply.headers["location"]) == (303, f"/auctions/{whole}")
    assert "there is no auction" in site.page("/auctions/nothing", 404)


def test_a_judgement_goes_on_record_and_earlier_ones_stay(site: Served) -> None:
    auction_id = site.run(verdict="success").auction.id
    page = f"/auctions/{auction_id}"
    reply = site.post(f"{page}/feedback", page, verdict="failure", detail="it is <b>wrong</b>")
    assert (reply.status_code, reply.headers["location"]) == (303, f"{page}?done=judged")
    record = site.remembered(lambda memory: memory.load(auction_id))
    assert [one.outcome.verdict for one in record.outcomes] == ["success", "failure"]
    assert record.outcomes[-1].outcome.judged_by == "user"
    text = site.page(f"{page}?done=judged")
    assert "it is &lt;b&gt;wrong&lt;/b&gt;" in text
    assert "Your judgement is on record." in text


@pytest.mark.parametrize("verdict", ["", "splendid"])
def test_a_judgement_that_is_none_is_refused(site: Served, verdict: str) -> None:
    page = f"/auctions/{site.run().auction.id}"
    assert site.post(f"{page}/feedback", page, verdict=verdict).status_code == 400


def test_forms_of_others_are_refused(site: Served) -> None:
    auction_id = site.run().auction.id
    page = f"/auctions/{auction_id}"
    bad = [
        site.post(f"{page}/feedback", page, token="", verdict="failure"),
        site.post(f"{page}/feedback", page, token="0" * 64, verdict="failure"),
        site.post(f"{page}/feedback", page, origin="http://elsewhere.example", verdict="failure"),
        site.client.post(f"{page}/feedback", content=b"x" * 200_000),
    ]
    assert [reply.status_code for reply in bad] == [403, 403, 403, 413]
    record = site.remembered(lambda memory: memory.load(auction_id))
    assert len(record.outcomes) == 1


def test_a_page_under_another_name_is_refused_without_a_password(site: Served) -> None:
    for host in ("evil.example", "192.168.1.7:8127", "127.0.0.1.evil.example"):
        assert site.client.get("/memory", headers={"host": host}).status_code == 421
    assert site.client.get("/memory", headers={"host": "localhost:1"}).status_code == 200


def test_the_memory_is_searched_filtered_and_paged(site: Served) -> None:
    assert "Name the largest river" in site.page("/memory?q=largest+river")
    filtered = site.page("/memory?verdict=failure&domain=sums")
    assert "from 1 to 2." in filtered
    assert "river" not in filtered
    assert "Nothing in the memory" in site.page("/memory?agent=nobody")
    for odd in ("/memory?page=0", "/memory?page=x", "/memory?page=99999999999", "/memory?status=odd&verdict=odd"):
        site.page(odd)
    part = site.client.get("/memory?verdict=success", headers={"hx-request": "true"}).text
    assert "<html" not in part
    assert "<table" in part


def test_paging_leads_through_all(site: Served) -> None:
    for _ in range(27):
        site.do(site.market.auction("Page through me."))
    first, second = site.page("/memory?status=awarded"), site.page("/memory?status=awarded&page=2")
    assert first.count("Page through me.") == 25
    assert second.count("Page through me.") == 2
    assert 'rel="next"' in first
    assert 'rel="next"' not in second


def test_agents_have_intervals_and_charts_have_tables(site: Served) -> None:
    text = site.page("/agents?days=all")
    assert all(name in text for name in ("small", "middle", "large"))
    assert re.search(r"\d+\u00a0% to \d+\u00a0%, n = \d+", text)
    assert text.count('role="img"') == 2 * text.count("The figures as a table")
    assert "slot" in text


def test_money_says_what_is_an_estimate(tmp_path: Path) -> None:
    long, short = ("1. a\n2. b\n3. c\n4. d\n5. e", None), ("1. a", None)
    with Served(tmp_path, pool=agents({"small": long, "large": short})) as site:
        results = [site.run(f"Task {number}.") for number in range(2)]
        assert {one.execution.agent for one in results} == {"small"}
        text = site.page("/money")
        assert "<strong>an estimate</strong>" in text
        assert "2 tasks are compared with large, and for 2 of them it did not do the work itself" in text
        assert "overhead" in text
        assert "95&nbsp;%:" in text
        assert "The interval covers how tasks vary, not whether that assumption holds." in text


def test_money_says_what_is_measured(tmp_path: Path) -> None:
    with Served(tmp_path, pool=agents({"large": PLANS["large"]})) as site:
        site.run()
        text = site.page("/money")
        assert "<strong>measured</strong>" in text
        assert "too few tasks for an interval" in text
        assert "that assumption" not in text
        site.run()
        text = site.page("/money")
        assert "The interval covers how tasks vary." in text
        assert "that assumption" not in text
        lost = re.search(r"Lost against always-largest</dt><dd>\$([\d.]+)</dd>.*?%: \$([\d.]+) to \$([\d.]+)<", text)
        assert lost, "the interval is of what was lost, not of what was saved"
        middle, low, high = (float(figure) for figure in lost.groups())
        assert low <= middle <= high


def test_money_says_what_auctions_may_take(tmp_path: Path) -> None:
    with Served(tmp_path, allowance=0.05) as site:
        result = site.run()
        assert not result.auction.held
        text = site.page("/money")
        assert "Auctions may take 5\u00a0% of what large would have cost" in text
        page = site.page(f"/auctions/{result.auction.id}")
        assert "no auction: neither the allowance nor the caps and budgets cover one for this task" in page
        assert "large was given the task" in page
        assert "<span>no auction</span>" in site.page("/")
        assert '<td class="num" data-label="Bids">0</td>' in site.page("/memory")
    with Served(tmp_path, allowance=math.inf) as site:
        assert site.run().auction.held
        assert "Auctions may take" not in site.page("/money")


def test_money_without_an_archive_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise StoreError("a file of the ledger's archive cannot be read", where="old.parquet", hint="Put it back.")

    with Served(tmp_path) as site:
        site.run()
        monkeypatch.setattr(site.store, "spend", fail)
        text = site.page("/money")
    assert "old.parquet" in text
    assert "Put it back." in text
    assert "on 1 task" in text, "the rest of the page is whole"


def test_weights_that_came_with_the_pool_are_called_so(tmp_path: Path) -> None:
    with Served(tmp_path, prior=load_shipped().weights) as site:
        assert "weights that ship with this pool" in site.page("/weights")
        held = site.run().auction
        assert "The auction was expected to bring $" in site.page(f"/auctions/{held.id}")


def test_each_juror_is_held_against_the_outcomes(tmp_path: Path) -> None:
    with Served(tmp_path) as site:
        assert "Hold each juror against all outcomes" in site.page("/weights")
        assert "No work on record was both scored by a juror and judged." in site.page("/weights?jury=1")
        for number in range(2):
            site.run(f"Task {number}.")
        text = site.page("/weights?jury=1")
        assert "Tells success from failure" in text
        assert text.count('<th scope="row">large</th>') == 1


def test_weights_are_used_and_rolled_back(site: Served) -> None:
    training = Training(objective="utility", auctions=4, judged=3, held_out={"pass@1": (0.5, 0.25, 0.75)})
    model = SuccessModel(**{name: getattr(MODEL, name) for name in MODEL.__dataclass_fields__})
    weights = Weights(cost=1.0, entropy=0.0, jurors={}, model=model)
    first = site.remembered(lambda memory: memory.add_weights(weights, training)).version
    assert "default weights" in site.page("/weights")
    assert site.post("/weights/use", "/weights", version=str(first)).status_code == 303
    assert site.remembered(lambda memory: memory.weights_in_use()).version == first  # type: ignore[union-attr]
    assert "Nothing speaks against them" in site.page("/weights?check=1")
    assert site.post("/weights/use", "/weights", version="default").status_code == 303
    assert site.remembered(lambda memory: memory.weights_in_use()) is None
    site.remembered(lambda memory: memory.use_weights(first))
    assert site.post("/weights/use", "/weights", version="77").status_code == 404
    assert site.post("/weights/use", "/weights", version="<b>").status_code == 400
    site.post("/weights/use", "/weights", version="default")


def test_weights_of_the_settings_decide_and_no_version(tmp_path: Path) -> None:
    own = Weights(cost=1.0, entropy=0.0, jurors={}, source="/srv/data/sale.toml")
    training = Training(objective="utility", auctions=4, judged=3, held_out={})
    with Served(tmp_path, weights=own) as site:
        site.remembered(lambda memory: memory.add_weights(own, training))
        second = site.remembered(lambda memory: memory.add_weights(own, training)).version
        site.remembered(lambda memory: memory.use_weights(second))
        text = site.page("/weights?check=1")
    assert "weights of your own" in text
    assert "/srv/data/sale.toml" in text
    assert "decided by <strong>version" not in text
    assert 'class="tag win"' not in text
    assert "/weights/use" not in text
    assert "claim nothing" in text


def test_keys_are_made_shown_once_and_revoked(site: Served) -> None:
    made = site.post("/keys/create", "/keys", name="ci <i>", budget="2,5", period="day", rpm="60", agents="small")
    assert made.status_code == 200
    secret = re.search(r'id="secret">([^<]+)<', made.text)
    assert secret
    assert "ci &lt;i&gt;" in made.text
    later = site.page("/keys")
    assert secret[1] not in later
    assert "$2.50" in later
    (key,) = [one for one in site.do(site.store.keys()) if one.name == "ci <i>"]
    assert (key.budget, key.period, key.rpm, key.agents) == (2.5, "day", 60, frozenset({"small"}))
    assert key.tenant in later
    assert site.post("/keys/revoke", "/keys", id=key.id).status_code == 303
    assert "revoked" in site.page("/keys")
    assert site.post("/keys/delete", "/keys", id=key.id).status_code == 303
    assert "ci &lt;i&gt;" not in site.page("/keys")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1,000", 1000), ("1,234,567.5", 1_234_567.5), ("2,5", 2.5), ("0,500", 0.5), ("12,50", 12.5), ("1000", 1000)],
)
def test_a_comma_is_between_thousands_or_before_decimals(site: Served, written: str, meant: float) -> None:
    made = site.post("/keys/create", "/keys", name=f"comma {written}", budget=written, tpm="200,000", rpm="1,200")
    assert made.status_code == 200
    (key,) = [one for one in site.do(site.store.keys()) if one.name == f"comma {written}"]
    assert (key.budget, key.tpm, key.rpm) == (meant, 200_000, 1200)


def test_a_key_that_has_expired_is_shown_as_such_and_can_be_deleted(tmp_path: Path) -> None:
    with Served(tmp_path) as site:
        ends = datetime.now(UTC) + timedelta(seconds=0.3)
        _, key = site.do(site.store.create_key("short", expires=ends))
        site.wait(lambda: datetime.now(UTC) > ends)
        text = site.page("/keys")
        assert '<span class="badge failure">expired</span>' in text
        assert "It is the last one" in text
        assert "/keys/revoke" not in text
        site.do(site.store.create_key("long"))
        assert "It is the last one" not in site.page("/keys")
        assert site.post("/keys/delete", "/keys", id=key.id).status_code == 303
        assert "short" not in site.page("/keys")


def test_a_tenants_auctions_are_shown_as_such(site: Served) -> None:
    made = site.post("/keys/create", "/keys", name="in a team", tenant="red <team>")
    assert made.status_code == 200
    assert "red &lt;team&gt;" in site.page("/keys")
    held = site.do(site.market.run("Paint the fence.", tenant="red <team>"))
    mine = site.do(site.market.run("Paint the wall."))
    assert "<dd>red &lt;team&gt;</dd>" in site.page(f"/auctions/{held.auction.id}")
    both = site.page("/memory")
    assert "Paint the fence." in both
    assert "Paint the wall." in both
    for page in ("/memory?tenant=red+%3Cteam%3E", "/memory?tenant=red+%3Cteam%3E&q=paint"):
        found = site.page(page)
        assert held.auction.id in found
        assert mine.auction.id not in found
    assert "Nothing in the memory" in site.page("/memory?tenant=nobody")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": " "},
        {"budget": "much"},
        {"budget": "nan"},
        {"rpm": "1.5"},
        {"rpm": "1,5"},
        {"tpm": "200,00"},
        {"budget": "1,000,00"},
        {"agents": "nobody"},
        {"days": "-1"},
        {"days": "3000000"},
        {"days": "999999999"},
    ],
)
def test_keys_that_make_no_sense_are_refused_in_words(site: Served, wrong: dict[str, str]) -> None:
    before = len(site.do(site.store.keys()))
    reply = site.post("/keys/create", "/keys", **{"name": "odd", **wrong})
    assert reply.status_code == 400
    assert 'role="alert"' in reply.text
    assert len(site.do(site.store.keys())) == before


def test_what_models_and_users_wrote_is_only_text(tmp_path: Path) -> None:
    plans = {"small": (f"1. {HOSTILE}", f"1. pairs {HOSTILE}"), "large": (f"1. a\n2. b\n3. {HOSTILE}", None)}
    with Served(tmp_path, pool=agents(plans)) as site:
        ids = [
            site.run(f"{HOSTILE} {number}", "failure", domain=HOSTILE, detail=HOSTILE).auction.id for number in range(2)
        ]
        odd = [bid(HOSTILE, 1.0, HOSTILE), bid("<b onclick=x>", 2.0)]
        site.remembered(lambda memory: remember(memory, HOSTILE, f"{HOSTILE}\ud800", odd))
        paths = [*PAGES, *(f"/auctions/{one}" for one in ids), f"/auctions/{quote(HOSTILE, safe='')}"]
        paths.append("/memory?q=%3Cscript%3Ealert(1)%3C/script%3E")
        for path in paths:
            text = site.page(path)
            for bad in ("<script>alert", "<img", "<svg/onload", "<b onclick", "\u202e", "\x1b"):
                assert bad not in text, (path, bad)


def test_a_dashboard_without_a_store_or_a_past(tmp_path: Path) -> None:
    with Served(tmp_path, keeps=False) as site:
        for path in PAGES:
            site.page(path)
        assert "No auction has been held yet" in site.page("/")
        assert 'href="/keys"' not in site.page("/")
