"""What is measured against what: the upstream itself, LiteLLM, Portkey, and `sale serve`, and how each is asked."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.gateway.environments import PROGRAMS, installed
from benchmarks.gateway.load import Json, LoadRequest
from benchmarks.gateway.processes import Watched, cores, running
from benchmarks.gateway.protocols import CHAT, MESSAGES, RESPONSES, Protocol
from benchmarks.gateway.upstream import ANSWER

UPSTREAM_PORT, PROXY_PORT = 18_440, 18_441
MASTER_KEY = "sk-benchmark-master"
SALE = [sys.executable, "-m", "sale.cli.main"]
PORTKEY = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{UPSTREAM_PORT}/v1"}
"""Portkey has no settings of its own: every request says where it goes."""
OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "DO_NOT_TRACK": "1"}
QUESTION: Json = {"role": "user", "content": "Name the capital of France, and say in one line why it is the capital."}
CONVERSATION: list[Json] = [
    {"role": "system", "content": "You are a helpful agent. " * 20},
    QUESTION,
    {"role": "assistant", "content": ANSWER},
    {"role": "user", "content": "And which river runs through it?"},
]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One row of the table."""

    name: str
    server: str
    """Which server answers: `upstream`, `litellm`, `litellm-key`, `portkey`, `sale`, `sale-key`."""
    session: bool = False
    """Whether its requests are turns of a session that has been auctioned."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    protocol: Protocol = CHAT


CONTENDERS = (
    Contender(name="direct", server="upstream"),
    Contender(name="LiteLLM", server="litellm"),
    Contender(name="LiteLLM, key", server="litellm-key", headers={"authorization": f"Bearer {MASTER_KEY}"}),
    Contender(name="Portkey", server="portkey", headers={**PORTKEY, "authorization": "Bearer none"}),
    Contender(name="sale, pass-through", server="sale"),
    Contender(name="sale, session's turn", server="sale", session=True),
    Contender(name="sale, pass-through, key with a budget", server="sale-key"),
    Contender(name="sale, session's turn, key with a budget", server="sale-key", session=True),
    Contender(name="sale, Responses, pass-through", server="sale", protocol=RESPONSES),
    Contender(name="sale, Responses, session's turn", server="sale", session=True, protocol=RESPONSES),
    Contender(name="sale, Messages, pass-through", server="sale", protocol=MESSAGES),
    Contender(name="sale, Messages, session's turn", server="sale", session=True, protocol=MESSAGES),
)


def asked(contender: Contender, mode: str, key: str = "") -> LoadRequest:
    """The request of a contender in a mode: `whole`, `stream` (all frames at once) or `paced` (a frame every 10 ms)."""
    protocol = contender.protocol
    body: Json = {"model": "paced" if mode == "paced" else "instant", **protocol.body([QUESTION])}
    opening: Json | None = None
    if contender.session:
        opening = {"model": "sale", **protocol.body(CONVERSATION[:2])}
        body = {"model": "sale", **protocol.body(CONVERSATION)}
    if mode != "whole":
        body["stream"] = True
    headers = {**contender.headers, **({"authorization": f"Bearer {key}"} if key else {})}
    stream = mode != "whole"
    return LoadRequest(body=body, stream=stream, headers=headers, opening=opening, path=protocol.path, end=protocol.end)


@dataclass(frozen=True, kw_only=True)
class Up:
    """A server that is up."""

    watched: Watched
    key: str = ""


@contextlib.contextmanager
def upstream(folder: Path) -> Generator[Watched]:
    """The instant upstream, on the core of the load."""
    command = [sys.executable, "-m", "benchmarks.gateway.upstream", "--port", str(UPSTREAM_PORT)]
    log = folder / "upstream.log"
    with running(command, port=UPSTREAM_PORT, cores=cores()[1:], log=log, environment={}) as up:
        yield up


@contextlib.contextmanager
def served(server: str, folder: Path, *, model: str | None = None, more: str = "") -> Generator[Up]:
    """A server in front of the running upstream.

    Args:
        server: One of those of `Contender.server`.
        folder: Takes its settings, its data and its log.
        model: What every agent is at the upstream, `instant` or `paced`, so that it is known what a session's winner
            is, whoever that be. Unless given, the agents are named after their models.
        more: Further lines of `[server]` for `sale`.
    """
    home = folder / f"{server}-{model}"
    home.mkdir(parents=True, exist_ok=True)
    if server.startswith("litellm"):
        with _litellm(home, key=server.endswith("-key")) as watched:
            yield Up(watched=watched)
    elif server == "portkey":
        with _portkey(home) as watched:
            yield Up(watched=watched)
    else:
        with _sale(home, model, key=server.endswith("-key"), more=more) as found:
            yield found


@contextlib.contextmanager
def _litellm(home: Path, *, key: bool) -> Generator[Watched]:
    """One worker, without a database; its master key is checked in memory."""
    models = [
        {
            "model_name": name,
            "litellm_params": {
                "model": f"openai/{name}",
                "api_base": f"http://127.0.0.1:{UPSTREAM_PORT}/v1",
                "api_key": "none",
            },
        }
        for name in ("instant", "paced")
    ]
    settings: dict[str, object] = {"model_list": models, "litellm_settings": {"telemetry": False}}
    if key:
        settings["general_settings"] = {"master_key": MASTER_KEY}
    file = home / "config.yaml"
    file.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    program = str(installed("litellm") / PROGRAMS["litellm"].command)
    command = [program, "--config", str(file), "--host", "127.0.0.1", "--port", str(PROXY_PORT), "--num_workers", "1"]
    log = home / "litellm.log"
    ready = "/health/liveliness"
    with running(command, port=PROXY_PORT, cores=cores()[:1], log=log, environment=OFFLINE, ready=ready) as up:
        yield up


@contextlib.contextmanager
def _portkey(home: Path) -> Generator[Watched]:
    """One process, without its page; it has no key to check, no ledger and no memory."""
    command = [str(installed("portkey") / PROGRAMS["portkey"].command), f"--port={PROXY_PORT}", "--headless"]
    environment = {"NODE_ENV": "production"}
    with running(command, port=PROXY_PORT, cores=cores()[:1], log=home / "portkey.log", environment=environment) as up:
        yield up


@contextlib.contextmanager
def _sale(home: Path, model: str | None, *, key: bool, more: str) -> Generator[Up]:
    """Agents of one upstream. The memory and the ledger are on, as by default."""
    file = home / "sale.toml"
    if not file.exists():
        file.write_text(gateway_settings(home, model, more), encoding="utf-8")
    environment = {"SALE_CONFIG": str(file), "SALE_MEMORY": str(home / "memory.sqlite3"), "XDG_DATA_HOME": str(home)}
    secret = ""
    if key:
        command = [*SALE, "keys", "create", "benchmark", "--budget", "1000000", "--period", "month", "--json"]
        told = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
        secret = str(json.loads(told.stdout)["key"]["secret"])
    command = [*SALE, "serve", "--host", "127.0.0.1", "--port", str(PROXY_PORT)]
    log = home / "serve.log"
    with running(
        command, port=PROXY_PORT, cores=cores()[:1], log=log, environment=environment, ready="/readyz"
    ) as watched:
        yield Up(watched=watched, key=secret)


def gateway_settings(home: Path, model: str | None = None, more: str = "") -> str:
    """The settings of `sale serve`; `model` and `more` as for `served`."""
    agents = [("instant", model or "instant", 0.05), ("paced", model or "paced", 0.06)]
    tables = [
        f'[[agents]]\nname = "{name}"\nendpoint = "http://127.0.0.1:{UPSTREAM_PORT}/v1"\n'
        f'model = "{behind}"\nprice = {price}\nlogprobs = 0\n'
        for name, behind, price in agents
    ]
    return "\n".join([*tables, f'[server]\ndatabase = "{home / "server.sqlite3"}"\n{more}\n'])
