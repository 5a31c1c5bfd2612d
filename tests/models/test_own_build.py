"""A llama.cpp server of the user's own: any program that takes the command line and answers `/health` will do here."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from sale import config
from sale.errors import ConfigError, ModelFileError
from sale.models.local.engine import LocalEngine
from tests.support.tiny_gguf import write_tiny_gguf

SERVER = """#!{python}
import json, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

given = sys.argv[1:]

named = lambda name: given[given.index(name) + 1]
key = open(named("--api-key-file")).read().strip()
began = time.monotonic()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        ready = time.monotonic() - began > 0.3
        if self.path == "/health":
            self.send_response(200 if ready else 503)
            self.end_headers()
            return
        self.send_response(200 if self.headers["Authorization"] == "Bearer " + key else 401)
        self.end_headers()
        self.wfile.write(json.dumps(given).encode())
    def log_message(self, *_): pass

HTTPServer(("127.0.0.1", int(named("--port"))), Handler).serve_forever()
"""


@pytest.fixture
def server(tmp_path: Path) -> Path:
    program = tmp_path / "llama-server"
    program.write_text(SERVER.format(python=sys.executable))
    program.chmod(0o755)
    return program


def test_it_answers_in_place_of_the_wheels_and_is_gone_when_closed(server: Path, tmp_path: Path) -> None:
    gguf = write_tiny_gguf(tmp_path / "m.gguf")
    engine = LocalEngine(gguf, context=512, parallel=3, threads=2, server=server)
    endpoint = asyncio.run(engine.start())
    request = urllib.request.Request(
        f"{endpoint.base_url}/models", headers={"Authorization": f"Bearer {endpoint.api_key.get_secret_value()}"}
    )
    with urllib.request.urlopen(request) as answer:
        given = json.loads(answer.read())
    assert given[given.index("-c") + 1] == str(3 * 512)
    assert given[given.index("-np") + 1] == "3"
    assert given[given.index("-m") + 1] == str(gguf)
    assert endpoint.api_key.get_secret_value() not in given
    asyncio.run(engine.aclose())
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(request)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's kernel")
def test_it_is_gone_when_its_keeper_is_killed(server: Path, tmp_path: Path) -> None:
    engine = LocalEngine(write_tiny_gguf(tmp_path / "m.gguf"), server=server)
    endpoint = asyncio.run(engine.start())
    running = engine._running
    assert running is not None
    running._process.kill()
    until = time.monotonic() + 10
    gone = False
    while not gone and time.monotonic() < until:
        try:
            urllib.request.urlopen(endpoint.base_url.removesuffix("/v1") + "/health")
        except OSError:
            gone = True
    assert gone
    asyncio.run(engine.aclose())


def test_a_server_that_ends_is_a_readable_error(tmp_path: Path) -> None:
    broken = tmp_path / "llama-server"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(ModelFileError, match="ended with code 3"):
        asyncio.run(LocalEngine(write_tiny_gguf(tmp_path / "m.gguf"), server=broken).start())


def test_the_environment_names_it(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SALE_LLAMA_SERVER", raising=False)
    assert config.llama_server() is None
    monkeypatch.setenv("SALE_LLAMA_SERVER", str(server))
    assert config.llama_server() == server
    monkeypatch.setenv("SALE_LLAMA_SERVER", str(server) + "-not")
    with pytest.raises(ConfigError, match="no program"):
        config.llama_server()
