"""Server processes pinned to a core: started, waited for, watched (processor time, memory), ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 180.0
"""LiteLLM loads for half a minute on a busy machine."""
END_SECONDS = 20.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A running server and whatever processes it started."""

    pid: int
    port: int

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the server so far, of its living children too."""
        return sum(_cpu(pid) for pid in self._tree())

    @property
    def rss_mib(self) -> float:
        """Resident memory, in MiB."""
        return sum(_rss(pid) for pid in self._tree())

    def _tree(self) -> list[int]:
        parents: dict[int, int] = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    parents[int(folder.name)] = int(_fields(folder)[1])
        found = [self.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found


def _fields(folder: Path) -> list[str]:
    """`/proc/<pid>/stat` after the name, which may hold spaces."""
    return (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def _cpu(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = _fields(Path(f"/proc/{pid}"))
        return (int(fields[11]) + int(fields[12])) / _TICKS
    return 0.0


def _rss(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def cores() -> tuple[int, int]:
    """The core of the server under test, and that of the load and the upstream."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextlib.contextmanager
def running(
    command: Sequence[str],
    *,
    port: int,
    cores: Sequence[int],
    log: Path,
    environment: Mapping[str, str],
    ready: str = "/",
) -> Generator[Watched]:
    """The server, answering on its port; ended with everything it started.

    Args:
        command: How it is started.
        port: Where it listens, on 127.0.0.1.
        cores: Those it may use.
        log: Takes what it says.
        environment: Added to this process's own.
        ready: Path that answers once it is ready.

    Raises:
        RuntimeError: It did not start; the end of its log is in the message.
    """
    with log.open("wb") as said:
        process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cores)), *command],
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{port}{ready}", log)
        yield Watched(pid=process.pid, port=port)
    finally:
        _end(process)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise RuntimeError(f"{url} did not answer in {START_SECONDS:.0f} s:\n{said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
