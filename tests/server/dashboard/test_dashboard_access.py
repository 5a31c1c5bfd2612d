"""The password: who sees what, how often one may guess, what a cookie is worth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from starlette.requests import HTTPConnection
from starlette.responses import Response

from sale.server.dashboard.access import DAY, FIRST_WAIT, FREE_TRIES, MAX_WAIT_SECONDS, Access, cookie_name
from sale.server.dashboard.pages.login import _next
from sale.server.dashboard.settings import DashboardSettings
from tests.server.dashboard.served import Served

PASSWORD = "päss wörd"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path, password=PASSWORD) as served:
        yield served


def login(site: Served, password: str, **fields: str) -> httpx2.Response:
    return site.post("/login", "/login", password=password, **fields)


def test_nothing_is_shown_before_the_password(site: Served) -> None:
    paths = (
        "/",
        "/memory",
        "/agents",
        "/money",
        "/pareto",
        "/weights",
        "/sessions",
        "/shadow",
        "/keys",
        "/auctions/x",
        "/live",
    )
    for path in paths:
        reply = site.client.get(path, headers={"accept": "text/html"})
        assert reply.status_code == 303
        assert reply.headers["location"].startswith("/login")
    assert site.client.get("/live", headers={"accept": "text/event-stream"}).status_code == 401
    for path in ("/weights/use", "/keys/create", "/keys/revoke", "/keys/delete", "/auctions/x/feedback"):
        assert site.post(path, "/login").status_code == 401


def test_the_right_password_opens_and_leads_back(site: Served) -> None:
    asked = site.client.get("/memory?verdict=success", headers={"accept": "text/html"})
    assert asked.headers["location"] == "/login?next=%2Fmemory%3Fverdict%3Dsuccess"
    reply = login(site, PASSWORD, next="/memory?verdict=success")
    assert (reply.status_code, reply.headers["location"]) == (303, "/memory?verdict=success")
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    site.page("/memory")
    assert site.client.get("/login").status_code == 303
    for after, there in (
        ("/memory?page=2", "/memory?page=2"),
        ("/memory?q=%C3%BC&page=2", "/memory?q=%C3%BC&page=2"),
        ("/memory?q=☃", "/memory?q=%E2%98%83"),
        ("//elsewhere?page=2", "/"),
    ):
        assert site.client.get("/login", params={"next": after}).headers["location"] == there
    assert site.post("/logout", "/").status_code == 303
    assert site.client.get("/memory", headers={"accept": "text/html"}).status_code == 303


def test_the_cookie_from_before_the_login_is_worth_nothing_after(site: Served) -> None:
    site.page("/login")
    name = cookie_name(request(host=site.address.removeprefix("http://")))
    before = site.client.cookies[name]
    login(site, PASSWORD)
    other = httpx2.get(f"{site.address}/memory", cookies={name: before}, trust_env=False)
    assert other.status_code == 401


def test_guessing_is_slow(site: Served) -> None:
    for _ in range(FREE_TRIES):
        assert login(site, "wrong").status_code == 403
    reply = login(site, PASSWORD)
    assert reply.status_code == 429
    assert 0 < int(reply.headers["retry-after"]) <= FIRST_WAIT


def test_a_login_form_needs_its_token(site: Served) -> None:
    assert site.post("/login", "/login", token="", password=PASSWORD).status_code == 403


@pytest.mark.parametrize("address", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\nb", ""])
def test_a_login_leads_nowhere_else(address: str) -> None:
    assert _next(address) == "/"


FORWARDED = [
    {"x-forwarded-for": "203.0.113.7"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"x-forwarded-host": "sale.example"},
    {"x-forwarded-proto": "https"},
    {"forwarded": "for=203.0.113.7"},
    {"via": "1.1 proxy"},
    {"x-real-ip": "203.0.113.7"},
    {"cf-connecting-ip": "203.0.113.7"},
]


def test_without_a_password_nobody_is_answered_for_whom_a_proxy_asks(tmp_path: Path) -> None:
    """It would make keys for them."""
    with Served(tmp_path) as site:
        token = site.token("/keys")
        for headers in FORWARDED:
            for path in ("/", "/keys", "/memory", "/login"):
                reply = site.client.get(path, headers=headers)
                assert reply.status_code == 403, (headers, path)
                assert "no password" in reply.text
            form = {"token": token, "name": "mallory"}
            assert site.client.post("/keys/create", data=form, headers=headers).status_code == 403
        assert site.do(site.store.keys()) == ()
        assert site.post("/keys/create", "/keys", name="mine").status_code == 200


def test_with_a_password_a_proxy_may_ask(site: Served) -> None:
    assert site.client.get("/login", headers=FORWARDED[0]).status_code == 200


# ---------------------------------------------------------------------------------------------------- cookies


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def request(cookie: str = "", **headers: str) -> HTTPConnection:
    sent = {"host": "127.0.0.1:1", **headers}
    if cookie:
        sent["cookie"] = f"{cookie_name(request(host=sent['host']))}={cookie}"
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()]
    return HTTPConnection(
        {"type": "http", "headers": raw, "scheme": "http", "path": "/", "server": ("127.0.0.1", 1), "query_string": b""}
    )


def test_dashboards_at_other_ports_have_cookies_of_their_own() -> None:
    names = {cookie_name(request(host=host)) for host in ("127.0.0.1:1", "127.0.0.1:2", "localhost:1")}
    assert len(names) == 3
    assert cookie_name(request(host="Sale.example")) == cookie_name(request(host="sale.example"))


def given(access: Access, *, login: bool) -> str:
    response = Response()
    access.welcome(request(), response, access.visitor(request()), login=login)
    return response.headers["set-cookie"].partition("=")[2].partition(";")[0]


def test_a_login_ends_and_cannot_be_made() -> None:
    clock = Clock()
    access = Access(DashboardSettings(password="a", days=2), clock)
    cookie = given(access, login=True)
    assert access.visitor(request(cookie)).admitted
    own, at, mark = cookie.split(".")
    for forged in (f"{own}.{int(at) + 1}.{mark}", f"x{own}.{at}.{mark}", f"{own}.{at}.", f"{own}.{at}", "..", "é.1.é"):
        assert not access.visitor(request(forged)).admitted
    assert not access.visitor(request(given(access, login=False))).admitted
    assert not Access(DashboardSettings(password="b"), clock).visitor(request(cookie)).admitted
    assert Access(DashboardSettings(password="a"), clock).visitor(request(cookie)).admitted
    clock.now += 2 * DAY
    assert not access.visitor(request(cookie)).admitted


def test_a_form_token_belongs_to_one_visitor_and_is_no_login() -> None:
    access = Access(DashboardSettings(password="a"))
    one, other = (access.visitor(request(given(access, login=True))) for _ in range(2))
    assert access.token(one) != access.token(other)
    assert access.ours(request(), one, access.token(one))
    assert not access.ours(request(), one, access.token(other))
    assert not access.ours(request(sec_fetch_site="cross-site"), one, access.token(one))
    assert not access.ours(request(origin="null"), one, access.token(one))
    assert not access.visitor(request(f"{one.id}.form.{access.token(one)}")).admitted


def test_waits_grow_end_and_belong_to_an_address() -> None:
    clock = Clock()
    access = Access(DashboardSettings(password="a"), clock)
    waits = []
    for _ in range(FREE_TRIES + 12):
        access.admits("mallory", "b")
        waits.append(access.wait("mallory"))
    assert waits[: FREE_TRIES - 1] == [0.0] * (FREE_TRIES - 1)
    assert waits[FREE_TRIES - 1] == FIRST_WAIT
    assert waits[-1] == MAX_WAIT_SECONDS
    assert access.wait("alice") == 0.0
    clock.now += MAX_WAIT_SECONDS + 1
    assert access.wait("mallory") == 0.0
    assert access.admits("mallory", "a")
    assert access.wait("mallory") == 0.0


@pytest.mark.parametrize("other", ["2001:db8::ffff", "2001:db8:0:0:8000::1"])
def test_who_has_a_network_guesses_no_faster(other: str) -> None:
    access = Access(DashboardSettings(password="a"), Clock())
    for last in range(FREE_TRIES):
        assert access.wait(f"2001:db8::{last + 1}") == 0.0
        access.admits(f"2001:db8::{last + 1}", "b")
    assert access.wait(other) == FIRST_WAIT
    assert access.wait("2001:db8:0:1::1") == 0.0


@pytest.mark.parametrize("place", ["[", "[x]", "[::1", "a[b"])
@pytest.mark.parametrize("password", [PASSWORD, None])
def test_a_host_or_an_origin_that_is_none_is_refused(tmp_path: Path, password: str | None, place: str) -> None:
    with Served(tmp_path, password=password) as site:
        token = site.token("/login" if password else "/keys")
        form = {"token": token, "password": PASSWORD, "name": "mallory"}
        path = "/login" if password else "/keys/create"
        assert site.client.post(path, data=form, headers={"origin": f"http://{place}"}).status_code == 403
        reply = site.client.get("/login", headers={"host": place})
        assert reply.status_code == (200 if password else 421)
