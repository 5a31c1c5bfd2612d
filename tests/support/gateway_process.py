"""`sale serve` as its user runs it: a process of its own, on a free port, with settings of its own.

with gateway(tmp_path, [{"name": "first", "endpoint": wall.base_url, "model": "good", "price": 0.1}]) as served:
    OpenAI(base_url=served.base_url, api_key="any")
    assert served.lines()[0]["status"] == 200
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.hang import HANG
from tests.support.preloaded import sale_command

KEY = "sk-canary-7f3a9c"
"""The agents' key, which must never be seen anywhere but at their endpoint."""
SERVING = re.compile(r"^serving (\S+)/v1$", re.MULTILINE)
Agents = Sequence[Mapping[str, object]]


@dataclass(kw_only=True)
class Served:
    """The running process."""

    folder: Path
    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]
    origin: str = ""
    """Known once it serves: the port is any that is free."""

    @property
    def base_url(self) -> str:
        """For clients."""
        return f"{self.origin}/v1"

    @property
    def said(self) -> str:
        """Its standard streams so far."""
        return (self.folder / "serve.log").read_text(encoding="utf-8", errors="replace")

    def lines(self) -> list[dict[str, Any]]:
        """The ledger, in the order of asking."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / 'server.sqlite3'}?mode=ro", uri=True)) as file:
            file.row_factory = sqlite3.Row
            return [dict(row) for row in file.execute("select * from server_requests order by at, id")]

    def wait(self, condition: Callable[[], bool], seconds: float = HANG) -> bool:
        """Wait until something is so; the ledger is written a moment after the answer."""
        until = time.monotonic() + seconds
        while not (met := condition()) and time.monotonic() < until:
            time.sleep(0.02)
        return met

    def command(self, *words: str) -> str:
        """What a `sale` command with the same settings prints."""
        done = subprocess.run(
            [*sale_command(), *words],
            capture_output=True,
            text=True,
            check=False,
            env=dict(self.environment),
            timeout=HANG,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def new_key(self, *options: str) -> str:
        """The secret of a new key."""
        return str(json.loads(self.command("keys", "create", "tests", "--json", *options))["key"]["secret"])


@contextlib.contextmanager
def gateway(
    folder: Path,
    agents: Agents,
    *,
    server: Mapping[str, object] | None = None,
    more: str = "",
    memory: str | None = None,
    stopped: bool = False,
    command: Sequence[str] | None = None,
) -> Generator[Served]:
    """A gateway over these agents, ended gracefully afterwards.

    Args:
        folder: Takes its settings, data and log.
        agents: Their tables of `sale.toml`; those with an endpoint are given a key.
        server: The table `[server]`.
        more: Further TOML.
        memory: Where the memory is, a file or a URL; in the folder unless given.
        stopped: The caller stops it.
        command: `PLAIN` where the process itself must be the one that serves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "sale.toml"
    file.write_text(_settings(folder, agents, dict(server or {}), more), encoding="utf-8")
    environment = {
        **os.environ,
        "SALE_CONFIG": str(file),
        "SALE_MEMORY": memory or str(folder / "memory.sqlite3"),
        "XDG_DATA_HOME": str(folder),
        "PROVIDER_KEY": KEY,
    }
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [*(command or sale_command()), "serve", "--port", "0"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    served = Served(folder=folder, process=process, environment=environment)
    try:
        assert served.wait(lambda: _ready(served), HANG), served.said
        yield served
        assert stopped or process.poll() is None, f"the gateway died:\n{served.said}"
    finally:
        _end(process)


def _ready(served: Served) -> bool:
    assert served.process.poll() is None, served.said
    if (found := SERVING.search(served.said)) is None:
        return False
    served.origin = found[1]
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"{served.origin}/readyz", timeout=HANG).close()
        return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(HANG)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def _settings(folder: Path, agents: Agents, server: dict[str, object], more: str) -> str:
    server = {"database": str(folder / "server.sqlite3"), **server}
    keyed = [{**one, **({"api_key_env": "PROVIDER_KEY"} if "endpoint" in one else {})} for one in agents]
    tables = [f"[[agents]]\n{_toml(one)}" for one in keyed]
    if "allowance" not in more:  # tasks of tests are small, and auctions are what most tests are about
        more = f"{'' if '[auction]' in more else '[auction]'}\n{more}".replace(
            "[auction]", "[auction]\nallowance = inf", 1
        )
    return "\n".join([*tables, f"[server]\n{_toml(server)}", more])


def _toml(table: Mapping[str, object]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())
