"""What `sale doctor` finds out of endpoints that refuse things, and that what it says to write is enough to bid."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sale import config
from sale.agents.checkup import Checkup, examine
from sale.agents.pool import build_agents
from sale.agents.probes import PROBES, find_abilities
from sale.models.address import Address
from tests.support.command import run_sale
from tests.support.replies import Ask, Json, chunks, completion, text_for

KEY = "azure-canary-4711"


class Strict:
    """An endpoint that refuses by rules of its own, and takes its key and its version as Azure does."""

    def __init__(self, refuses: dict[str, Any], *, azure: bool = False, models: Json | None = None) -> None:
        self.refuses = refuses
        self.azure = azure
        self.models = models
        self.bodies: list[Json] = []

    def complaint(self, path: str, headers: Any, body: Json) -> tuple[int, str] | None:
        if self.azure:
            if parse_qs(urlsplit(path).query).get("api-version") != ["2024-10-21"]:
                return 404, "Resource not found"
            if headers.get("api-key") != KEY:
                return 401, "Access denied due to invalid subscription key"
        said = json.dumps(body)
        for name, (status, refused) in self.refuses.items():
            if refused(body) if callable(refused) else (refused in body or f'"{refused}"' in said):
                return status, f"{name} is not supported with this model."
        return None


@contextmanager
def serving(strict: Strict) -> Generator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            strict.bodies.append(body)
            found = strict.complaint(self.path, self.headers, body)
            if found is not None:
                self.answer(found[0], {"error": {"message": found[1], "type": "invalid_request_error"}})
                return
            ask = Ask(body=body, headers={}, traits=("good",), turn=len(strict.bodies))
            whole = completion(ask, text_for(ask), None)
            if body.get("stream"):
                sent = "".join(f"data: {json.dumps(one)}\n\n" for one in chunks(whole)) + "data: [DONE]\n\n"
                self.send(200, sent.encode(), "text/event-stream")
            else:
                self.answer(200, whole)

        def do_GET(self) -> None:
            self.answer(404 if strict.models is None else 200, strict.models or {"error": {"message": "no list"}})

        def answer(self, status: int, value: Json) -> None:
            self.send(status, json.dumps(value).encode(), "application/json")

        def send(self, status: int, data: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


AZURE = {"max_tokens": (400, "max_tokens"), "temperature": (400, "temperature"), "logprobs": (400, "logprobs")}
"""As models that reason refuse at such endpoints."""


def table(origin: str, more: str = "") -> str:
    return f"""[[agents]]
name = "strict"
endpoint = "{origin}/openai/deployments/large"
model = "large"
price = 1.0
headers_env = {{ api-key = "STRICT_KEY" }}
query = {{ api-version = "2024-10-21" }}
{more}
"""


async def examined(settings: config.Settings) -> Checkup:
    (agent,) = build_agents(settings)
    try:
        return await examine(agent, settings.agents[0])
    finally:
        await agent.aclose()


def test_an_endpoint_like_azures_can_bid_with_what_is_said_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRICT_KEY", KEY)
    strict = Strict(AZURE, azure=True)
    with serving(strict) as origin:
        found = asyncio.run(examined(config.parse(table(origin))))
        assert not found.reachable
        assert found.write == (
            'rename = { max_tokens = "max_completion_tokens" }',
            'drop = ["temperature"]',
            "logprobs = 0",
            'refuses = ["logprobs"]',
        )

        mended = config.parse(table(origin, "\n".join(found.write)))
        asked = len(strict.bodies)
        again = asyncio.run(examined(mended))
        assert again.reachable
        assert again.write == ()
        assert len(strict.bodies) == asked + 1, "an endpoint that answers was asked a dozen things"

        (tmp_path / "sale.toml").write_text(table(origin, "\n".join(found.write)), encoding="utf-8")
        told = run_sale(tmp_path, "bid", "--quiet", "Say hello.", env={"SALE_MEMORY": str(tmp_path / "m.sqlite3")})
        assert (told.code, "strict" in told.out) == (0, True), told.err


@pytest.mark.parametrize(
    ("name", "status", "refused", "line"),
    [
        ("temperature", 400, "temperature", 'drop = ["temperature"]'),
        ("images", 415, "image_url", 'refuses = ["images"]'),
        ("tools", 422, "tools", 'refuses = ["tools"]'),
        ("developer", 422, "developer", 'refuses = ["developer"]'),
        ("metadata", 400, "metadata", 'refuses = ["metadata"]'),
        ("stream_options", 422, "stream_options", 'refuses = ["stream_options"]'),
        ("schema", 400, "response_format", 'json_schema = false|refuses = ["schema"]'),
    ],
)
async def test_each_thing_is_found_by_itself(name: str, status: int, refused: str, line: str) -> None:
    with serving(Strict({name: (status, refused)})) as origin:
        found = await find_abilities(Address(base_url=origin, model="large"), "strict")
    assert found is not None
    assert set(found.refused) == {name}
    assert not found.unknown
    agent = config.parse(table(origin)).agents[0]
    assert "|".join(found.settings(agent)) == line


async def test_who_takes_everything_is_told_nothing_but_its_context() -> None:
    models = {"data": [{"id": "other", "max_model_len": 5}, {"id": "large", "max_model_len": 32768}]}
    with serving(Strict({}, models=models)) as origin:
        found = await find_abilities(Address(base_url=origin, model="large"), "strict")
    assert found is not None
    assert found.settings(config.parse(table(origin)).agents[0]) == ["context = 32768"]
    assert found.settings(config.parse(table(origin, "context = 9000")).agents[0]) == []


async def test_what_fails_for_other_reasons_is_not_known() -> None:
    with serving(Strict({"tools": (500, "tools"), "images": (429, "image_url")})) as origin:
        found = await find_abilities(Address(base_url=origin, model="large"), "strict")
    assert found is not None
    assert set(found.unknown) == {"tools", "images"}
    assert found.settings(config.parse(table(origin)).agents[0]) == []


async def test_who_refuses_everything_or_is_not_there_is_asked_no_more() -> None:
    strict = Strict({"all": (400, bool)})
    with serving(strict) as origin:
        assert await find_abilities(Address(base_url=origin, model="large"), "strict") is None
        assert len(strict.bodies) == 3
    assert await find_abilities(Address(base_url=origin, model="large"), "strict") is None


def test_the_command_asks_on_demand(tmp_path: Path) -> None:
    strict = Strict({"images": (400, "image_url")})
    with serving(strict) as origin:
        settings = f'[[agents]]\nname = "a"\nendpoint = "{origin}"\nmodel = "m"\nprice = 1.0\n'
        (tmp_path / "sale.toml").write_text(settings, encoding="utf-8")
        plain = run_sale(tmp_path, "doctor", "--quiet", "--quick")
        assert len(strict.bodies) == 1
        assert "refuses" not in plain.out
        told = run_sale(tmp_path, "doctor", "--quiet", "--quick", "--abilities")
        assert 'refuses = ["images"]' in told.out
        assert len(strict.bodies) == 1 + 1 + 1 + len(PROBES)
