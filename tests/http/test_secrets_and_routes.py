"""What leaves the process and what is said about it: keys, the environment's headers, proxies, redirects."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from sale.config.proxies import is_loopback
from sale.errors import CallError, RejectedError, ServerError
from sale.models.address import Address
from sale.models.endpoint import EndpointModel, fixed_address
from sale.models.protocol import GenerationRequest
from tests.support.endpoint import Endpoint
from tests.support.pool import KEY, PLAN, model

CANARY = "env-canary-51b0"
OURS = {
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
}


@pytest.fixture
def openai_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything the OpenAI client reads, set for somebody else."""
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{name}", CANARY)
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://{CANARY}.invalid/v1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Leak: {CANARY}\nAuthorization: Bearer {CANARY}")


@pytest.mark.usefixtures("openai_environment")
@pytest.mark.parametrize("key", [KEY, None])
async def test_nothing_of_openais_environment_goes_to_anybody_else(endpoint: Endpoint, key: str | None) -> None:
    found = model(endpoint, "good", key=key)
    await found.generate(GenerationRequest(PLAN, max_tokens=20))
    await found.aclose()
    (received,) = endpoint.requests()
    assert CANARY not in f"{received.headers}{received.body}"
    assert received.headers["authorization"] == f"Bearer {key or 'none'}"
    assert {name for name in received.headers if not name.startswith("x-stainless-")} == OURS


@pytest.mark.usefixtures("openai_environment")
async def test_openai_itself_gets_its_organization_but_the_agents_own_key() -> None:
    found = EndpointModel("alice", fixed_address(Address(base_url="https://api.openai.com/v1", model="gpt-4o-mini")))
    client = (await found.for_tools()).client
    assert (client.organization, client.project, client.api_key) == (CANARY, CANARY, "none")
    await found.aclose()


async def test_a_redirect_to_elsewhere_does_not_take_the_key_along(endpoint: Endpoint) -> None:
    found = model(endpoint, "redirect")
    assert (await found.generate(GenerationRequest(PLAN, max_tokens=20))).text
    await found.aclose()
    here, elsewhere = endpoint.requests()
    assert here.headers["authorization"] == f"Bearer {KEY}"
    assert elsewhere.headers["host"].startswith("localhost")
    assert "authorization" not in elsewhere.headers


# --- keys ---


@pytest.mark.parametrize("key", ["", "two words", f"{KEY}\n", "ключ", "k\x00y"])
async def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(endpoint: Endpoint, key: str) -> None:
    found = model(endpoint, "good", key=key)
    with pytest.raises(RejectedError, match="the key cannot be sent") as raised:
        await found.generate(GenerationRequest(PLAN, max_tokens=20))
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert not key.strip() or key.strip() not in shown.replace("words", "")
    assert endpoint.requests() == []
    await found.aclose()


FAILING = ["echo-key", "401", "404-model", "429-always", "500-always", "cut", "malformed-json", "not-openai", "html"]


@pytest.mark.parametrize("behaviour", [*FAILING, "good"])
async def test_no_error_traceback_repr_or_log_shows_the_key(
    endpoint: Endpoint, behaviour: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    found = model(endpoint, behaviour)
    shown = [repr(found), repr(await found.for_tools()), repr(vars(found))]
    try:
        shown.append(repr(await found.generate(GenerationRequest(PLAN, max_tokens=20))))
    except CallError as error:
        shown += [str(error), repr(error), repr(error.args), "".join(traceback.format_exception(error))]
        logging.getLogger("test").exception("it failed")
    await found.aclose()
    assert endpoint.requests()[0].headers["authorization"] == f"Bearer {KEY}"
    assert caplog.records, "nothing was logged, so nothing was looked at"
    assert KEY not in "\n".join([*shown, caplog.text])


async def test_an_endpoint_that_repeats_the_key_is_quoted_without_it(endpoint: Endpoint) -> None:
    found = model(endpoint, "echo-key")
    with pytest.raises(RejectedError, match="‹hidden›") as raised:
        await found.generate(GenerationRequest(PLAN, max_tokens=20))
    assert raised.value.__cause__ is None
    await found.aclose()


@pytest.mark.parametrize("url", ["http://user:{}@127.0.0.1/v1", "http://127.0.0.1/v1?key={}", "http://127.0.0.1/#{}"])
async def test_a_url_with_a_secret_in_it_is_refused_without_being_shown(
    endpoint: Endpoint, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    # The HTTP client logs the URL of every request.
    caplog.set_level(logging.DEBUG)
    found = model(endpoint, "good", base_url=url.format(CANARY))
    with pytest.raises(RejectedError, match="nothing else") as raised:
        await found.generate(GenerationRequest(PLAN, max_tokens=20))
    assert CANARY not in "".join(traceback.format_exception(raised.value)) + str(raised.value) + caplog.text
    await found.aclose()


async def test_a_placeholder_for_a_key_garbles_no_message(endpoint: Endpoint) -> None:
    found = model(endpoint, "401", key="1")
    with pytest.raises(RejectedError, match="HTTP 401 for model '401': Incorrect API key provided"):
        await found.generate(GenerationRequest(PLAN, max_tokens=20))
    await found.aclose()


# --- proxies ---


@asynccontextmanager
async def proxy() -> AsyncGenerator[tuple[str, list[str]]]:
    """An HTTP proxy that reaches nobody; its URL, and the request lines it got."""
    lines: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await reader.readline()).decode().strip())
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", lines


async def test_a_remote_host_is_reached_through_the_environments_proxy(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxy() as (url, lines):
        monkeypatch.setenv("HTTP_PROXY", url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        found = model(endpoint, "good", base_url="http://models.example.org/v1")
        with pytest.raises(ServerError, match="502"):
            await found.generate(GenerationRequest(PLAN, max_tokens=20))
        await found.aclose()
    assert lines == ["POST http://models.example.org/v1/chat/completions HTTP/1.1"]
    assert endpoint.requests() == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_this_machine_is_reached_directly_whatever_the_environment_says(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, host: str, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    found = model(endpoint, "good", base_url=endpoint.base_url.replace("127.0.0.1", host))
    assert (await found.generate(GenerationRequest(PLAN, max_tokens=20))).text
    await found.aclose()
    assert len(endpoint.requests()) == 1


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("model.localhost", True),
        ("10.0.0.1", False),
        ("example.org", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_what_is_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
