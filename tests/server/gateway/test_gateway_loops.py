"""Agents whose endpoint is a gateway: a chain of them ends, and the server's own address is refused."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sale import config
from sale.config.own_address import own_endpoints, refuse_own_endpoints
from sale.errors import ConfigError
from sale.market import Market
from tests.server.gateway.conftest import Gateway, Opening
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.preloaded import sale_command

HELLO: list[Any] = [{"role": "user", "content": "What is 6 × 7?"}]


def agent(endpoint: str, **more: Any) -> dict[str, Any]:
    return {"name": "loop", "endpoint": endpoint, "model": "sale", "price": 1.0, **more}


def ask(gateway: Gateway, model: str, depth: str | None = None) -> httpx2.Response:
    headers = {} if depth is None else {"x-sale-depth": depth}
    body = {"model": model, "messages": HELLO}
    return httpx2.post(f"{gateway.url}/chat/completions", json=body, headers=headers, timeout=HANG)


def test_an_agent_that_is_the_gateway_itself_ends_after_two(opening: Opening) -> None:
    """Its bid and its scores are asked of the gateway, which holds an auction for each, and these hold none."""
    with opening(small="good") as gateway:
        assert gateway.state is not None
        agents = [agent(gateway.url), {**agent(gateway.url), "name": "other"}]
        looping = config.Settings.model_validate(
            {"agents": [*agents, gateway.settings.agents[0]], "memory": {"enabled": False}}
        )
        gateway.do(gateway.state.reload(Market.from_config(settings=looping), looping.server))
        assert ask(gateway, "sale").status_code == 200
        lines = gateway.lines()
        refused = ask(gateway, "loop", depth="2")
    assert len({line.auction_id for line in lines if line.auction_id}) < 30
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "too_many_gateways")


@pytest.mark.parametrize(("came", "sent"), [(None, "1"), ("1", "2"), ("x", "1")])
def test_every_request_to_an_endpoint_says_how_many_gateways_there_were(
    opening: Opening, endpoint: Endpoint, came: str | None, sent: str
) -> None:
    with opening(small="good", large="good") as gateway:
        assert ask(gateway, "sale", came).status_code == 200
    asked = endpoint.requests()
    assert len(asked) > 2, "bids, scores and the work"
    assert {one.headers.get("x-sale-depth") for one in asked} == {sent}


@pytest.mark.parametrize(
    ("url", "host", "own"),
    [
        ("http://127.0.0.1:8127/v1", "127.0.0.1", True),
        ("http://localhost:8127/v1", "127.0.0.1", True),
        ("http://[::1]:8127/v1", "localhost", True),
        ("http://127.0.0.1:8127/v1", "0.0.0.0", True),
        ("http://gateway.example:8127", "gateway.example", True),
        ("http://127.0.0.1:8128/v1", "127.0.0.1", False),
        ("http://127.0.0.1/v1", "127.0.0.1", False),
        ("http://llm.example:8127/v1", "0.0.0.0", False),
        ("http://127.0.0.1:8127/v1", "10.0.0.5", False),
    ],
)
def test_an_endpoint_at_the_address_of_the_server_is_refused(url: str, host: str, *, own: bool) -> None:
    settings = config.Settings.model_validate({"agents": [agent(url)], "server": {"host": host}})
    assert own_endpoints(settings) == ({"agent 'loop'": url} if own else {})
    if own:
        with pytest.raises(ConfigError, match="would ask itself"):
            refuse_own_endpoints(settings, 8127)
    refuse_own_endpoints(settings, 9000)


def test_alarms_are_not_sent_to_the_server_itself() -> None:
    url = "http://localhost:8127/hook"
    tables = {"agents": [agent("http://127.0.0.1:9/v1")], "server": {"alarm_url": url}}
    assert own_endpoints(config.Settings.model_validate(tables)) == {"[server] alarm_url": url}


def test_the_server_does_not_start_with_itself_for_an_agent_and_the_doctor_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    agents = f'[[agents]]\nname = "loop"\nendpoint = "http://localhost:{port}/v1"\nmodel = "sale"\nprice = 1.0\n'
    settings = tmp_path / "sale.toml"
    settings.write_text(
        f"{agents}[server]\nport = {port}\n[memory]\npath = '{tmp_path}/memory.sqlite3'\n", encoding="utf-8"
    )
    served, examined = (
        subprocess.run(
            [*sale_command(), verb, "--config", str(settings)],
            capture_output=True,
            text=True,
            timeout=HANG,
            check=False,
        )
        for verb in ("serve", "doctor")
    )
    assert served.returncode == 2
    assert f"agent 'loop': http://localhost:{port}/v1 is the address of this server" in served.stderr
    assert "would listen with these settings" in examined.stderr
