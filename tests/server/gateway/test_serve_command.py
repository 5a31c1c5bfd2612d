"""`sale serve` as a user runs it: the address, signals, a death, and addresses that others can reach."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from sale.server.dashboard.access import FREE_TRIES
from tests.support.endpoint import Endpoint, endpoint, running_endpoint
from tests.support.hang import HANG
from tests.support.preloaded import sale_command

__all__ = ["endpoint", "running_endpoint"]

HELLO: list[Any] = [{"role": "user", "content": "What is 6 × 7?"}]
SETTINGS = """
[[agents]]
name = "small"
endpoint = "{url}"
model = "{trait}@small"
price = 0.1

[auction]
allowance = inf

[memory]
path = "{folder}/memory.sqlite3"

[server]
port = 0
{server}
"""


@contextmanager
def serving(path: Path) -> Generator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen([*sale_command(), "serve", "--config", str(path)], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"serving (http://127\.0\.0\.1:\d+)/v1", line)
        assert found, line + process.stderr.read()
        yield process, found[1]
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture
def written(endpoint: Endpoint, tmp_path: Path) -> Path:
    return write(endpoint, tmp_path)


def write(endpoint: Endpoint, folder: Path, trait: str = "good", server: str = "") -> Path:
    path = folder / "sale.toml"
    path.write_text(SETTINGS.format(url=endpoint.base_url, trait=trait, folder=folder, server=server), encoding="utf-8")
    return path


def shown(path: Path, auction_id: str) -> str:
    done = subprocess.run(
        [*sale_command(), "memory", "show", auction_id, "--config", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_client_of_the_readme_and_a_graceful_end(written: Path, endpoint: Endpoint) -> None:
    with serving(written) as (process, base):
        with OpenAI(base_url=f"{base}/v1", api_key="any", max_retries=0) as client:
            answer = client.chat.completions.with_raw_response.create(model="sale", messages=HELLO)
        assert answer.parse().choices[0].message.content == "The answer is 42."
        page = httpx2.get(f"{base}/")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "sale_" in httpx2.get(f"{base}/metrics").text
        assert httpx2.get(f"{base}/openapi.json").json()["openapi"] == "3.1.0"
        write(endpoint, written.parent, "slow-1000")
        process.send_signal(signal.SIGHUP)
        body = {"model": "small", "messages": HELLO, "stream": True}
        while "good" in endpoint.requests()[-1].model:
            httpx2.post(f"{base}/v1/chat/completions", json=body, timeout=HANG)
        late: list[httpx2.Response] = []
        asking = threading.Thread(
            target=lambda: late.append(httpx2.post(f"{base}/v1/chat/completions", json=body, timeout=HANG))
        )
        count = len(endpoint.requests())
        asking.start()
        assert endpoint.wait(lambda: len(endpoint.requests()) > count)
        process.send_signal(signal.SIGTERM)
        asking.join(HANG)
        assert late[0].text.endswith("data: [DONE]\n\n"), "what is under way comes to its end"
        assert process.wait(HANG) in {0, -signal.SIGTERM, 143}
    assert "settled" in shown(written, answer.headers["x-sale-auction"])


def test_settings_that_are_away_change_nothing(endpoint: Endpoint, tmp_path: Path) -> None:
    """Found in the working directory, as most are: while the file is away, the shipped pool must not take over."""
    path = write(endpoint, tmp_path, "good")
    command = [*sale_command(), "serve"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"serving (http://127\.0\.0\.1:\d+)/v1", process.stderr.readline())
            assert found
            path.rename(tmp_path / "away.toml")
            process.send_signal(signal.SIGHUP)
            said = process.stderr.readline()
            assert "the settings are as they were" in said
            assert "there is no such file" in said
            assert [one["id"] for one in httpx2.get(f"{found[1]}/v1/models").json()["data"]] == ["sale", "small"]
            (tmp_path / "away.toml").rename(path)
            process.send_signal(signal.SIGHUP)
            assert "settings read again" in process.stderr.readline()
        finally:
            process.kill()


def test_what_a_killed_server_left_is_settled_by_the_next(written: Path) -> None:
    with serving(written) as (process, base):
        first = httpx2.post(f"{base}/v1/chat/completions", json={"model": "sale", "messages": HELLO}, timeout=HANG)
        auction, session = first.headers["x-sale-auction"], first.headers["x-sale-session"]
        # The session is written behind.
        threading.Event().wait(1.0)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with serving(written) as (process, base):
        more = [*HELLO, {"role": "assistant", "content": "42"}, {"role": "user", "content": "Sure?"}]
        second = httpx2.post(f"{base}/v1/chat/completions", json={"model": "sale", "messages": more}, timeout=HANG)
        assert second.headers["x-sale-session"] == session
        told = {"auction_id": auction, "verdict": "success"}
        assert httpx2.post(f"{base}/v1/feedback", json=told, timeout=HANG).status_code == 200
        process.send_signal(signal.SIGTERM)
        process.wait(HANG)
    text = shown(written, auction)
    assert "settled" in text
    assert "success" in text


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ('host = "0.0.0.0"', "sale keys create"),
        ('password_env = "NOT_SET_ANYWHERE"', "NOT_SET_ANYWHERE"),
        ('alarm_url = "https://host"\nalarm_headers_env = { A = "NOT_SET_ANYWHERE" }', "NOT_SET_ANYWHERE"),
        ('reauction = "always"', "reauction"),
        ('trusted_proxies = ["everybody"]', "everybody"),
    ],
)
def test_what_is_refused_at_the_start(endpoint: Endpoint, tmp_path: Path, server: str, said: str) -> None:
    path = write(endpoint, tmp_path, server=server)
    done = subprocess.run(
        [*sale_command(), "serve", "--config", str(path)], capture_output=True, text=True, timeout=HANG
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_pages_of_foreign_sites_spend_no_money(written: Path) -> None:
    with serving(written) as (_, base):
        body = {"model": "small", "messages": HELLO}
        for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}, {"origin": "null"}):
            answer = httpx2.post(f"{base}/v1/chat/completions", json=body, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
        for headers in ({"x-forwarded-for": "203.0.113.7"}, {"via": "1.1 proxy"}, {"x-forwarded-host": "sale.example"}):
            answer = httpx2.post(f"{base}/v1/chat/completions", json=body, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_from_here")
            assert httpx2.get(f"{base}/keys", headers=headers).status_code == 403
        own = {"origin": base}
        assert httpx2.post(f"{base}/v1/chat/completions", json=body, headers=own, timeout=HANG).status_code == 200


def tries(base: str, client: httpx2.Client, count: int) -> list[int]:
    """Wrong passwords, each for another client as the header has it."""
    page = client.get(f"{base}/login").text
    token = re.search(r'name="token" value="([0-9a-f]+)"', page)
    assert token
    form = {"token": token[1], "password": "wrong"}
    return [
        client.post(f"{base}/login", data=form, headers={"x-forwarded-for": f"203.0.113.{number}"}).status_code
        for number in range(count)
    ]


@pytest.mark.parametrize(("server", "last"), [("", 429), ('trusted_proxies = ["127.0.0.0/8"]', 403)])
def test_whose_wrong_passwords_they_are(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, last: int
) -> None:
    """The peer's, whatever it says, unless it is a proxy that the settings trust."""
    monkeypatch.setenv("DASHBOARD_PASSWORD", "right")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    path = write(endpoint, tmp_path, server=f'password_env = "DASHBOARD_PASSWORD"\n{server}')
    with serving(path) as (_, base), httpx2.Client(trust_env=False, timeout=HANG) as client:
        answers = tries(base, client, FREE_TRIES + 1)
        assert answers == [403] * FREE_TRIES + [last]
