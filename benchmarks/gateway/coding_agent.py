"""A coding agent from a registry, unchanged, mends a bug through `sale serve` on the embedded pool.

    python -m benchmarks.gateway.coding_agent [--coders]

aider is told nothing of `sale` but its base URL and `model = "sale"`. A package with a bug of one line and a failing
test is made; aider is asked to mend it; the test is run again. What happened is printed as JSON: whether the test
passes, what aider asked for, who won the session, and what it cost by the gateway's ledger.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.gateway.environments import PROGRAMS, installed
from benchmarks.gateway.processes import cores, running

BUGGY = '''"""Averages."""


def mean(values: list[float]) -> float:
    """The sum of the values, divided by how many there are."""
    return sum(values) / (len(values) + 1)
'''
TEST = """from averages import mean

assert mean([2.0, 4.0]) == 3.0, mean([2.0, 4.0])
assert mean([5.0]) == 5.0, mean([5.0])
print("passed")
"""
REQUEST = "mean([2.0, 4.0]) in averages.py gives 2.0 and should give 3.0. Fix the bug in mean. Change nothing else."
CODERS = """
[[agents]]
name = "qwen-coder-0.5b"
local = "qwen2.5-coder-0.5b"
price = 0.05

[[agents]]
name = "qwen-coder-1.5b"
local = "qwen2.5-coder-1.5b"
price = 0.16
"""
"""The embedded pool without its smallest model, which does not follow an editor's format."""
OPTIONS = [
    *("--model", "openai/sale", "--weak-model", "openai/sale", "--edit-format", "whole", "--map-tokens", "0"),
    *("--no-git", "--yes-always", "--no-show-model-warnings", "--no-check-update", "--analytics-disable"),
    *("--no-suggest-shell-commands", "--no-detect-urls", "--no-pretty", "--no-fancy-input", "--timeout", "900"),
]


def mend(folder: Path, base_url: str, seconds: float) -> str:
    """Have aider mend the file; what it said."""
    aider = str(installed("aider") / PROGRAMS["aider"].command)
    environment = {**os.environ, "OPENAI_API_BASE": base_url, "OPENAI_API_KEY": "any", "HOME": str(folder.parent)}
    done = subprocess.run(
        [aider, *OPTIONS, "--message", REQUEST, "averages.py"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return done.stdout + done.stderr


def passes(folder: Path) -> bool:
    """Whether the test passes."""
    done = subprocess.run([sys.executable, "test_averages.py"], cwd=folder, capture_output=True, check=False)
    return done.returncode == 0


def ledger(file: Path) -> list[dict[str, object]]:
    """The gateway's lines."""
    columns = (
        "path, model, agent, status, streamed, input_tokens, output_tokens, work_dollars, auction_dollars, seconds"
    )
    with closing(sqlite3.connect(file)) as opened:
        opened.row_factory = sqlite3.Row
        return [dict(row) for row in opened.execute(f"select {columns} from server_requests order by at")]


def main() -> None:
    """Make, mend, test, tell."""
    parser = argparse.ArgumentParser(description="A coding agent through the gateway, on the embedded pool.")
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--coders", action="store_true", help="The two coding models of the pool only.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        folder = home / "package"
        folder.mkdir()
        (folder / "averages.py").write_text(BUGGY, encoding="utf-8")
        (folder / "test_averages.py").write_text(TEST, encoding="utf-8")
        if passes(folder):
            raise SystemExit("there is no bug to mend")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        began = time.monotonic()
        settings = home / "sale.toml"
        settings.write_text(CODERS, encoding="utf-8")
        chosen = {"SALE_CONFIG": str(settings)} if given.coders else {}
        environment = {**chosen, "SALE_MEMORY": str(home / "memory.sqlite3"), "XDG_DATA_HOME": str(home)}
        serve = [sys.executable, "-m", "sale.cli.main", "serve", "--port", str(port)]
        log = home / "serve.log"
        with running(serve, port=port, cores=cores(), log=log, environment=environment, ready="/readyz"):
            said = mend(folder, f"http://127.0.0.1:{port}/v1", given.seconds)
        found = {
            "mended": passes(folder),
            "seconds": round(time.monotonic() - began),
            "file": (folder / "averages.py").read_text(encoding="utf-8"),
            "ledger": ledger(next(home.glob("**/server*.sqlite3"))),
            "aider": said[-2000:],
        }
    print(json.dumps(found, indent=1))
    sys.exit(not found["mended"])


if __name__ == "__main__":
    main()
