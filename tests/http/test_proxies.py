"""Proxies of the environment: one rule for every HTTP client, and this very machine is always reached directly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from sale.config import proxies
from sale.config.proxies import proxy_for
from sale.errors import CallError, ConfigError, MissingExtraError, RejectedError, SaleError
from sale.models.address import Address
from sale.models.endpoint_embedding import EndpointEmbedder
from sale.models.protocol import GenerationRequest
from sale.server.gateway import upstream as upstream_module
from sale.server.gateway.errors import ApiError
from sale.server.gateway.upstream import Upstream
from tests.support.endpoint import Endpoint, endpoint, running_endpoint
from tests.support.pool import PLAN, model
from tests.support.socks_proxy import socks_proxy

__all__ = ["endpoint", "running_endpoint"]

REMOTE = "http://models.example.org/v1"
BODY = b'{"model": "good", "messages": [{"role": "user", "content": "x"}]}'
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

Environment = Callable[..., None]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Set variables of the environment, and no others that speak of proxies."""

    def use(**values: str) -> None:
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    use()
    return use


@pytest.mark.parametrize(
    ("values", "url", "proxy"),
    [
        ({}, REMOTE, None),
        ({"ALL_PROXY": "http://p:1"}, REMOTE, "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "HTTP_PROXY": "http://q:2"}, REMOTE, "http://q:2"),
        ({"HTTPS_PROXY": "http://p:1"}, REMOTE, None),
        ({"all_proxy": "p:1"}, REMOTE, "http://p:1"),
        ({"ALL_PROXY": "socks5://p:1"}, REMOTE, "socks5://p:1"),
        ({"ALL_PROXY": "socks://p:1"}, REMOTE, "socks5h://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "example.org"}, REMOTE, None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": ".example.org,other"}, REMOTE, None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, REMOTE, None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "example.com"}, REMOTE, "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8, 192.168.0.0/16"}, "http://10.1.2.3:8000/v1", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "http://11.1.2.3:8000/v1", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "host:8000"}, "http://host:8000/v1", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "host:8000"}, "http://host:8001/v1", "http://p:1"),
        ({"ALL_PROXY": "what://p:1"}, "http://127.0.0.1:8000/v1", None),
        ({"ALL_PROXY": "socks5://p:1"}, "http://[::1]:8000/v1", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://localhost:11434", None),
    ],
)
def test_which_proxy_leads_where(environment: Environment, values: dict[str, str], url: str, proxy: str | None) -> None:
    environment(**values)
    found = proxy_for(url)
    assert (None if found is None else found.url) == proxy


@pytest.mark.parametrize("proxy", ["socks4://user:secret@p:1", "ftp://p:1", "http://", "http://[x", "http://p:port"])
def test_a_proxy_that_cannot_be_used_is_said(environment: Environment, proxy: str) -> None:
    environment(ALL_PROXY=proxy)
    with pytest.raises(ConfigError, match=r"cannot be used\. Set HTTPS_PROXY or ALL_PROXY .*NO_PROXY=models") as caught:
        proxy_for(REMOTE)
    assert "secret" not in str(caught.value)


@pytest.fixture
def without_socks(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        return None

    monkeypatch.setattr(proxies, "find_spec", nothing)


@pytest.mark.usefixtures("without_socks")
async def test_without_the_extra_one_line_says_what_to_install(environment: Environment, endpoint: Endpoint) -> None:
    environment(ALL_PROXY="socks5h://user:secret@127.0.0.1:9")
    with pytest.raises(MissingExtraError):
        proxy_for(REMOTE)
    found = model(endpoint, "good", base_url=REMOTE)
    with pytest.raises(RejectedError, match=r"socks5h://127\.0\.0\.1:9 needs the `socks` extra") as caught:
        await found.generate(GenerationRequest(PLAN, max_tokens=20))
    assert "pip install 'sale[socks]', or NO_PROXY=models.example.org" in caught.value.hint
    assert "secret" not in f"{caught.value}{caught.value.__cause__}"
    upstream = Upstream()
    with pytest.raises(ApiError, match="needs the `socks` extra"):
        async with upstream.post(Address(base_url=REMOTE, model="good"), "/chat/completions", BODY, silence=20):
            pass
    await upstream.aclose()


@pytest.mark.usefixtures("without_socks")
@pytest.mark.parametrize("values", [{"ALL_PROXY": "socks5://127.0.0.1:9"}, {"HTTP_PROXY": "socks5h://127.0.0.1:9"}])
async def test_this_machine_needs_no_extra(
    environment: Environment, endpoint: Endpoint, values: dict[str, str]
) -> None:
    environment(**values)
    found = model(endpoint, "good")
    assert (await found.generate(GenerationRequest(PLAN, max_tokens=20))).text
    await found.aclose()
    upstream = Upstream()
    address = Address(base_url=endpoint.base_url, model="good")
    async with upstream.post(address, "/chat/completions", BODY, silence=20) as answer:
        assert b"choices" in await answer.read_body()
    await upstream.aclose()


async def test_ways_to_endpoints_that_are_gone_do_not_pile_up(
    environment: Environment, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment()
    monkeypatch.setattr(upstream_module, "MAX_ROUTES", 2)
    upstream = Upstream()
    for number in range(5):
        address = Address(base_url=endpoint.base_url, model=f"good-{number}")
        async with upstream.post(address, "/chat/completions", BODY, silence=20) as answer:
            assert b"choices" in await answer.read_body()
        assert len(upstream._routes) <= 2
    with pytest.raises(ApiError, match="cannot be reached") as caught:
        upstream.post(Address(base_url="http://[half", model="good"), "/chat/completions", BODY, silence=20)
    assert not caught.value.spent
    await upstream.aclose()


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_a_socks_proxy_is_gone_through(environment: Environment, endpoint: Endpoint, scheme: str) -> None:
    pytest.importorskip("socksio")
    port = int(endpoint.base_url.rpartition(":")[2].partition("/")[0])
    async with socks_proxy(port) as (place, asked):
        environment(ALL_PROXY=f"{scheme}://{place}")
        found = model(endpoint, "good", base_url=REMOTE)
        assert (await found.generate(GenerationRequest(PLAN, max_tokens=20))).text
        await found.aclose()
        embedder = EndpointEmbedder(base_url=REMOTE, model="good", dimensions=8, api_key=SecretStr("key-123456"))
        with pytest.raises(SaleError):  # the test's endpoint has vectors of another length: it was reached
            await embedder.embed(["x"])
        upstream = Upstream()
        address = Address(base_url=REMOTE, model="good")
        async with upstream.post(address, "/chat/completions", BODY, silence=20) as answer:
            assert b"choices" in await answer.read_body()
        await upstream.aclose()
    assert asked == ["models.example.org:80"] * 3


async def test_a_socks_proxy_that_is_not_there_is_an_endpoint_that_cannot_be_reached(
    environment: Environment, endpoint: Endpoint
) -> None:
    pytest.importorskip("socksio")
    environment(ALL_PROXY="socks5h://127.0.0.1:9")
    found = model(endpoint, "good", base_url=REMOTE)
    with pytest.raises(CallError):
        await found.generate(GenerationRequest(PLAN, max_tokens=20))
    await found.aclose()
    upstream = Upstream()
    with pytest.raises(ApiError, match="cannot be reached"):
        async with upstream.post(Address(base_url=REMOTE, model="good"), "/chat/completions", BODY, silence=20):
            pass
    await upstream.aclose()
