"""A real Ray cluster of several nodes on this machine, started by its command and gone with the test."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from tests.support.hang import HANG

COMMAND = (sys.executable, "-c", "from ray.scripts.scripts import main; main()")


class RayNode:
    """One node: a process with all that Ray runs on it below."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as said:
            self.process = subprocess.Popen(
                [*COMMAND, "start", "--block", "--disable-usage-stats", "--num-cpus=1", *arguments],
                env={**environment},
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill all of it at once, as a machine that loses its power would end."""
        for _ in range(2):  # twice: a process may have been started meanwhile
            for pid in _below(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait(HANG)


class RayCluster:
    """A head and further nodes, with one processor each as far as Ray is told."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: sockets are in it
        # Ray gives workers a low priority, with which they hardly run at all beside other tests.
        quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
        self._environment = {**os.environ, **quiet, **environment}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self.nodes = [
            self._start("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={self._folder}")
        ]

    def add_node(self) -> RayNode:
        """Start one more."""
        node = self._start(f"--address={self.address}")
        self.nodes.append(node)
        return node

    def _start(self, *arguments: str) -> RayNode:
        local = ("--node-ip-address=127.0.0.1", "--object-store-memory=100000000", "--dashboard-agent-listen-port=0")
        return RayNode([*arguments, *local], self._environment, self._folder / "said.txt")

    def processes(self, title: str) -> list[int]:
        """Processes on its nodes whose title begins so; Ray names a worker after its class."""
        found = [pid for node in self.nodes if node.process.poll() is None for pid in _below(node.process.pid)]
        return [pid for pid in found if _title(pid).startswith(title)]

    def wait_for(self, count: int) -> None:
        """Wait until so many nodes are there."""
        limit = time.monotonic() + HANG
        while True:
            said = (self._folder / "said.txt").read_text()
            if said.count("Ray runtime started") >= count:
                return
            assert all(node.process.poll() is None for node in self.nodes), said
            assert time.monotonic() < limit, said
            time.sleep(0.1)

    def close(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            if node.process.poll() is None:
                node.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def two_nodes(environment: Mapping[str, str]) -> Generator[RayCluster]:
    cluster = RayCluster(environment)
    try:
        cluster.wait_for(1)
        cluster.add_node()
        cluster.wait_for(2)
        yield cluster
    finally:
        cluster.close()


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _below(pid: int) -> list[int]:
    """A process and all below it, and those of its group, which may have lost their parent."""
    parents: dict[int, int] = {}
    groups: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)], groups[int(entry.name)] = int(fields[1]), int(fields[3])
    found = {one for one, session in groups.items() if session == pid} | {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)
