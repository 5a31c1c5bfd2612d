"""Fetching from a real local web, hostile pages included: what is let in, and what it may take."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from collections.abc import Iterator, Sequence
from ipaddress import ip_network

import pytest

from sale.agents.tools.web.addresses import AllowedHosts
from sale.agents.tools.web.exchange import FetchRequest
from sale.errors import FetchError, ForbiddenAddressError
from tests.agents.web.local_web import (
    CERTIFICATE,
    HERE,
    LocalWeb,
    Reply,
    dripping,
    endless,
    endless_header,
    endless_hints,
    gzip_bomb,
    huge_headers,
    no_http,
    redirect,
    silent,
    whole,
)
from tests.support.hang import HANG

HTML = "<html><body><p>Hello.</p></body></html>"


@pytest.fixture
def site() -> Iterator[LocalWeb]:
    with LocalWeb() as site:
        yield site


async def test_a_page_is_fetched_as_a_stranger_would(site: LocalWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    site.reply("/a", whole(HTML.encode(), Content_Type='text/html; charset="ISO-8859-1"', Set_Cookie="id=1"))
    web = site.web()
    got = await web.get(site.url("/a?q=ü#part"))
    assert got.body == HTML.encode()
    assert (got.media_type, got.charset) == ("text/html", "iso-8859-1")
    assert got.address == site.url("/a?q=%C3%BC")
    await web.get(site.url("/a"))
    first, second = site.requests
    assert first.headers["host"] == f"news.example:{site.port}"
    for asked in (first, second):
        assert set(asked.headers) == {"host", "user-agent", "accept-encoding", "connection", "accept"}


@pytest.mark.parametrize("where", [f"http://{HERE}", "http://localhost", "http://[::1]", "http://2130706433"])
async def test_this_machine_is_out_of_reach(site: LocalWeb, where: str) -> None:
    site.page("/a", HTML)
    web = site.web(reach=AllowedHosts(ports=frozenset({site.port})), resolve=_known)
    with pytest.raises(ForbiddenAddressError):
        await web.get(f"{where}:{site.port}/a")
    assert site.connections == 0


async def _known(host: str, port: int) -> Sequence[str]:
    return ["::1"] if host == "::1" else [HERE]


class Rebinding:
    """A name whose address changes with every look-up."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return [self.answers.pop(0)]


async def test_a_name_is_looked_up_once_and_the_checked_address_is_used(site: LocalWeb) -> None:
    site.page("/a", HTML)
    rebinding = Rebinding(HERE, "10.0.0.1")
    await site.web(resolve=rebinding).get(site.url("/a"))
    assert rebinding.asked == 1
    assert site.asked == ["/a"]


async def test_a_name_that_turns_private_between_redirects_is_refused(site: LocalWeb) -> None:
    site.reply("/a", redirect("/b"))
    site.page("/b", HTML)
    with pytest.raises(ForbiddenAddressError, match=r"10\.0\.0\.1"):
        await site.web(resolve=Rebinding(HERE, "10.0.0.1")).get(site.url("/a"))
    assert site.asked == ["/a"]


@pytest.mark.parametrize(
    "to",
    [
        *("http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[::1]/", "http://[fd00:ec2::254]/"),
        *("http://0.0.0.0/", "http://168.63.129.16/", "http://100.100.100.200/", "https://192.168.0.1/"),
        *("file:///etc/passwd", "ftp://news.example/", "http://user:pw@news.example/", "javascript:1"),
        "http://news.example:22/",
    ],
)
async def test_redirects_are_checked_like_the_first_address(site: LocalWeb, to: str) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return [HERE if host == "news.example" else host]

    site.reply("/a", redirect(to))
    reach = AllowedHosts(ports=frozenset({site.port, 80, 443}), networks=(ip_network(f"{HERE}/32"),))
    with pytest.raises(ForbiddenAddressError):
        await site.web(resolve=resolve, reach=reach).get(site.url("/a"))
    assert site.asked == ["/a"]


async def test_redirects_are_followed_up_to_a_number(site: LocalWeb) -> None:
    for number in range(3):
        site.reply(f"/{number}", redirect(f"{number + 1}", "308 Permanent Redirect"))
    site.page("/3", HTML)
    assert (await site.web(bounds={"redirects": 3}).get(site.url("/0"))).address == site.url("/3")
    with pytest.raises(FetchError, match="redirects more than 2 times"):
        await site.web(bounds={"redirects": 2}).get(site.url("/0"))
    site.reply("/loop", redirect("/loop"))
    with pytest.raises(FetchError, match="redirects more than 5 times"):
        await site.web().get(site.url("/loop"))
    site.reply("/nowhere", whole(b"", status="302 Found"))
    with pytest.raises(FetchError, match="no address to go to"):
        await site.web().get(site.url("/nowhere"))


async def test_the_body_of_a_redirect_is_not_read(site: LocalWeb) -> None:
    def reply(asked: object, send: object) -> None:
        assert callable(send)
        send(b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n")
        while True:
            send(b"x" * 1000)

    site.reply("/a", reply)
    site.page("/b", HTML)
    assert (await site.web().get(site.url("/a"))).body == HTML.encode()


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (endless, "larger than 1 MB"),
        (gzip_bomb(200), "larger than 1 MB"),
        (whole(b"x" * (2**20 + 1), Content_Type="text/plain"), "larger than 1 MB"),
        (whole(b"", Content_Type="text/html", Content_Length="99999999999999999999"), "larger than|HTTP"),
        (dripping, "not there within 1 s"),
        (silent, "not there within 1 s"),
        (huge_headers, "too much of it"),
        (endless_header, "too much of it"),
        (endless_hints, "not there within 1 s"),
        (no_http, "does not speak HTTP"),
        (whole(b"x", Content_Type="image/png"), "image/png"),
        (whole(b"x", Content_Type="application/octet-stream"), "not read"),
        (whole(b"x", Content_Type="text/html", Content_Encoding="br"), "'br'"),
        (whole(b"x", Content_Type="text/html", Content_Encoding="gzip, gzip"), "not read"),
        (whole(b"no gzip", Content_Type="text/html", Content_Encoding="gzip"), "compression is broken"),
        (whole(b"cut", Content_Type="text/html", Content_Length="500"), "does not speak HTTP|connection failed"),
        (whole(b"x", status="404 Not Found"), "HTTP status 404"),
        (whole(b"x", status="500 Oops"), "HTTP status 500"),
        (whole(b"x", status="204 Nothing", Content_Length=""), "HTTP status 204"),
    ],
)
async def test_a_hostile_page_costs_little_and_says_why(site: LocalWeb, reply: Reply, says: str) -> None:
    site.reply("/a", reply)
    with pytest.raises(FetchError, match=says):
        await site.web(bounds={"seconds": 1.0 if "1 s" in says else HANG}).get(site.url("/a"))


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (gzip.compress(HTML.encode(), mtime=0), "gzip"),
        (gzip.compress(HTML[:9].encode(), mtime=0) + gzip.compress(HTML[9:].encode(), mtime=0), "x-gzip"),
        (zlib.compress(HTML.encode()), "deflate"),
        (zlib.compress(HTML.encode())[2:-4], "deflate"),
        (HTML.encode(), "identity"),
    ],
)
async def test_compressed_pages_are_read(site: LocalWeb, packed: bytes, encoding: str) -> None:
    site.reply("/a", whole(packed, Content_Type="text/html", Content_Encoding=encoding))
    assert (await site.web().get(site.url("/a"))).body == HTML.encode()


async def test_a_bomb_of_many_small_members_is_stopped(site: LocalWeb) -> None:
    packed = gzip.compress(b"x" * 2**18, mtime=0) * 8
    site.reply("/a", whole(packed, Content_Type="text/html", Content_Encoding="gzip"))
    with pytest.raises(FetchError, match="larger than 1 MB"):
        await site.web().get(site.url("/a"))


async def test_nobody_listens_and_the_next_address_is_tried(site: LocalWeb) -> None:
    async def two(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", HERE]

    reach = AllowedHosts(ports=frozenset({site.port, 1}), networks=(ip_network("127.0.0.0/8"),))
    site.page("/a", HTML)
    assert (await site.web(resolve=two, reach=reach).get(site.url("/a"))).body == HTML.encode()
    with pytest.raises(FetchError, match="connection failed"):
        await site.web(resolve=two, reach=reach).get("http://news.example:1/")


async def test_certificates_are_checked() -> None:
    with LocalWeb(tls=True) as site:
        site.page("/a", HTML)
        with pytest.raises(FetchError, match="certificate is not valid"):
            await site.web().get(site.url("/a", host="secure.example"))
        assert site.asked == []
        trusting = site.web(tls=lambda: ssl.create_default_context(cafile=str(CERTIFICATE)))
        assert (await trusting.get(site.url("/a", host="secure.example"))).body == HTML.encode()
        with pytest.raises(FetchError, match="certificate is not valid"):
            await trusting.get(site.url("/a", host="other.example"))
        with pytest.raises(FetchError):
            await trusting.get(site.url("/a").replace("https", "http"))


async def test_cancelling_ends_a_fetch_at_once(site: LocalWeb) -> None:
    site.reply("/a", dripping)
    fetching = asyncio.create_task(site.web(bounds={"seconds": 2 * HANG}).get(site.url("/a")))
    assert await asyncio.to_thread(site.somebody_asked.wait, HANG)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching


async def test_a_service_of_the_users_own_may_be_anywhere_but_leads_no_further(site: LocalWeb) -> None:
    site.reply("/s", whole(b'{"a": 1}', Content_Type="application/json"))
    site.reply("/r", redirect("http://elsewhere.example/"))
    web = site.web(reach=AllowedHosts())
    ask = FetchRequest(method="POST", headers=(("X-Key", "k"),), content=b"{}")
    assert await web.ask(site.url("/s"), ask) == (200, b'{"a": 1}')
    assert (site.requests[0].method, site.requests[0].body) == ("POST", b"{}")
    assert site.requests[0].headers["x-key"] == "k"
    assert await web.ask(site.url("/r"), ask) == (302, b"")
    assert site.asked == ["/s", "/r"]


async def test_a_key_that_cannot_be_sent_is_in_no_message(site: LocalWeb) -> None:
    with pytest.raises(FetchError) as caught:
        await site.web().ask(site.url("/s"), FetchRequest(headers=(("X-Key", "secret\r\nX: y"),)))
    assert "secret" not in str(caught.value)
