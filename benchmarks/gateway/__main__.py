"""What the gateway adds to a call: throughput, latency, time to the first token, memory; beside LiteLLM and Portkey.

    python -m benchmarks.gateway [--seconds 5] [--connections 1 16 256] [--only NAME …]
    python -m benchmarks.gateway --soak 120000
    python -m benchmarks.gateway --table

One run measures everything on the same cores: the server under test has one core to itself, the instant upstream and
the load generator, processes of their own, share another. Every contender is asked whole answers, streams whose frames
come all at once (throughput), and streams of a frame every ten milliseconds (time to first token, times between
frames). Each figure is also given per second of the server's own processor time, which a busy machine does not change.
The record is benchmarks/records/gateway.json, the table made from it docs/gateway-speed.md's.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.gateway.contenders import CONTENDERS, Contender, Up, asked, served, upstream
from benchmarks.gateway.environments import PROGRAMS
from benchmarks.gateway.load import LoadRequest, Measured
from benchmarks.gateway.processes import Watched, cores
from benchmarks.gateway.report import Cell, Record, Soak, write_page

PEERS = {"LiteLLM": "litellm", "Portkey": "portkey"}
"""By the name of their rows, the programs of `environments.py`."""
MODES = ("whole", "stream", "paced")
RECORD = Path("benchmarks/records/gateway.json")
SAMPLES = 20
"""Looks at the memory in a soak."""


def ask(server: Watched, what: LoadRequest, connections: int, seconds: float, most: int = sys.maxsize) -> Measured:
    """Run the load generator on its core."""
    command = ["taskset", "-c", str(cores()[1]), sys.executable, "-m", "benchmarks.gateway.load"]
    command += [
        "--port",
        str(server.port),
        "--pid",
        str(server.pid),
        "--connections",
        str(connections),
        "--seconds",
        str(seconds),
        "--most",
        str(most),
    ]
    done = subprocess.run(command, input=json.dumps(asdict(what)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the load generator failed: {done.stderr.strip()[-2000:]}")
    return TypeAdapter(Measured).validate_json(done.stdout)


def cell(contender: Contender, up: Up, mode: str, connections: int, seconds: float) -> Cell:
    """One measurement."""
    measured = ask(up.watched, asked(contender, mode, up.key), connections, seconds)
    return Cell(
        contender=contender.name,
        mode=mode,
        connections=connections,
        measured=measured,
        rss_mib=round(up.watched.rss_mib, 1),
    )


def measure(contender: Contender, direct: Watched, folder: Path, given: argparse.Namespace) -> list[Cell]:
    """All modes and numbers of connections of one contender; its server is started anew."""
    connections: list[int] = given.connections
    cells: list[Cell] = []

    def run(up: Up, modes: tuple[str, ...]) -> None:
        for mode in modes:
            for count in connections:
                cells.append(found := cell(contender, up, mode, count, given.seconds))
                print(found.line, flush=True)

    if contender.server == "upstream":
        run(Up(watched=direct), MODES)
    elif contender.session:
        with served(contender.server, folder, model="instant") as up:
            run(up, MODES[:2])
        with served(contender.server, folder, model="paced") as up:
            run(up, MODES[2:])
    else:
        with served(contender.server, folder) as up:
            run(up, MODES)
    return cells


def soak(server: str, folder: Path, requests: int) -> Soak:
    """Many requests, in slices; the memory after each."""
    contender = next(one for one in CONTENDERS if one.server == server)
    rss: list[float] = []
    errors: dict[str, int] = {}
    seconds = 0.0
    with served(server, folder) as up:
        start = up.watched.rss_mib
        for turn in range(SAMPLES):
            mode = MODES[turn % 2]
            found = ask(up.watched, asked(contender, mode, up.key), 16, 600.0, requests // SAMPLES)
            rss.append(round(up.watched.rss_mib, 1))
            seconds += found.seconds
            for name, count in found.errors.items():
                errors[name] = errors.get(name, 0) + count
            print(f"{turn + 1}/{SAMPLES}: {rss[-1]} MiB", flush=True)
    return Soak(
        server=server, requests=requests, seconds=round(seconds, 1), start_mib=start, rss_mib=rss, errors=errors
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="What the gateway adds to a call.")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 256])
    parser.add_argument("--only", nargs="+", default=[], help="Contenders whose names begin so; nothing is written.")
    parser.add_argument(
        "--soak", type=int, default=0, help="So many requests instead, with the memory after each part."
    )
    parser.add_argument("--table", action="store_true", help="Only write the page again.")
    parser.add_argument("--logs", type=Path, help="Keep the servers' settings and logs here.")
    given = parser.parse_args()
    record = Record.read(RECORD)
    if not given.table:
        with tempfile.TemporaryDirectory() as temporary:
            folder: Path = given.logs or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            record = _measured(record, folder, given)
    if not given.only:
        record.write(RECORD)
        write_page(record)


def _measured(record: Record, folder: Path, given: argparse.Namespace) -> Record:
    with upstream(folder) as direct:
        if given.soak:
            return record.with_soaks([soak("sale", folder, given.soak)])
        chosen = [one for one in CONTENDERS if not given.only or one.name.startswith(tuple(given.only))]
        cells = [found for one in chosen for found in measure(one, direct, folder, given)]
    return Record(
        at=datetime.now(UTC).date().isoformat(),
        python=platform.python_version(),
        peers={name: PROGRAMS[program].version for name, program in PEERS.items()},
        cells=cells,
        soaks=record.soaks,
    )


if __name__ == "__main__":
    main()
