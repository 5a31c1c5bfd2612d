"""What a version of sale costs against another, in one run: own CPU of auctions, turns through the gateway, memory.

    python -m benchmarks.versions ../before [--rounds 5] [--auctions 40] [--seconds 3] [--only auction gateway]
        [--protocols Chat Responses Messages]

`../before` is a checkout of the version to compare with (`git worktree add ../before COMMIT`). It runs in its own
`.venv` where it has one, else in this interpreter. The two take turns, round by round, so that both meet the same
machine. CPU is the time of the process itself, user and system, threads included: other programs do not change it.
Given are the medians of the rounds and, of their ratio round by round, the median with the least and the largest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway.__main__ import ask
from benchmarks.gateway.contenders import CONTENDERS, Contender, asked, gateway_settings, upstream
from benchmarks.gateway.load import Measured
from benchmarks.gateway.processes import Watched, cores, running
from benchmarks.gateway.protocols import CHAT, PROTOCOLS

ROOT = Path(__file__).parents[1]
PORTS = (18_451, 18_452)
MODES = ("whole", "stream")
IMPORT = "import asyncio, json, pathlib, sys, tempfile; from benchmarks.auction import *\n"
AUCTIONS = IMPORT + (
    "count = int(sys.argv[1])\n"
    "with tempfile.TemporaryDirectory() as folder:\n"
    "    bare = asyncio.run(measure(market(instant, 'panel', None), count, 5))\n"
    "    place = pathlib.Path(folder) / 'memory.sqlite3'\n"
    "    kept = asyncio.run(measure(market(instant, 'panel', place), count, 20))\n"
    "own = asyncio.run(embedding(count))\n"
    "print(json.dumps([bare.cpu_ms, kept.cpu_ms, own]))\n"
)
"""Runs in each version, over the auction benchmark of that version, whose models and tasks are the same."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A checkout."""

    name: str
    root: Path

    @property
    def python(self) -> str:
        """Its interpreter."""
        own = self.root / ".venv" / "bin" / "python"
        return str(own) if own.exists() else sys.executable

    @property
    def environment(self) -> dict[str, str]:
        """Its code before any that is installed."""
        return {"PYTHONPATH": f"{self.root / 'src'}{os.pathsep}{self.root}"}


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One figure of both versions, round by round."""

    what: str
    before: Sequence[float]
    after: Sequence[float]

    @property
    def line(self) -> str:
        """A row of the table."""
        ratios = [after / before for before, after in zip(self.before, self.after, strict=True)]
        middle, least, most = statistics.median(ratios), min(ratios), max(ratios)
        return (
            f"{self.what:42} {statistics.median(self.before):9.1f} {statistics.median(self.after):9.1f}"
            f"   {middle:5.2f} x  ({least:.2f} to {most:.2f}, {len(ratios)} rounds)"
        )


def auctions(version: Version, count: int) -> list[float]:
    """CPU milliseconds of an auction without memory, with memory, and of embedding its task."""
    done = subprocess.run(
        [version.python, "-c", AUCTIONS, str(count)],
        cwd=version.root,
        env={**os.environ, **version.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{version.name}: {done.stderr.strip()[-2000:]}")
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare_auctions(versions: Sequence[Version], rounds: int, count: int) -> None:
    """Own CPU of auctions."""
    seen = [[auctions(version, count) for version in versions] for _ in range(rounds)]
    for place, what in enumerate(
        ("auction without memory, ms", "auction with memory, ms", "of it to embed the task, ms")
    ):
        columns = [[pair[side][place] for pair in seen] for side in (0, 1)]
        print(Compared(what=what, before=columns[0], after=columns[1]).line, flush=True)


@contextlib.contextmanager
def serving(version: Version, folder: Path, port: int) -> Generator[Watched]:
    """`sale serve` of a version, before the running upstream."""
    home = folder / version.name
    home.mkdir()
    file = home / "sale.toml"
    file.write_text(gateway_settings(home, "instant"), encoding="utf-8")
    environment = {
        **version.environment,
        "SALE_CONFIG": str(file),
        "SALE_MEMORY": str(home / "memory.sqlite3"),
        "XDG_DATA_HOME": str(home),
    }
    command = [version.python, "-m", "sale.cli.main", "serve", "--host", "127.0.0.1", "--port", str(port)]
    with running(
        command, port=port, cores=cores()[:1], log=home / "log", environment=environment, ready="/readyz"
    ) as up:
        yield up


def compare_gateways(
    versions: Sequence[Version], rounds: int, seconds: float, connections: int, protocols: Sequence[str]
) -> None:
    """Requests per second of the server's own processor time, the tail against the median, and memory."""
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        stack.enter_context(upstream(folder))
        servers = [
            stack.enter_context(serving(version, folder, port)) for version, port in zip(versions, PORTS, strict=True)
        ]
        print(Compared(what="gateway, MiB at start", **_memory(servers)).line, flush=True)
        for contender in (one for one in CONTENDERS if one.server == "sale" and one.protocol.name in protocols):
            for mode in MODES:
                _compare_mode(servers, contender, mode, rounds, seconds, connections)
        print(Compared(what="gateway, MiB at the end", **_memory(servers)).line, flush=True)


def _memory(servers: Sequence[Watched]) -> dict[str, list[float]]:
    return {side: [server.rss_mib] for side, server in zip(("before", "after"), servers, strict=True)}


def _compare_mode(
    servers: Sequence[Watched], contender: Contender, mode: str, rounds: int, seconds: float, connections: int
) -> None:
    seen = [[ask(server, asked(contender, mode), connections, seconds) for server in servers] for _ in range(rounds)]
    name = contender.name.removeprefix("sale, ")
    figures: list[tuple[str, Callable[[Measured], float]]] = [
        ("requests a core-second", lambda one: one.requests / max(one.server_cpu_seconds, 1e-3)),
        ("p50, ms", lambda one: one.latency.p50 or 0.0),
        ("p99, ms", lambda one: one.latency.p99 or 0.0),
        ("p99 / p50", lambda one: (one.latency.p99 or 0.0) / (one.latency.p50 or 1.0)),
    ]
    for what, figure in figures:
        columns = [[figure(pair[side]) for pair in seen] for side in (0, 1)]
        print(Compared(what=f"{name}, {mode}: {what}", before=columns[0], after=columns[1]).line, flush=True)
    errors = sum(sum(one.errors.values()) for pair in seen for one in pair)
    if errors:
        print(f"{name}, {mode}: {errors} requests failed: {[one.errors for pair in seen for one in pair]}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a version of sale costs against another, in one run.")
    parser.add_argument("before", type=Path, help="A checkout of the version to compare with.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--auctions", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=3.0, help="Of each measurement through the gateway.")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", nargs="+", choices=("auction", "gateway"), default=["auction", "gateway"])
    names = [protocol.name for protocol in PROTOCOLS]
    parser.add_argument("--protocols", nargs="+", choices=names, default=[CHAT.name])
    given = parser.parse_args()
    versions = (Version(name="before", root=given.before.resolve()), Version(name="after", root=ROOT))
    print(f"{'':42} {'before':>9} {'after':>9}   after / before")
    if "auction" in given.only:
        compare_auctions(versions, given.rounds, given.auctions)
    if "gateway" in given.only:
        compare_gateways(versions, given.rounds, given.seconds, given.connections, given.protocols)


if __name__ == "__main__":
    main()
